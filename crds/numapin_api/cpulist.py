"""Sets of CPUs and of NUMA nodes, written the way Linux writes them: ``0-3,8``.

The only code that parses or prints cpulists, and the systemd bitmask form of the same
sets. It deliberately knows nothing of sockets, sysfs or cgroups.
"""

import re
from collections.abc import Iterable, Iterator, Set
from functools import lru_cache
from typing import Self, TypeVar

from numapin_api.errors import CpuListError

_RANGE = re.compile(r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7})/(\d{1,7}))?)?", re.ASCII)
MAX_ID = 1 << 16
"""Larger ids are refused: NR_CPUS is at most 8192, MAX_NUMNODES 1024, and a typo must not
make a set of millions."""


class IdSet(Set[int]):
    """An immutable set of small non-negative ids whose ``str()`` is a Linux cpulist.

    Args:
        ids: any integers from 0 to ``MAX_ID``.

    Raises:
        CpuListError: an id is out of range.
    """

    __slots__ = ("_ids",)
    _ids: frozenset[int]

    def __init__(self, ids: Iterable[int] = ()) -> None:
        object.__setattr__(self, "_ids", frozenset(ids))
        for n in self._ids:
            if not 0 <= n <= MAX_ID:
                raise CpuListError(f"id {n} is not between 0 and {MAX_ID}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: can't set {name} to {value!r}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a cpulist as in lib/bitmap.c ``bitmap_parselist`` (ranges and strides).

        Args:
            text: like ``0-3,8`` or ``0-15:2/4``; surrounding white space and NUL bytes,
                which some kernels append, are dropped; empty is the empty set.

        Raises:
            CpuListError: the text names the part that is no range.
        """
        found: Self = _parsed(cls, text)
        return found

    @classmethod
    def from_mask(cls, mask: bytes) -> Self:
        """Read a little-endian bitmask, the ``ay`` form of systemd's AllowedCPUs."""
        return cls(
            i * 8 + bit for i, byte in enumerate(mask) for bit in range(8) if byte >> bit & 1
        )

    def to_mask(self) -> bytes:
        """The little-endian bitmask of this set; empty for the empty set."""
        value = sum(1 << n for n in self._ids)
        return value.to_bytes((value.bit_length() + 7) // 8, "little")

    def __str__(self) -> str:
        parts: list[str] = []
        ids = sorted(self._ids)
        start = 0
        for i, n in enumerate(ids):
            if i + 1 == len(ids) or ids[i + 1] != n + 1:
                parts.append(str(n) if start == i else f"{ids[start]}-{n}")
                start = i + 1
        return ",".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __contains__(self, x: object) -> bool:
        return x in self._ids

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._ids))

    def __len__(self) -> int:
        return len(self._ids)

    def __hash__(self) -> int:
        return hash(self._ids)

    # What Set would do id by id in Python, over and over for each pod of a node.

    def __eq__(self, other: object) -> bool:
        return self._ids == (other._ids if isinstance(other, IdSet) else other)

    def __le__(self, other: Set[object]) -> bool:
        return self._ids <= (other._ids if isinstance(other, IdSet) else other)


class CpuSet(IdSet):
    """A set of logical CPUs."""

    __slots__ = ()


class NodeSet(IdSet):
    """A set of NUMA nodes, as in ``cpuset.mems``."""

    __slots__ = ()


_Kind = TypeVar("_Kind", bound=IdSet)


@lru_cache(maxsize=1024)
def _parsed(kind: type[_Kind], text: str) -> _Kind:
    """See ``IdSet.parse``; the same few texts are read again and again."""
    text = text.strip(" \t\r\n\0")
    ids: set[int] = set()
    for part in text.split(",") if text else ():
        m = _RANGE.fullmatch(part.strip())
        if m is None:
            raise CpuListError(f"{part!r} in {text!r} is no cpulist range like 0-3 or 8")
        first, last = int(m[1]), int(m[2] or m[1])
        used, group = int(m[3] or 1), int(m[4] or 1)
        if last > MAX_ID:
            raise CpuListError(f"{part!r} in {text!r}: ids end at {MAX_ID}")
        if first > last or not 0 < used <= group:
            raise CpuListError(f"{part!r} in {text!r} is an empty or reversed range")
        ids.update(n for n in range(first, last + 1) if (n - first) % group < used)
    return kind(ids)
