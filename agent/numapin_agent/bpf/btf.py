"""Reads what the agent must know of the running kernel's types from its BTF.

A walk over the type section (Documentation/bpf/btf.rst) that notes only the types asked for
by name, because the full tree of 150,000 types would cost more memory than the compiler.
Deliberately no general BTF library: no C output, no deduplication, no split BTF of modules.
"""

import array
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MAGIC = 0xEB9F
_HEADER_WORDS = 6
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO = 8, 9, 10, 11, 12, 13
_TYPE_TAG = 18
_MODIFIERS = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})
_FIXED_WORDS = {_INT: 1, _ARRAY: 3, 14: 1, 17: 1}
_WORDS_PER_ITEM = {_STRUCT: 3, _UNION: 3, _ENUM: 2, _FUNC_PROTO: 2, 15: 3, 19: 3}


class BtfError(ValueError):
    """The data is no BTF, is cut short, or lacks the type asked for."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a kernel function.

    Attributes:
        name: empty in prototypes of function pointers, which carry no names.
        type: the name of its type without modifiers and pointers, such as ``migrate_mode``;
            empty for ``void``.
        pointer: whether it is a pointer.
    """

    name: str
    type: str
    pointer: bool = False


class Btf:
    """Types of a kernel, looked up by name.

    Args:
        data: /sys/kernel/btf/vmlinux as it is.
        names: every type name that will be asked for; others are not kept.

    Raises:
        BtfError: no BTF of this machine's byte order, or cut short.
    """

    def __init__(self, data: bytes, names: Iterable[str]) -> None:
        if len(data) < _HEADER_WORDS * 4 or int.from_bytes(data[:2], sys.byteorder) != _MAGIC:
            raise BtfError("no BTF: it starts with neither magic 0xeb9f nor a whole header")
        head = array.array("I", data[: _HEADER_WORDS * 4])
        header, type_off, type_len, str_off, str_len = head[1:6]
        types_at, strings_at = header + type_off, header + str_off
        if len(data) < max(types_at + type_len, strings_at + str_len) or type_len % 4:
            raise BtfError(f"BTF is cut short: {len(data)} bytes")
        self._strings = data[strings_at : strings_at + str_len]
        self._words = array.array("I", data[types_at : types_at + type_len])
        self._at = array.array("I", [0])
        self._named: dict[tuple[str, int], list[int]] = {}
        self._walk({offset: name for name in names for offset in self._offsets_of(name)})

    def _offsets_of(self, name: str) -> Iterator[int]:
        needle, at = name.encode() + b"\0", 0
        while (at := self._strings.find(needle, at)) >= 0:
            if at == 0 or self._strings[at - 1] == 0:
                yield at
            at += 1

    def _walk(self, wanted: dict[int, str]) -> None:
        words, position, end = self._words, 0, len(self._words)
        append, per_item, fixed = self._at.append, _WORDS_PER_ITEM, _FIXED_WORDS
        while position < end:
            append(position)
            if position + 3 > end:
                raise BtfError(f"BTF type {len(self._at) - 1} is cut short")
            info = words[position + 1]
            kind = info >> 24 & 0x1F
            if words[position] in wanted:
                name = wanted[words[position]]
                self._named.setdefault((name, kind), []).append(len(self._at) - 1)
            if not 0 < kind <= 19:
                raise BtfError(f"BTF type {len(self._at) - 1} has the unknown kind {kind}")
            position += 3 + fixed.get(kind, 0) + per_item.get(kind, 0) * (info & 0xFFFF)
        if position != end:
            raise BtfError(f"the last BTF type {len(self._at) - 1} is cut short")

    def _string(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(0, offset)].decode()

    def _kind(self, type_id: int) -> int:
        return self._words[self._at[type_id] + 1] >> 24 & 0x1F if type_id else 0

    def _target(self, type_id: int) -> int:
        return self._words[self._at[type_id] + 2]

    def _strip(self, type_id: int) -> int:
        while self._kind(type_id) in _MODIFIERS:
            type_id = self._target(type_id)
        return type_id

    def _one(self, name: str, kind: int) -> int | None:
        found = self._named.get((name, kind), [])
        return found[0] if found else None

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int]]:
        """Name, type and offset in bits of each member."""
        at = self._at[type_id]
        bitfields = self._words[at + 1] >> 31
        for i in range(self._words[at + 1] & 0xFFFF):
            name, member, offset = self._words[at + 3 + 3 * i : at + 6 + 3 * i]
            yield self._string(name), member, offset & 0xFFFFFF if bitfields else offset

    def _find(self, type_id: int, member: str) -> tuple[int, int] | None:
        """Type and bit offset of a member, through anonymous structs and unions."""
        for name, inner, offset in self._members(type_id):
            if name == member:
                return inner, offset
            bare = self._strip(inner)
            if not name and self._kind(bare) in {_STRUCT, _UNION}:
                below = self._find(bare, member)
                if below is not None:
                    return below[0], offset + below[1]
        return None

    def offset(self, struct: str, path: str) -> int | None:
        """Where a member of a struct lies.

        Args:
            struct: its tag, such as ``task_struct``.
            path: member names with dots, such as ``thread_info.cpu``.

        Returns:
            Bytes from the start of the struct, or None when this kernel has no such member.
        """
        type_id, bits = self._one(struct, _STRUCT), 0
        if type_id is None:
            return None
        for name in path.split("."):
            if self._kind(type_id) not in {_STRUCT, _UNION}:
                return None
            found = self._find(type_id, name)
            if found is None:
                return None
            type_id, bits = self._strip(found[0]), bits + found[1]
        return bits // 8 if bits % 8 == 0 else None

    def elements(self, struct: str, member: str) -> int | None:
        """How many elements an array member has, or None when it is no array."""
        type_id = self._one(struct, _STRUCT)
        found = self._find(type_id, member) if type_id is not None else None
        if found is None:
            return None
        bare = self._strip(found[0])
        return self._words[self._at[bare] + 5] if self._kind(bare) == _ARRAY else None

    def enumerator(self, enum: str, name: str) -> int | None:
        """The value of an enumerator, or None when this kernel has none of that name."""
        type_id = self._one(enum, _ENUM)
        if type_id is None:
            return None
        at = self._at[type_id]
        for i in range(self._words[at + 1] & 0xFFFF):
            if self._string(self._words[at + 3 + 2 * i]) == name:
                return self._words[at + 4 + 2 * i]
        return None

    def function(self, name: str) -> tuple[int, tuple[Parameter, ...]] | None:
        """The BTF id and parameters of a kernel function that can be traced, or None."""
        type_id = self._one(name, _FUNC)
        return None if type_id is None else (type_id, self._parameters(self._target(type_id)))

    def tracepoint(self, name: str) -> tuple[Parameter, ...] | None:
        """What a raw tracepoint passes, or None when this kernel has no such tracepoint.

        include/trace/bpf_probe.h declares ``btf_trace_<name>``, a pointer to a function whose
        first parameter is the registration's own and is not passed to programs.
        """
        type_id = self._one(f"btf_trace_{name}", _TYPEDEF)
        if type_id is None:
            return None
        pointer = self._strip(type_id)
        proto = self._strip(self._target(pointer)) if self._kind(pointer) == _PTR else 0
        return self._parameters(proto)[1:] if self._kind(proto) == _FUNC_PROTO else None

    def _parameters(self, proto: int) -> tuple[Parameter, ...]:
        at = self._at[proto]
        return tuple(
            self._parameter(*self._words[at + 3 + 2 * i : at + 5 + 2 * i])
            for i in range(self._words[at + 1] & 0xFFFF)
        )

    def _parameter(self, name: int, type_id: int) -> Parameter:
        bare, pointer = self._strip(type_id), False
        while self._kind(bare) == _PTR:
            bare, pointer = self._strip(self._target(bare)), True
        tag = self._string(self._words[self._at[bare]]) if bare else ""
        return Parameter(self._string(name), tag, pointer)
