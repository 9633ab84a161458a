"""A pod on a cgroup v1 or hybrid host, as far as it can be counted: there it is never pinned.

Kernel counters go by the cgroup of the memory controller, so that hierarchy names the pod. Reading
only; deliberately nothing of cpusets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from numapin_agent.cgroup import files
from numapin_agent.cgroup.activity import Activity, activity
from numapin_agent.cgroup.pod import walk
from numapin_agent.cgroup.values import parse_flat_keyed
from numapin_api.errors import CgroupError

_RESIDENT: Final = ("hierarchical_anon", "hierarchical_file", "hierarchical_unevictable")
"""Pages on the LRU lists (mm/memcontrol-v1.c ``memcg_numa_stat_show``): no kernel memory there."""


@dataclass(frozen=True, slots=True)
class LegacyPod:
    """One pod's cgroup in the hierarchy of the v1 memory controller.

    Attributes:
        uid: the pod's UID.
        path: its directory.
        memory: mount of that hierarchy.
        page_size: bytes; v1 counts in pages.
    """

    uid: str
    path: Path
    memory: Path
    page_size: int

    def cgroup_ids(self) -> frozenset[int]:
        """Ids of the pod's cgroup and all below, in the memory controller's hierarchy."""
        return frozenset(number for _, number in walk(str(self.path)))

    def cpu_nanoseconds(self) -> int:
        """CPU time used since the cgroup was made; 0 when the cpuacct controller has none."""
        at = self.memory.parent / "cpuacct" / self.path.relative_to(self.memory)
        text = (files.read(at / "cpuacct.usage") or "0").strip()
        if not text.isdecimal():
            raise CgroupError(f"{at}/cpuacct.usage: {text!r} is not a number")
        return int(text)

    def page_cache_refaults(self) -> int | None:
        """Pages of page cache that were read again shortly after they had been reclaimed."""
        stat = files.read(self.path / "memory.stat") or ""
        return parse_flat_keyed(stat, "total_workingset_refault_file")

    def numa_pages_migrated(self) -> int | None:
        """None: memory.stat of v1 does not have it."""
        return None

    def residency(self) -> dict[int, int]:
        """Resident bytes per NUMA node.

        Raises:
            CgroupError: memory.numa_stat is malformed.
        """
        return {
            node: pages * self.page_size
            for node, pages in parse_numa_stat(
                files.read(self.path / "memory.numa_stat") or ""
            ).items()
        }

    def huge_pages(self) -> dict[int, int]:
        """Empty: the v1 hugetlb controller does not tell NUMA nodes apart."""
        return {}

    def activity(self) -> Activity:
        """Faults and refaults since the cgroup was made; v1 has no stalls.

        Raises:
            CgroupError: memory.stat is malformed.
        """
        stat = files.read(self.path / "memory.stat") or ""
        below = (line.removeprefix("total_") for line in stat.splitlines() if line[:6] == "total_")
        return activity("\n".join(below), "")


def parse_numa_stat(text: str) -> Mapping[int, int]:
    """Pages per NUMA node in v1 memory.numa_stat, with those of all cgroups below.

    Lines are ``hierarchical_anon=2161236 N0=2161236``.

    Raises:
        CgroupError: a field is not ``N<node>=<pages>``.
    """
    found: dict[int, int] = {}
    for line in text.splitlines():
        head, *fields = line.split()
        if head.partition("=")[0] not in _RESIDENT:
            continue
        for field in fields:
            name, _, pages = field.partition("=")
            if not (name[:1] == "N" and name[1:].isdecimal() and pages.isdecimal()):
                raise CgroupError(f"memory.numa_stat: {field!r} in {line!r} is not N<node>=<pages>")
            node = int(name[1:])
            found[node] = found.get(node, 0) + int(pages)
    return found
