"""Rates from counters that only ever grow, read about once a second.

Knows nothing of where the counters come from. An agent that restarts begins again at
nought: a counter that fell has counted what it shows since its restart, and what was
counted between the last reading and the restart is lost, not invented.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class PodCounters:
    """A pod's kernel counters since the agent's start.

    Attributes:
        migrated_pages: pages moved by NUMA balancing.
        cross_socket_migrated_pages: of those, pages that changed socket.
        migration_nanoseconds: CPU time spent moving them.
        hint_fault_pages_local: NUMA-hint faults on pages of the faulting CPU's NUMA node.
        hint_fault_pages_remote: NUMA-hint faults on all other pages.
        cross_socket_task_migrations: threads moved to another socket by the scheduler.
    """

    migrated_pages: int = 0
    cross_socket_migrated_pages: int = 0
    migration_nanoseconds: int = 0
    hint_fault_pages_local: int = 0
    hint_fault_pages_remote: int = 0
    cross_socket_task_migrations: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f) + getattr(other, f) for f in NAMES))

    def since(self, earlier: Self) -> Self:
        """What was counted since an earlier reading, each counter for itself."""
        return type(self)(*(increase(getattr(earlier, f), getattr(self, f)) for f in NAMES))


NAMES = tuple(f.name for f in fields(PodCounters))
WHOLE_NODE: Final = ("", "")
"""Stands among the pods for all cgroups of the node; no pod has an empty name."""
KERNEL: Final = ("", "vmstat")
"""And this for numa_pages_migrated of /proc/vmstat, which the agent reads in the same moment:
pages come in bursts of tens of thousands, and a second between two readings would show as a
difference that is none."""


def increase(earlier: int, later: int) -> int:
    """What a counter counted between two readings; all it shows when it began again."""
    return later - earlier if later >= earlier else later


@dataclass(frozen=True, slots=True)
class Second:
    """Everything read at one moment.

    Attributes:
        time: seconds on a clock that never goes back.
        pods: by (namespace, name), and WHOLE_NODE and KERNEL.
        memory: resident bytes by pod UID and NUMA node.
    """

    time: float
    pods: Mapping[tuple[str, str], PodCounters]
    memory: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rates:
    """A pod's counters per second over some seconds.

    Attributes:
        time: the end of the interval, on the clock of the readings.
        seconds: its length.
        counted: what was counted in it.
    """

    time: float
    seconds: float
    counted: PodCounters

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"an interval of {self.seconds} s has no rate")

    @property
    def pages_per_second(self) -> float:
        """Pages that NUMA balancing moved."""
        return self.counted.migrated_pages / self.seconds

    @property
    def cross_socket_pages_per_second(self) -> float:
        """Pages that NUMA balancing moved to another socket."""
        return self.counted.cross_socket_migrated_pages / self.seconds

    @property
    def milliseconds_per_second(self) -> float:
        """CPU time that moving pages took."""
        return self.counted.migration_nanoseconds / 1e6 / self.seconds

    @property
    def task_migrations_per_second(self) -> float:
        """Threads that changed socket."""
        return self.counted.cross_socket_task_migrations / self.seconds

    @property
    def local_percent(self) -> float | None:
        """Share of hint faults on local pages; None without any."""
        local = self.counted.hint_fault_pages_local
        both = local + self.counted.hint_fault_pages_remote
        return 100 * local / both if both else None


def per_interval(seconds: Sequence[Second], pod: tuple[str, str]) -> list[Rates]:
    """One :class:`Rates` for each two readings that both have the pod."""
    having = [s for s in seconds if pod in s.pods]
    return [
        Rates(time=b.time, seconds=b.time - a.time, counted=b.pods[pod].since(a.pods[pod]))
        for a, b in pairwise(having)
        if b.time > a.time
    ]


def mean(rates: Iterable[Rates]) -> Rates | None:
    """All intervals as one; None without any."""
    rates = list(rates)
    if not rates:
        return None
    counted = PodCounters()
    for r in rates:
        counted += r.counted
    return Rates(time=rates[-1].time, seconds=sum(r.seconds for r in rates), counted=counted)


def pages_per_second(seconds: Sequence[Second], whom: tuple[str, str]) -> float | None:
    """Pages per second that NUMA balancing moved; None without readings.

    Args:
        seconds: readings in order.
        whom: a pod, WHOLE_NODE or KERNEL.
    """
    counted = mean(per_interval(seconds, whom))
    return None if counted is None else counted.pages_per_second


def difference_percent(ours: float, theirs: float) -> float:
    """By how many percent ours differs from theirs; 0 when both are nought."""
    if theirs == 0:
        return 0.0 if ours == 0 else float("inf")
    return 100 * (ours - theirs) / theirs
