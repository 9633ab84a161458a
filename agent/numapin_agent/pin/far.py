"""Which addresses to hand to move_pages(2): pure functions on addresses and statuses.

A pod of 100 GB has 26 million pages, so whole stretches of huge-page size are compared as
bytes; single pages are looked at only where a stretch is mixed.
"""

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
        singles: addresses of all other far pages, ascending.
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
    addresses: Sequence[int], status: array[int], nodes: NodeSet, *, page: int, huge: int
) -> Far:
    """The pages of a chunk that are in memory, but not on ``nodes``.

    Args:
        addresses: of the pages, ascending, without gaps if ``huge`` exceeds ``page``.
        status: where each is, as move_pages(2) tells; negative: not there.
        nodes: the target.
        page: bytes of a page.
        huge: bytes of a transparent huge page; ``page`` where none is to be looked for.
    """
    near = frozenset(nodes)
    stretch = huge // page
    raw = memoryview(status).cast("B")
    width = status.itemsize
    heads: list[int] = []
    singles: list[int] = []
    i = 0
    while i < len(addresses):
        # Up to the next boundary of huge-page size.
        stop = min(len(addresses), i + stretch - addresses[i] // page % stretch)
        first = status[i]
        if raw[i * width : stop * width] == raw[i * width : (i + 1) * width].tobytes() * (stop - i):
            if first >= 0 and first not in near:
                if stop - i == stretch > 1:
                    heads.append(addresses[i])
                else:
                    singles.extend(addresses[i:stop])
        else:
            singles.extend(
                addresses[k] for k in range(i, stop) if status[k] >= 0 and status[k] not in near
            )
        i = stop
    return Far(heads, singles)


def tails(heads: Sequence[int], *, page: int, huge: int) -> list[int]:
    """All addresses of those stretches but the first of each."""
    return [a for head in heads for a in range(head + page, head + huge, page)]
