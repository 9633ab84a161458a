"""What a scrape says: joins counters, memory, pods and pins at the moment it is asked.

Kernel figures are read now, not remembered from the last tick, so that whoever scrapes
each second sees each second. Pods whose names are not known yet are left out.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from numapin_agent.census import Census, Cgroup
from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.cluster import Cluster
from numapin_agent.glance import Glance, Glances, touched
from numapin_agent.pin.values import PinReport
from numapin_agent.ports import Key
from numapin_agent.scraped import MemoryFigures, NumaMoves, PodFigures
from numapin_api.errors import CgroupError, CounterError
from numapin_api.topology import Topology

SCRAPE_SECONDS = 0.5
"""What was read so long ago was read for the same scrape."""

_MIGRATED = b"\nnuma_pages_migrated "


def pod_figures(
    census: Census, cluster: Cluster, reports: Mapping[Key, PinReport], glances: Glances
) -> Iterator[PodFigures]:
    """One entry for each pod that has a cgroup and a name.

    Args:
        census: cgroups and counters.
        cluster: names and pins.
        reports: newest report of every pin.
        glances: looks at pods that have none.
    """
    try:
        ledger = census.read() if census.counting else None
        pairs = census.pairs().pods if census.counting else {}
    except CounterError:
        ledger, pairs = None, {}  # absent counters, never stale ones
    members = census.members()
    pins = cluster.pins()
    for key, pod in cluster.pods().items():
        member = members.get(pod.cgroup_uid)
        if member is None:
            continue
        pin, report = pins.get(key), reports.get(key)
        try:
            memory = member.cgroup.residency()
            # Two more files of each pod are over the agent's budget; who has a pin is looked at.
            activity = member.cgroup.activity() if pin else None
            huge = member.cgroup.huge_pages()
        except CgroupError:
            memory, activity, huge = {}, None, {}
        counted = ledger.pods.get(pod.cgroup_uid) if ledger else None
        pair = pairs.get(pod.cgroup_uid)
        totals = counted.totals() if counted else None
        watched = pin is not None or (totals is not None and touched(totals))
        moving = report.moving if report else None
        yield PodFigures(
            namespace=key[0],
            name=key[1],
            totals=totals,
            counted=census.counted,
            memory=memory,
            socket=pin.spec.socket if pin else None,
            pinned=(report is not None and report.phase == "Pinned") if pin else None,
            # An agent that has just started knows neither before its first look at the pod's
            # record: 0 would be a counter that falls, and next a jump that never was.
            moved_pages=report.moved_pages if pin and report else None,
            moving=(moving.bytes_done, moving.bytes_total) if moving else None,
            drifts=(report.drift.count if report.drift else 0) if pin and report else None,
            cpu_nanoseconds=member.cgroup.cpu_nanoseconds() if watched else None,
            glance=_glance(member.cgroup, report, glances) if watched else None,
            pairs=pair.totals if pair else {},
            activity=activity,
            huge_pages=huge,
        )


def _glance(cgroup: Cgroup, report: PinReport | None, glances: Glances) -> Glance | None:
    """Of a pod with a pin what its last look said; cpusets are then numapin's own business."""
    if report is not None:
        return Glance(report.threads) if report.threads else None
    return glances.of(cgroup) if isinstance(cgroup, PodCgroup) else None


def memory_figures(
    topology: Topology | None, available: Callable[[], Mapping[int, int]]
) -> tuple[MemoryFigures, ...]:
    """Room on each NUMA node that has memory.

    Args:
        topology: of the machine; None while unknown.
        available: bytes that can be had, by NUMA node.
    """
    if topology is None:
        return ()
    free = available()
    return tuple(
        MemoryFigures(n.id, n.socket, n.memory_bytes, free.get(n.id))
        for n in topology.nodes
        if n.memory_bytes > 0
    )


def pages_counted(census: Census) -> int | None:
    """Pages of NUMA balancing counted in all cgroups of the node; None where they are not.

    From the reading that the same scrape has just made for the pods, if it has.
    """
    if not census.whole_node:
        return None
    try:
        return census.recent(seconds=SCRAPE_SECONDS).node.totals().migrated_pages
    except CounterError:
        return None


def numa_moves(census: Census) -> NumaMoves | None:
    """Migrations in all cgroups of the node, as tools for a whole node count them, or None.

    From the reading that the same scrape has made, as ``pages_counted``.
    """
    if not census.whole_node:
        return None
    try:
        totals = census.recent(seconds=SCRAPE_SECONDS).node.totals()
    except CounterError:
        return None
    return NumaMoves(totals.migrations, totals.migration_nanoseconds)


def pages_migrated(vmstat: Path) -> int | None:
    """numa_pages_migrated of /proc/vmstat; None on kernels without NUMA balancing."""
    try:
        text = vmstat.read_bytes()
    except OSError:
        return None
    at = text.find(_MIGRATED)
    return int(text[at + len(_MIGRATED) :].split(b"\n", 1)[0]) if at >= 0 else None
