"""Huge pages of each NUMA node: which sizes there are, how many, how many are free.

Pure. The kernel keeps a pool for each size and NUMA node (Documentation/admin-guide/mm/
hugetlbpage.rst); a pod that asks for huge pages can only run where the pool has some. It
deliberately knows nothing of transparent huge pages, which come out of ordinary memory.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_DIRECTORY = re.compile(r"hugepages-(\d{1,9})kB", re.ASCII)
STEP = 0.05
"""Free pages are told anew when they moved by this share of the pool."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Huge pages of one size on one NUMA node.

    Attributes:
        node: the NUMA node.
        size: as Kubernetes writes it: 2Mi, 1Gi.
        pages: that are set up (``nr_hugepages``).
        free: of those, that nobody has taken (``free_hugepages``).
    """

    node: int
    size: str
    pages: int
    free: int


def size_of(directory: str) -> str | None:
    """The size in the name of a sysfs directory, as Kubernetes writes it.

    Args:
        directory: like ``hugepages-2048kB``.

    Returns:
        like ``2Mi``; None for a name of another kind.
    """
    m = _DIRECTORY.fullmatch(directory)
    if m is None or int(m[1]) == 0:
        return None
    value, unit = int(m[1]), "Ki"
    for larger in ("Mi", "Gi"):
        if value % 1024:
            break
        value, unit = value // 1024, larger
    return f"{value}{unit}"


def count(text: str) -> int:
    """A number of pages as sysfs prints it; 0 for what is none."""
    return int(text) if re.fullmatch(r"\d{1,12}", text.strip(), re.ASCII) else 0


def configured(pools: Iterable[Pool]) -> Mapping[int, Mapping[str, int]]:
    """NUMA node → size → pages that are set up."""
    return _by_node((p.node, p.size, p.pages) for p in pools)


def free(pools: Iterable[Pool]) -> Mapping[int, Mapping[str, int]]:
    """NUMA node → size → pages that nobody has taken."""
    return _by_node((p.node, p.size, p.free) for p in pools)


def moved(old: Mapping[int, Mapping[str, int]], pools: Iterable[Pool]) -> bool:
    """Whether so many pages were taken or given back that it is worth a write.

    Args:
        old: what was written last, see :func:`free`.
        pools: as they are now.
    """
    now = list(pools)
    some = {(p.node, p.size) for p in now if p.free}
    if {(node, size) for node, pages in old.items() for size in pages} != some:
        return True
    return any(
        abs(p.free - old.get(p.node, {}).get(p.size, 0)) >= max(1.0, STEP * p.pages) for p in now
    )


def _by_node(found: Iterable[tuple[int, str, int]]) -> Mapping[int, Mapping[str, int]]:
    result: dict[int, dict[str, int]] = {}
    for node, size, pages in found:
        if pages:
            result.setdefault(node, {})[size] = pages
    return result
