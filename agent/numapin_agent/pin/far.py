"""Which addresses to hand to move_pages(2): pure functions on addresses and statuses."""

# array.array can't be subscripted at run time before Python 3.12.
from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from numapin_api.cpulist import NodeSet

CHUNK_PAGES = 8192
"""Pages asked about at once: 32 MiB of 4 KiB pages, and 100 KiB of arrays."""


class Far(NamedTuple):
    """Far pages of a chunk.

    Attributes:
        heads: first addresses of aligned stretches of huge-page size that are far as a
            whole: if it is a transparent huge page, this address moves all of it.
        singles: addresses of all other far pages.
    """

    heads: list[int]
    singles: list[int]


def chunks(start: int, end: int, page: int) -> Iterator[range]:
    """The addresses of the pages of a mapping, a chunk at a time, aligned to chunks."""
    size = CHUNK_PAGES * page
    while start < end:
        stop = min(end, (start // size + 1) * size)
        yield range(start, stop, page)
        start = stop


def select(
    addresses: Sequence[int], status: Sequence[int], nodes: NodeSet, *, page: int, huge: int
) -> Far:
    """The pages of a chunk that are in memory, but not on ``nodes``.

    Args:
        addresses: of the pages, ascending.
        status: where each is, as move_pages(2) tells; negative: not there.
        nodes: the target.
        page: bytes of a page.
        huge: bytes of a transparent huge page.
    """
    near = frozenset(nodes)
    far = [a for a, s in zip(addresses, status, strict=True) if s >= 0 and s not in near]
    per_huge = huge // page
    if per_huge <= 1 or len(far) < per_huge:
        return Far([], far)
    heads: list[int] = []
    singles: list[int] = []
    i = 0
    while i < len(far):
        last = i + per_huge - 1
        whole = last < len(far) and far[i] % huge == 0 and far[last] == far[i] + huge - page
        if whole:
            heads.append(far[i])
            i += per_huge
        else:
            singles.append(far[i])
            i += 1
    return Far(heads, singles)


def tails(heads: Sequence[int], *, page: int, huge: int) -> list[int]:
    """All addresses of those stretches but the first of each."""
    return [a for head in heads for a in range(head + page, head + huge, page)]


def present(pagemap: bytes, first: int, page: int) -> array[int]:
    """Addresses with an entry in a piece of /proc/PID/pagemap.

    Args:
        pagemap: eight bytes a page; bit 63 is set for a page in memory.
        first: address of the first.
        page: bytes of a page.
    """
    entries = array("Q")
    entries.frombytes(pagemap[: len(pagemap) // 8 * 8])
    return array("Q", [first + i * page for i, entry in enumerate(entries) if entry >> 63])
