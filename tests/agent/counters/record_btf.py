"""Cuts a kernel's BTF down to the types that the counters look at, for the tables of tests.

    python3 record_btf.py /sys/kernel/btf/vmlinux > linux-6.12-x86_64.btf

Structs asked for keep all members, their types are kept where a path or a prototype needs
them and become ``void`` elsewhere. Written apart from ``numapin_agent.bpf.btf``, so that
what is recorded does not depend on the code that it tests.
"""

import struct
import sys
from pathlib import Path

STRUCTS = {
    "task_struct", "thread_info", "css_set", "cgroup", "kernfs_node", "mm_struct", "folio",
    "page", "pt_regs", "hstate", "cgroup_subsys_state",
}  # fmt: skip
FUNCTIONS = {
    "task_numa_fault", "do_migrate_pages", "migrate_misplaced_folio", "migrate_misplaced_page",
    "migrate_misplaced_transhuge_page",
}  # fmt: skip
TYPEDEFS = {
    f"btf_trace_{name}"
    for name in (
        "mm_migrate_pages_start", "mm_migrate_pages", "sched_migrate_task",
        "sched_skip_cpuset_numa",
    )
}  # fmt: skip
ENUMS = {"migrate_reason", "cgroup_subsys_id"}
INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, FUNC, PROTO = 1, 2, 3, 4, 5, 6, 8, 12, 13
REFERENCES = {PTR, TYPEDEF, 9, 10, 11, FUNC, 18}
EXTRA = {INT: 4, ARRAY: 12, 14: 4, 17: 4}
PER_ITEM = {STRUCT: 12, UNION: 12, ENUM: 8, PROTO: 8, 15: 12, 19: 12}


class Recorder:
    def __init__(self, data):
        _, _, _, header, type_off, type_len, str_off, _ = struct.unpack_from("=HBBIIIII", data)
        self.data, self.strings = data, header + str_off
        self.at, at, end = [0], header + type_off, header + type_off + type_len
        while at < end:
            self.at.append(at)
            info = struct.unpack_from("=I", data, at + 4)[0]
            kind = info >> 24 & 0x1F
            at += 12 + EXTRA.get(kind, 0) + PER_ITEM.get(kind, 0) * (info & 0xFFFF)
        self.types, self.names, self.ids = [], bytearray(b"\0"), {}

    def head(self, old):
        name, info, last = struct.unpack_from("=III", self.data, self.at[old])
        start = self.strings + name
        return self.data[start : self.data.index(0, start)], info, last

    def name(self, text):
        if not text:
            return 0
        found = self.names.find(b"\0" + text + b"\0")
        if found < 0:
            found = len(self.names) - 1
            self.names += text + b"\0"
        return found + 1

    def string_at(self, offset):
        start = self.strings + offset
        return self.data[start : self.data.index(0, start)]

    def keep(self, old, depth=0):
        """The new id of a type, which is copied when it matters and void when not."""
        if old == 0:
            return 0
        if old in self.ids:
            return self.ids[old]
        text, info, last = self.head(old)
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        new = self.ids[old] = len(self.types) + 1
        self.types.append(b"")
        body, items = self.data[self.at[old] + 12 :][:12], b""
        if kind in {STRUCT, UNION}:
            whole = text.decode() in STRUCTS or not text
            count = count if whole else 0
            for i in range(count):
                n, t, o = struct.unpack_from("=III", self.data, self.at[old] + 12 + 12 * i)
                inner = self.keep(t) if self.wanted_member(t) else 0
                items += struct.pack("=III", self.name(self.string_at(n)), inner, o)
        elif kind == ENUM:
            count = count if text.decode() in ENUMS else 0
            for i in range(count):
                n, v = struct.unpack_from("=II", self.data, self.at[old] + 12 + 8 * i)
                items += struct.pack("=II", self.name(self.string_at(n)), v)
        elif kind == PROTO:
            for i in range(count):
                n, t = struct.unpack_from("=II", self.data, self.at[old] + 12 + 8 * i)
                items += struct.pack("=II", self.name(self.string_at(n)), self.keep(t))
            last = 0
        elif kind == INT:
            items = body[:4]
        elif kind == ARRAY:
            items = struct.pack("=II", 0, 0) + body[8:12]
        elif kind in REFERENCES:
            last = self.keep(last)
        info = info & ~0xFFFF | count if kind in PER_ITEM else info
        self.types[new - 1] = struct.pack("=III", self.name(text), info, last) + items
        return new

    def wanted_member(self, old):
        """Whether a member's own type is looked into: named in STRUCTS, anonymous, or array."""
        while old:
            text, info, last = self.head(old)
            kind = info >> 24 & 0x1F
            if kind in {STRUCT, UNION}:
                return not text or text.decode() in STRUCTS
            if kind not in REFERENCES or kind == PTR:
                return kind == ARRAY
            old = last
        return False

    def record(self):
        wanted = {STRUCT: STRUCTS, FUNC: FUNCTIONS, TYPEDEF: TYPEDEFS, ENUM: ENUMS}
        for old in range(1, len(self.at)):
            text, info, _ = self.head(old)
            if text.decode() in wanted.get(info >> 24 & 0x1F, ()):
                self.keep(old)
        types, names = b"".join(self.types), bytes(self.names)
        return struct.pack(
            "=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names)
        ) + types + names  # fmt: skip


if __name__ == "__main__":
    sys.stdout.buffer.write(Recorder(Path(sys.argv[1]).read_bytes()).record())
