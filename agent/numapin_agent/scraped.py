"""What a scrape says of pods and node, as values: what ``figures`` reads and ``metrics`` tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from numapin_agent.cgroup.activity import Activity
from numapin_agent.counters.pairs import Pairs
from numapin_agent.counters.signals import COUNTED, CgroupCounters
from numapin_agent.glance import Glance
from numapin_api.node import Signal


@dataclass(frozen=True, slots=True)
class PodFigures:
    """What a scrape says of one pod.

    Attributes:
        namespace: the pod's namespace.
        name: the pod's name.
        totals: counters since the agent began to count; None without counters.
        memory: resident bytes per NUMA node.
        socket: the socket that its NumaPin names; None without a pin.
        pinned: whether that was applied and read back; None without a pin.
        moved_pages: pages that the agent moved for the pin; None without one, and before the
            first look at it.
        moving: bytes done and in all while pages are being moved.
        drifts: how often somebody else's cpuset was found; None as with ``moved_pages``.
        cpu_nanoseconds: CPU time; None where it is not asked for.
        glance: what else was seen of it; None where nobody looked.
        pairs: what was counted between each two NUMA nodes.
        activity: what its memory went through; None without a pin.
        huge_pages: bytes of hugetlbfs per NUMA node.
        counted: which of ``totals`` are had; zeros of the others mean nothing and are not told.
    """

    namespace: str
    name: str
    totals: CgroupCounters | None
    memory: Mapping[int, int]
    socket: int | None = None
    pinned: bool | None = None
    moved_pages: int | None = None
    moving: tuple[int, int] | None = None
    drifts: int | None = None
    cpu_nanoseconds: int | None = None
    glance: Glance | None = None
    pairs: Pairs = field(default_factory=dict)
    activity: Activity | None = None
    huge_pages: Mapping[int, int] = field(default_factory=dict)
    counted: frozenset[str] = COUNTED


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """What a scrape says of a NUMA node's memory.

    Attributes:
        node: id of the NUMA node.
        socket: that holds all its online CPUs; None for none.
        total: bytes.
        available: bytes that can be had without swapping; None when that can't be read.
    """

    node: int
    socket: int | None
    total: int
    available: int | None


@dataclass(frozen=True, slots=True)
class NumaMoves:
    """Migrations by NUMA balancing in all cgroups of the node.

    Attributes:
        count: that moved at least one page.
        nanoseconds: spent on all of them.
    """

    count: int
    nanoseconds: int


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What a scrape says of the node.

    Attributes:
        pages_migrated: numa_pages_migrated of /proc/vmstat, None where the kernel has none.
        pages_counted: pages of NUMA balancing that were counted in all cgroups; None where they
            are not.
        signals: how each kernel signal is had.
        lost: events that were not counted; None when that can't be told.
        tracer_alive: whether the kernel still counts; None without counters.
        loop_silent_seconds: since the reconcile loop's last sign of life.
        writes_pending: API writes that are due.
        programs: signal, program and whether it counts.
        counting_since: Unix time from which counters have no gap; None without counters.
        reloads: how often programs were loaded anew.
        stalled_seconds: how long the agent stood still, in all.
        memory: of each NUMA node.
        lost_pairs: events that were not counted for their pair of NUMA nodes; None when that
            can't be told.
        lost_alarms: of kswapd, that found no room; None where it can't be heard.
        compatibility: what is also told by the names that an exporter before numapin used; None
            without counters, or where these names are not wanted.
    """

    pages_migrated: int | None
    pages_counted: int | None
    signals: tuple[Signal, ...]
    lost: int | None
    tracer_alive: bool | None
    loop_silent_seconds: float
    writes_pending: int
    programs: tuple[tuple[str, str, bool], ...] = ()
    counting_since: float | None = None
    reloads: int = 0
    stalled_seconds: float = 0.0
    memory: tuple[MemoryFigures, ...] = ()
    lost_pairs: int | None = None
    lost_alarms: int | None = None
    compatibility: NumaMoves | None = None
