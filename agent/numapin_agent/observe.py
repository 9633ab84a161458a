"""NumaPin.status.observed from what the pinner did and the ledger counted.

Also decides when that is worth a write: etcd is not for time series, so in steady state a
pin costs one write in 15 minutes, while whatever a verdict hangs on is written at once.
Pure: no I/O and no clock. Verdicts themselves are the operator's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from numapin_agent.counters.pmu.arithmetic import fills
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.ledger import Window
from numapin_agent.pin.values import PinReport
from numapin_agent.track import Cause
from numapin_api.cpulist import NodeSet
from numapin_api.locality import resident_enough
from numapin_api.pin import (
    IDLE_CPU_SHARE,
    MIN_DRAM_COUNTED_PERCENT,
    MIN_DRAM_FILLS_PER_SECOND,
    MIN_HINT_FAULT_PAGES,
    STEADY_WINDOWS,
    Applied,
    Borrowed,
    ContainerEffective,
    Counters,
    CpusMems,
    Drift,
    Moving,
    NodeBytes,
    NumaPinSpec,
    Observed,
    Phase,
    Problem,
)

REFRESH_SECONDS = 900.0
"""The operator writes a pin's status once in 30 minutes at most on account of that: with its write
a pin costs one in ten minutes."""
MOVING_STEP = 0.10
"""Progress of page moves is written in steps of this share."""
MOVING_SECONDS = 2.0
"""And not more often than this."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a pod did before it was pinned.

    Attributes:
        counters: over up to a minute.
        memory: bytes per NUMA node when the pin began.
    """

    counters: Counters
    memory: tuple[NodeBytes, ...]


def node_bytes(memory: Mapping[int, int]) -> list[NodeBytes]:
    """Memory per NUMA node in its wire form, ascending."""
    return [NodeBytes(node=n, bytes=b) for n, b in sorted(memory.items())]


def _with_kinds(report: PinReport) -> list[NodeBytes]:
    """The same with what of it is page cache, and what tmpfs or shared memory."""
    if not report.file:
        return node_bytes(report.memory)
    return [
        n.model_copy(
            update={
                "page_cache": max(0, report.file.get(n.node, 0) - report.shmem.get(n.node, 0)),
                "shared": report.shmem.get(n.node, 0),
            }
        )
        for n in node_bytes(report.memory)
    ]


def counters(window: Window, *, wall_minus_monotonic: float, moved_pages: int = 0) -> Counters:
    """A window in its wire form.

    Args:
        window: from the ledger.
        wall_minus_monotonic: seconds between the two clocks, to date its start.
        moved_pages: pages that were moved because of the pin so far, before the window, too.
    """
    counted: CgroupCounters = window.counted
    dram = fills(counted)
    since = datetime.fromtimestamp(0, tz=UTC) + timedelta(
        seconds=window.since + wall_minus_monotonic
    )
    return Counters(
        since=_whole(since),
        seconds=round(window.seconds, 3),
        migrated_pages=counted.migrated_pages,
        cross_socket_migrated_pages=counted.cross_socket_migrated_pages,
        migration_nanoseconds=counted.migration_nanoseconds,
        hint_fault_pages_local=counted.hint_fault_pages_local,
        hint_fault_pages_remote=counted.hint_fault_pages_remote,
        cross_socket_task_migrations=counted.cross_socket_task_migrations,
        moved_by_pin_pages=moved_pages,
        syscall_moved_pages=counted.syscall_moved_pages,
        scanner_skips=counted.scanner_skips,
        dram_fills_local=dram.local if dram else None,
        dram_fills_remote=dram.remote if dram else None,
        dram_counted_percent=dram.counted_percent if dram else None,
        page_cache_refaults_per_second=None
        if window.refaults_per_second is None
        else round(window.refaults_per_second, 3),
        cpu_nanoseconds=window.cpu_nanoseconds,
    )


def observed(
    report: PinReport,
    *,
    generation: int,
    baseline: Baseline | None,
    last_window: Counters | None,
    borrowed: Sequence[Borrowed] = (),
) -> Observed:
    """What to publish for a pin.

    Args:
        report: the pinner's, read back from the kernel just now.
        generation: of the spec that was acted on.
        baseline: before the pin, for pods that ran already.
        last_window: the last whole verification window since the pin.
        borrowed: files that it maps and others are charged for.
    """
    applied, drift, moving, problem = report.applied, report.drift, report.moving, report.problem
    return Observed(
        generation=generation,
        phase=report.phase,
        problem=Problem(reason=problem.reason, message=problem.message) if problem else None,
        applied=Applied(cpus=str(applied.cpus), mems=str(applied.mems), time=_whole(applied.time))
        if applied
        else None,
        effective=CpusMems(cpus=str(report.effective.cpus), mems=str(report.effective.mems))
        if report.effective
        else None,
        containers=[
            ContainerEffective(name=c.name, cpus=str(c.effective.cpus), mems=str(c.effective.mems))
            for c in report.containers
            if c.name
        ],
        drift=Drift(
            cpus=str(drift.cpus),
            mems=str(drift.mems),
            count=drift.count,
            time=_whole(drift.time),
        )
        if drift
        else None,
        moving=Moving(bytes_done=moving.bytes_done, bytes_total=moving.bytes_total)
        if moving
        else None,
        memory=_with_kinds(report),
        borrowed=list(borrowed),
        threads=report.threads,
        baseline=baseline.counters if baseline else None,
        baseline_memory=list(baseline.memory) if baseline else [],
        counters=last_window,
    )


def _whole(time: datetime) -> datetime:
    """Whole seconds, as on the wire: else what comes back would never equal what was sent."""
    return time.replace(microsecond=0)


def cause_of(seen: Observed) -> Cause:
    """What the published counters belong to."""
    applied, drift = seen.applied, seen.drift
    return (
        applied.cpus if applied else "",
        applied.mems if applied else "",
        drift.count if drift else 0,
    )


def refused(generation: int, *, phase: Phase, reason: str, message: str) -> Observed:
    """What to publish for a NumaPin that is not acted on."""
    return Observed(
        generation=generation, phase=phase, problem=Problem(reason=reason, message=message)
    )


def verdict_inputs(seen: Observed, spec: NumaPinSpec, home: NodeSet) -> tuple[bool | None, ...]:
    """Which side of its threshold each input of a verdict is on; None when it isn't there.

    In this order: memory on the pin's NUMA nodes, migrated pages per second that changed
    socket and in all (all that is known where the counts come from cgroup files), local hint
    faults where they count, local DRAM fills where they count, whether the pod ran at all.

    Args:
        seen: the figures.
        spec: whose thresholds count.
        home: the pin's NUMA nodes, bound or not (``numapin_api.locality.home``).
    """
    limits = spec.verification
    memory = resident_enough(spec, seen, home)
    counted = seen.counters
    if counted is None or counted.seconds <= 0:
        return (memory,)
    faults = counted.hint_fault_pages_local + counted.hint_fault_pages_remote
    local: bool | None = None
    if faults >= MIN_HINT_FAULT_PAGES and (seen.threads or 0) > 1:
        local = 100 * counted.hint_fault_pages_local >= limits.min_local_percent * faults
    most = limits.max_cross_socket_pages_per_second * counted.seconds
    return (
        memory,
        counted.cross_socket_migrated_pages <= most,
        counted.migrated_pages <= most,
        local,
        _dram_local(counted, limits.min_local_percent),
        counted.cpu_nanoseconds >= IDLE_CPU_SHARE * counted.seconds * 1e9,
    )


@dataclass(frozen=True, slots=True)
class Streak:
    """How many whole windows in a row have said the same.

    Attributes:
        inputs: what they said, as ``verdict_inputs`` has it.
        mark: names the last window counted.
        count: how many there were.
    """

    inputs: tuple[bool | None, ...] = ()
    mark: float | None = None
    count: int = 0

    def after(self, inputs: tuple[bool | None, ...], mark: float | None) -> Streak:
        """The streak after one more look.

        Args:
            inputs: what the figures of now say.
            mark: names the whole window that they hold; None while there is none.
        """
        if mark is None:
            return Streak()
        if mark == self.mark:
            return self
        return Streak(inputs, mark, self.count + 1 if inputs == self.inputs else 1)

    def windows(self, inputs: tuple[bool | None, ...]) -> int | None:
        """How many whole windows say what the figures of now say; None without any window."""
        if self.mark is None:
            return None
        return self.count if inputs == self.inputs else 0


def _dram_local(counted: Counters, least: float) -> bool | None:
    if (counted.dram_counted_percent or 0) < MIN_DRAM_COUNTED_PERCENT:
        return None
    local, remote = counted.dram_fills_local or 0, counted.dram_fills_remote or 0
    if not local or local + remote < MIN_DRAM_FILLS_PER_SECOND * counted.seconds:
        return None
    return 100 * local >= least * (local + remote)


def worth_publishing(
    old: Observed | None, new: Observed, *, spec: NumaPinSpec, home: NodeSet, age_seconds: float
) -> bool:
    """Whether to write ``new`` over ``old``.

    Args:
        old: what the API server has.
        new: what is true now.
        spec: whose thresholds count.
        home: the pin's NUMA nodes.
        age_seconds: since ``old`` was written.
    """
    if old is None or age_seconds >= REFRESH_SECONDS:
        return True
    if _material(old) != _material(new):
        return True
    if (old.baseline is None) != (new.baseline is None):
        return True
    if (old.counters is None) != (new.counters is None):
        return True
    differs = not _confirmed(old) or verdict_inputs(old, spec, home) != verdict_inputs(
        new, spec, home
    )
    if differs and _confirmed(new):
        return True
    return _progressed(old.moving, new.moving) and age_seconds >= MOVING_SECONDS


def _confirmed(seen: Observed) -> bool:
    """Whether figures are worth a verdict: one window that says something else may be chance.

    Before the first window there is nothing to wait for.
    """
    return seen.windows is None or seen.windows >= STEADY_WINDOWS


def _material(seen: Observed) -> tuple[object, ...]:
    return (
        seen.generation,
        seen.phase,
        # Not its message, which may hold bytes or counts that change all the time.
        seen.problem.reason if seen.problem else "",
        seen.applied,
        seen.effective,
        seen.containers,
        seen.drift.count if seen.drift else 0,
        seen.moving is None,
        # Neither bytes nor who else maps them, which change with every look.
        frozenset((b.path, b.node) for b in seen.borrowed),
    )


def _progressed(old: Moving | None, new: Moving | None) -> bool:
    if old is None or new is None:
        return False
    step = MOVING_STEP * max(1, new.bytes_total)
    return abs(new.bytes_done - old.bytes_done) >= step
