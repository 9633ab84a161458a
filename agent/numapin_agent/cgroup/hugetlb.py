"""Huge pages of hugetlbfs: which sizes a node has, and where a pod's lie.

memory.numa_stat leaves them out; the hugetlb controller has a file for each size. A node whose
administrator reserved none has nothing to ask for, which is nearly every node.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from numapin_agent.cgroup.values import Residency
from numapin_agent.hostpaths import HostPaths
from numapin_api.errors import CgroupError

_GIB, _MIB, _KIB = 1 << 20, 1 << 10, 1
_UNITS = ((_GIB, "GB"), (_MIB, "MB"), (_KIB, "KB"))
"""In kilobytes, which is what the pools' directories are named by."""


def pools(paths: HostPaths) -> tuple[str, ...]:
    """Sizes with at least one page in their pool, as the controller's files name them.

    Args:
        paths: of the host; where its /sys/kernel is not mounted, a container's own says the same.
    """
    directory = paths.hugepages if paths.hugepages.is_dir() else HostPaths().hugepages
    found = []
    for pool in sorted(directory.glob("hugepages-*kB")):
        try:
            pages = int((pool / "nr_hugepages").read_text(encoding="ascii"))
            kilobytes = int(pool.name.removeprefix("hugepages-").removesuffix("kB"))
        except (OSError, ValueError):
            continue
        if pages > 0:
            found.append(size_name(kilobytes))
    return tuple(found)


def size_name(kilobytes: int) -> str:
    """How mm/hugetlb_cgroup.c ``mem_fmt`` writes a size: 2048 is ``2MB``."""
    factor, unit = next((f, u) for f, u in _UNITS if kilobytes >= f)
    return f"{kilobytes // factor}{unit}"


def parse_numa_stat(text: str) -> dict[int, int]:
    """Bytes per NUMA node in a v2 hugetlb.<size>.numa_stat: ``total=4194304 N0=0 N1=4194304``.

    Raises:
        CgroupError: a field is not ``N<node>=<bytes>``.
    """
    found = {}
    for field in text.split():
        name, _, size = field.partition("=")
        if name == "total":
            continue
        if not (name[:1] == "N" and name[1:].isdecimal() and size.isdecimal()):
            raise CgroupError(f"hugetlb numa_stat: {field!r} in {text!r} is not N<node>=<bytes>")
        found[int(name[1:])] = int(size)
    return found


def summed(maps: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The sum by NUMA node."""
    total: dict[int, int] = {}
    for one in maps:
        for node, size in one.items():
            total[node] = total.get(node, 0) + size
    return total


def with_huge_pages(memory: Residency, huge: Mapping[int, int]) -> Residency:
    """The residency with huge pages among what is resident.

    Not among what is movable: whether a huge page can go depends on free ones elsewhere.
    """
    if not any(huge.values()):
        return memory
    return replace(memory, resident=summed((memory.resident, huge)))
