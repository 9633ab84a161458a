"""What is read from cgroup files, as frozen values, and the pure parsers of those files.

No I/O. A line that a newer kernel adds is skipped; a line that is there but malformed is
an error, because guessing at memory figures would let a wrong verdict through.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CgroupError

RESIDENT_KEYS = (
    "anon",
    "file",
    "kernel_stack",
    "pagetables",
    "sec_pagetables",
    "slab_reclaimable",
    "slab_unreclaimable",
)
"""Keys of memory.numa_stat that together count each resident page once.

``file`` contains shmem; anon_thp, inactive_*, active_* and the like are other cuts of the
same pages (mm/memcontrol.c ``memory_stats``).
"""

MOVABLE_KEYS = ("anon", "file_mapped")
"""Pages that a process maps: only these are moved by move_pages(2) or by a cpuset write.

Page cache that nobody maps stays where it is until it is reclaimed.
"""


class _Sums(NamedTuple):
    """Which sums a key of memory.numa_stat is part of."""

    resident: bool
    movable: bool


_COUNTED = {
    key: _Sums(key in RESIDENT_KEYS, key in MOVABLE_KEYS) for key in (*RESIDENT_KEYS, *MOVABLE_KEYS)
}


class Cpuset(NamedTuple):
    """A pair of cpuset.cpus and cpuset.mems."""

    cpus: CpuSet
    mems: NodeSet

    def __str__(self) -> str:
        return f"cpus {self.cpus or '-'} mems {self.mems or '-'}"


@dataclass(frozen=True, slots=True)
class Residency:
    """Where a cgroup's memory lies.

    Attributes:
        resident: bytes per NUMA node: anonymous, file and kernel memory, once each.
        movable: bytes per NUMA node that some process maps.
    """

    resident: Mapping[int, int]
    movable: Mapping[int, int]

    def off(self, nodes: NodeSet) -> int:
        """Movable bytes on any other NUMA node."""
        return sum(size for node, size in self.movable.items() if node not in nodes)


def parse_numa_stat(text: str) -> Residency:
    """Parse v2 memory.numa_stat (``anon N0=4096 N1=0`` per line, in bytes).

    Raises:
        CgroupError: a field is not ``N<node>=<bytes>``.
    """
    resident: dict[int, int] = {}
    movable: dict[int, int] = {}
    for line in text.splitlines():
        key, _, rest = line.partition(" ")
        into = _COUNTED.get(key)
        if into is None:
            continue
        for field in rest.split():
            name, _, size = field.partition("=")
            if not (name[:1] == "N" and name[1:].isdecimal() and size.isdecimal()):
                raise CgroupError(f"memory.numa_stat: {field!r} in {line!r} is not N<node>=<bytes>")
            node, count = int(name[1:]), int(size)
            if into.resident:
                resident[node] = resident.get(node, 0) + count
            if into.movable:
                movable[node] = movable.get(node, 0) + count
    return Residency(resident=resident, movable=movable)


def parse_flat_keyed(text: str, key: str) -> int | None:
    """The number after ``key`` in a flat keyed file such as memory.stat or cpu.stat.

    Returns:
        None when this kernel has no such key.

    Raises:
        CgroupError: the value is not a number.
    """
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            if not value.isdecimal():
                raise CgroupError(f"{key}: {value!r} is not a number")
            return int(value)
    return None
