"""Which parts of a process lie on which NUMA nodes, by /proc/PID/numa_maps. Pure.

numa_maps gives where a mapping starts and how many of its pages lie on each node, but not
where it ends: /proc/PID/maps does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from numapin_api.cpulist import NodeSet

_NODE = re.compile(r"N(\d+)=(\d+)")
_SIZE = re.compile(r"kernelpagesize_kB=(\d+)")


@dataclass(frozen=True, slots=True)
class Vma:
    """A mapping with pages in memory.

    Attributes:
        start: first address.
        end: first address behind it.
        page: bytes of one page: 4096, or a huge page's for hugetlbfs.
        pages: number of pages on each NUMA node; a transparent huge page counts as 512.
    """

    start: int
    end: int
    page: int
    pages: Mapping[int, int]

    def off(self, nodes: NodeSet) -> int:
        """Bytes on any other NUMA node."""
        return self.page * sum(n for node, n in self.pages.items() if node not in nodes)


def parse(numa_maps: str, maps: str) -> tuple[Vma, ...]:
    """The mappings of a process that have pages in memory.

    Lines that don't belong together, because the process changed its mappings between the
    two reads, are left out: the next round sees them.

    Args:
        numa_maps: content of /proc/PID/numa_maps (fs/proc/task_mmu.c ``show_numa_map``).
        maps: content of /proc/PID/maps, read after it.
    """
    ends: dict[int, int] = {}
    # Not splitlines(): of all that it takes for the end of a line the kernel escapes the
    # newline alone, and the rest may stand in the names of files that a pod has mapped.
    for line in filter(None, maps.split("\n")):
        first, _, rest = line.partition("-")
        ends[int(first, 16)] = int(rest.partition(" ")[0], 16)
    found = []
    for line in filter(None, numa_maps.split("\n")):
        start = int(line.partition(" ")[0], 16)
        pages = {int(node): int(count) for node, count in _NODE.findall(line)}
        size = _SIZE.search(line)
        if pages and size is not None and start in ends:
            page = int(size[1]) * 1024
            found.append(Vma(start=start, end=ends[start], page=page, pages=pages))
    return tuple(found)
