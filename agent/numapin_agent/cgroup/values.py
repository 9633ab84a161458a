"""What is read from cgroup files, as frozen values, and the pure parsers of those files.

No I/O. A line that a newer kernel adds is skipped; a line that is there but malformed is
an error, because guessing at memory figures would let a wrong verdict through.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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


_SUMS = ("resident", "movable", "file", "shmem", "mapped")
"""The fields of ``Residency``."""
_COUNTED: Mapping[str, tuple[str, ...]] = {
    key: tuple(
        name
        for name, keys in zip(
            _SUMS,
            (RESIDENT_KEYS, MOVABLE_KEYS, ("file",), ("shmem",), ("file_mapped",)),
            strict=True,
        )
        if key in keys
    )
    for key in (*RESIDENT_KEYS, *MOVABLE_KEYS, "shmem")
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
        file: of the resident ones, files; tmpfs and shared memory among them.
        shmem: of these, tmpfs and shared memory.
        mapped: of the files, what some process maps, be it another pod's; empty where the kernel
            does not say.
    """

    resident: Mapping[int, int]
    movable: Mapping[int, int]
    file: Mapping[int, int] = field(default_factory=dict)
    shmem: Mapping[int, int] = field(default_factory=dict)
    mapped: Mapping[int, int] = field(default_factory=dict)

    def off(self, nodes: NodeSet) -> int:
        """Movable bytes on any other NUMA node."""
        return sum(size for node, size in self.movable.items() if node not in nodes)


def parse_numa_stat(text: str) -> Residency:
    """Parse v2 memory.numa_stat (``anon N0=4096 N1=0`` per line, in bytes).

    Raises:
        CgroupError: a field is not ``N<node>=<bytes>``.
    """
    sums: dict[str, dict[int, int]] = {name: {} for name in _SUMS}
    for line in text.splitlines():
        key, _, rest = line.partition(" ")
        into = _COUNTED.get(key)
        if into is None:
            continue
        for part in rest.split():
            name, _, size = part.partition("=")
            if not (name[:1] == "N" and name[1:].isdecimal() and size.isdecimal()):
                raise CgroupError(f"memory.numa_stat: {part!r} in {line!r} is not N<node>=<bytes>")
            node, count = int(name[1:]), int(size)
            for name_of_sum in into:
                bytes_by_node = sums[name_of_sum]
                bytes_by_node[node] = bytes_by_node.get(node, 0) + count
    return Residency(**sums)


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
