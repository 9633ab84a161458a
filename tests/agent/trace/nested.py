"""Calls a probe's programs by hand, one call within another: run by an interpreter with bcc.

Not every machine lets functions be hooked, and hooks that nest need IPVS or a bridge. Loaded as
programs of a raw tracepoint they can be run with arguments of our own, all in one thread. Takes
the probe's name; prints JSON: by pair of programs and course of calls how many were counted, and
the longest in nanoseconds.
"""

import ctypes
import json
import os
import struct
import sys
import time
from pathlib import Path

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.attach import make_maps
from numapin_agent.bpf.btf import Btf
from numapin_agent.bpf.compiler import build
from numapin_agent.bpf.objects import Object
from numapin_agent.trace.facts import facts, names
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.loader import BPF_DIR
from numapin_agent.trace.plan import plan
from numapin_agent.trace.question import Question
from numapin_agent.trace.read import histograms

PAIRS = {"fentry": "fexit", "kprobe": "kretprobe"}
QUESTIONS = {"function": Question("function", "vfs_read"), "netfilter": Question("netfilter")}
PREFIXES = {"function": "function", "netfilter": "hook"}
"""Of the names of their programs."""
COURSES = {
    "function": {
        "one after the other": "( ) ( )",
        "within itself": "( . ( ) )",
        "many deep": "( . ( ( ( ) ) ) )",
        "return of the inner not seen": "( . ( ) ( ( ) )",
        "begun before": ") ) ( . )",
        "never seen to return": "( " * 9 + "( . ) ( . )",
    },
    "netfilter": {
        "one after the other": "a( . a) a( a)",
        "nested": "a( . b( b) a)",
        "two nested": "a( . b( b) b( b) a)",
    },
}
"""Begins and ends, of a hook behind the name of its state; a dot is a time that passes."""
SLEEP_SECONDS = 0.02
SET_OPEN = 5
_TEST_RUN = 10


def call(program: int, state: str) -> None:
    """BPF_PROG_TEST_RUN of a raw tracepoint, with (skb, state, entries) as its arguments."""
    passed = (ctypes.c_uint64 * 3)(0, 0x1000 * ord(state or "a"), 0)
    size = ctypes.sizeof(passed)
    attribute = syscalls.attribute(
        "=IIIIQQIIIIQQII",
        *(program, 0, 0, 0, 0, 0, 0, 0),
        *(size, 0, ctypes.addressof(passed), 0, 0, 0),
    )
    syscalls.bpf(_TEST_RUN, attribute)


def counted(kind: str, probe: str, course: str, made: Object, cpus: int) -> Histogram:
    maps = make_maps(made)
    key, value = struct.pack("=I", SET_OPEN), struct.pack("=Q", 1)
    syscalls.map_update(maps["settings"], key, value)
    loaded = {
        end: syscalls.program_load(
            made.linked(f"{PREFIXES[probe]}_{name}", [*maps.values()]),
            name=name,
            program_type=syscalls.PROG_RAW_TRACEPOINT,
        )
        for end, name in (("(", kind), (")", PAIRS[kind]))
    }
    for step in COURSES[probe][course].split():
        if step == ".":
            time.sleep(SLEEP_SECONDS)
        else:
            call(loaded[step[-1]], step[:-1])
    return next(iter(histograms(maps, cpus=cpus).values()), Histogram())


def main(probe: str) -> None:
    question = QUESTIONS[probe]
    btf = Btf(Path("/sys/kernel/btf/vmlinux").read_bytes(), names(question))
    last = Path("/sys/devices/system/cpu/possible").read_text().split("-")[-1]
    cpus = int(last) + 1
    planned = plan(
        question,
        facts(btf, question, os.uname().machine),
        scoped=False,
        cpus=cpus,
        map_bytes=16 << 20,
        numa_nodes=1,
    )
    text = "\n".join((BPF_DIR / f"{name}.c").read_text() for name in planned.sources)
    programs = [f"{PREFIXES[probe]}_{end}" for pair in PAIRS.items() for end in pair]
    macros = {
        **planned.macros,
        **{f"N_{name}": i for i, name in enumerate(programs)},
        **{f"OFF_ARG{i}": 8 * i for i in range(3)},
    }
    made = build(text, macros, programs, store=None)
    told: dict[str, dict[str, tuple[int, int]]] = {}
    for kind in PAIRS:
        for course in COURSES[probe]:
            found = counted(kind, probe, course, made, cpus)
            told.setdefault(kind, {})[course] = found.count, found.maximum
    print(json.dumps(told), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
