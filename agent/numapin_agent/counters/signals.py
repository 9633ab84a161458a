"""The signals, their map values and what is read from them: the BPF programs' other half.

``FIELDS`` mirrors the structs of ``bpf/programs.c`` member by member. Pure: bytes in, sums
out; descriptors and system calls are elsewhere.
"""

import struct
import sys
from collections.abc import Mapping
from operator import add
from typing import Final, Literal, NamedTuple

Level = Literal["fentry", "kprobe", "rawTracepoint", "perfEvent", "cgroup", "none"]
CgroupVersion = Literal[1, 2]

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "numaMigrations": (
        "migrations",
        "migrated_pages",
        "cross_socket_migrated_pages",
        "migration_nanoseconds",
    ),
    "hintFaults": ("hint_fault_pages_local", "hint_fault_pages_remote"),
    "taskMigrations": ("cross_socket_task_migrations",),
    "pinMoves": ("pin_moved_pages",),
    "syscallMoves": ("syscall_moved_pages",),
    "scannerSkips": ("scanner_skips",),
    "remoteDram": (
        "dram_fills_local",
        "dram_fills_remote",
        "dram_running_nanoseconds",
        "dram_enabled_nanoseconds",
    ),
}
"""Per signal the 64-bit members of its map's value."""
_SHARED: Final = frozenset({"syscallMoves", "scannerSkips"})
"""Signals whose maps hold one value for all CPUs: their events are seldom."""

KEY_SIZE: Final = 8
"""Keys are cgroup ids: the inode of the cgroup's directory on v2 from 5.5 on."""


class CgroupCounters(NamedTuple):
    """What one cgroup did since the counters were started; every number only grows.

    The cgroup is the one that holds the task itself, so a pod is the sum over its containers'
    cgroups. Local and remote mean the socket: a fault on another NUMA node of the same socket
    (SNC, NPS) counts as local, since that is what a pin to a socket promises.

    Attributes:
        migrations: times that NUMA balancing moved at least one page.
        migrated_pages: base pages that it moved.
        cross_socket_migrated_pages: of those, pages that changed socket.
        migration_nanoseconds: time spent in ``migrate_pages`` for NUMA balancing, moves that
            failed included.
        hint_fault_pages_local: pages whose NUMA hint fault found them on the CPU's socket.
        hint_fault_pages_remote: pages found on another socket.
        cross_socket_task_migrations: times a thread was moved to a CPU of another socket.
        pin_moved_pages: pages moved because a cpuset.mems was written. Pages that the agent
            itself moves with move_pages(2) are counted by its mover, not here.
        syscall_moved_pages: pages moved by system calls of the cgroup's own tasks:
            move_pages(2), migrate_pages(2), mbind(2). They may be another process's;
            set_mempolicy_home_node(2) moves none by itself. The agent's are in its own cgroup.
        scanner_skips: times that NUMA balancing's scanner left a task alone because its cpuset
            names one NUMA node only.
        dram_fills_local: cache lines that came from the socket's own DRAM, while the CPUs'
            counters ran; see ``pmu.arithmetic`` for the whole time.
        dram_fills_remote: the same from another socket's.
        dram_running_nanoseconds: the cgroup's CPU time in which the counters ran.
        dram_enabled_nanoseconds: in which they were meant to: others may use the same hardware.
    """

    migrations: int = 0
    migrated_pages: int = 0
    cross_socket_migrated_pages: int = 0
    migration_nanoseconds: int = 0
    hint_fault_pages_local: int = 0
    hint_fault_pages_remote: int = 0
    cross_socket_task_migrations: int = 0
    pin_moved_pages: int = 0
    syscall_moved_pages: int = 0
    scanner_skips: int = 0
    dram_fills_local: int = 0
    dram_fills_remote: int = 0
    dram_running_nanoseconds: int = 0
    dram_enabled_nanoseconds: int = 0

    def __add__(self, other: "CgroupCounters") -> "CgroupCounters":  # type: ignore[override]
        """Number by number, not one tuple behind the other."""
        return CgroupCounters(*map(add, self, other))


COUNTED: Final = frozenset(CgroupCounters._fields)
"""All counters, as where the kernel programs count every signal."""
_IN_FILES: Final[Mapping[str, frozenset[str]]] = {"numaMigrations": frozenset({"migrated_pages"})}
"""What memory.stat tells of a signal, in the counters' own terms."""


def counted(levels: Mapping[str, Level]) -> frozenset[str]:
    """Which counters are had: the others stay 0, which is not the same as nothing counted.

    Args:
        levels: by signal; one that is missing is not had.
    """
    had: set[str] = set()
    for signal, level in levels.items():
        if level == "cgroup":
            had |= _IN_FILES.get(signal, frozenset())
        elif level != "none":
            had |= set(FIELDS.get(signal, ()))
    return frozenset(had)


def copies(signal: str, cpus: int) -> int:
    """How many values the signal's map holds for each cgroup, of so many possible CPUs."""
    return 1 if signal in _SHARED else cpus


def value_size(signal: str) -> int:
    """Bytes of one CPU's value in the signal's map."""
    return 8 * len(FIELDS[signal])


def decode(signal: str, keys: bytes, values: bytes, *, cpus: int) -> dict[int, tuple[int, ...]]:
    """Sum the per-CPU values of a map.

    All CPUs of a cgroup are added at once: as one big integer, whose upper half is folded onto
    its lower until one CPU's counters are left. A loop over every number took twice as long,
    which counts on a machine of hundreds of CPUs. No sum reaches 2^64, so none spills into the
    next.

    Args:
        signal: a key of ``FIELDS``.
        keys: cgroup ids, 8 bytes each.
        values: for every key the values of all possible CPUs, one after the other.
        cpus: number of possible CPUs, or of values per cgroup (``copies``).

    Returns:
        Per cgroup id the sums in the order of ``FIELDS[signal]``.

    Raises:
        ValueError: the lengths don't fit together.
    """
    members = len(FIELDS[signal])
    count = len(keys) // KEY_SIZE
    if len(keys) % KEY_SIZE or len(values) != count * members * cpus * 8:
        raise ValueError(
            f"{signal}: {len(keys)} bytes of keys and {len(values)} of values don't fit "
            f"{members} counters on {cpus} CPUs"
        )
    one = members * 8
    each, layout, folds = one * cpus, struct.Struct(f"={members}Q"), _folds(cpus, bits=one * 8)
    found = {}
    for i, cgroup in enumerate(struct.unpack(f"={count}Q", keys)):
        number = int.from_bytes(values[i * each : (i + 1) * each], sys.byteorder)
        for shift, mask in folds:
            number = (number & mask) + (number >> shift)
        found[cgroup] = layout.unpack(number.to_bytes(one, sys.byteorder))
    return found


def _folds(blocks: int, *, bits: int) -> list[tuple[int, int]]:
    """Shift and mask of each step that adds up so many blocks of so many bits in a number."""
    steps = []
    while blocks > 1:
        blocks = (blocks + 1) // 2
        steps.append((blocks * bits, (1 << blocks * bits) - 1))
    return steps


def merge(sums: Mapping[str, Mapping[int, tuple[int, ...]]]) -> dict[int, CgroupCounters]:
    """Join what ``decode`` gave for each signal into one record per cgroup."""
    joined: dict[int, dict[str, int]] = {}
    for signal, by_cgroup in sums.items():
        for cgroup, numbers in by_cgroup.items():
            joined.setdefault(cgroup, {}).update(zip(FIELDS[signal], numbers, strict=True))
    return {cgroup: CgroupCounters(**numbers) for cgroup, numbers in joined.items()}
