"""Everything that is known about one pod's pin, as data; the verdict's own checks included.

The checks come from the operator's pure ``judge``, called with what the API holds now, so
that command line and operator can't disagree about the arithmetic. Words about what to do
next are in ``advice``, the picture in ``explain``.
"""

from datetime import datetime

from numapin_api.base import Condition, Timestamp, Wire
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.locality import home
from numapin_api.node import NumaNode, Signal
from numapin_api.pin import (
    Applied,
    Counters,
    CpusMems,
    Drift,
    Evidence,
    Moving,
    NumaPin,
    NumaPinSpec,
    Observed,
    Phase,
    Problem,
    Verdict,
)
from numapin_api.policy import Granularity, MemoryMode, Mode, Verification
from numapin_api.topology import Topology
from numapin_cli.views.effect import ChangeRow, changes, uncounted
from numapin_cli.views.status import sockets
from numapin_operator.checks import eyes
from numapin_operator.steady import steadied
from numapin_operator.verdict import Judgement, judge


class CheckRow(Wire):
    """One question and its answer; ``ok`` is None where it can't be answered or counts not."""

    name: str
    ok: bool | None
    found: str
    wanted: str
    message: str


class ContainerRow(Wire):
    """What the kernel has in force for a container."""

    name: str
    cpus: str
    mems: str
    inside: bool
    """Whether that lies within the pin."""


class MemoryRow(Wire):
    """Resident memory on a NUMA node."""

    node: int
    socket: int | None
    local: bool
    """Whether it is one of the pin's NUMA nodes."""
    bytes: int
    percent: float
    before_bytes: int | None
    """Before the pin, for pods that ran already."""


class BorrowedRow(Wire):
    """A file that the pod maps off its socket and others are charged for, by an estimate."""

    path: str
    node: int
    socket: int | None
    bytes: int
    pods: tuple[str, ...]
    """Other pods of the namespace that map it, too."""
    others: int
    """How many more do."""


class Rates(Wire):
    """Counters of a window, per second; null where they can't be counted on the node."""

    since: Timestamp
    seconds: float
    migrated_pages_per_second: float | None
    cross_socket_pages_per_second: float | None
    migration_ms_per_second: float | None
    cross_socket_task_migrations_per_second: float | None
    hint_fault_pages: int | None
    hint_fault_local_percent: float | None
    moved_by_pin_pages: int
    syscall_moved_pages: int | None
    scanner_skips: int | None
    page_cache_refaults_per_second: float | None
    """None where the kernel does not say."""
    cpu_percent: float
    """Of one CPU."""


class Explanation(Wire):
    """A pod's pin and all that speaks for and against it."""

    namespace: str
    name: str
    node: str | None
    pod_uid: str | None = None
    created: Timestamp | None = None
    verdict: Verdict | None = None
    evidence: Evidence | None = None
    message: str
    verdict_now: Verdict | None = None
    """What the same checks say of the figures that the API holds now."""
    policy: str | None = None
    mode: Mode | None = None
    granularity: Granularity | None = None
    memory_mode: MemoryMode | None = None
    memory_headroom: str | None = None
    verification: Verification | None = None
    socket: int | None = None
    sockets: tuple[int, ...] = ()
    """All that the pod is on: more than one with onUnplaceable Split only."""
    desired: CpusMems | None = None
    phase: Phase | None = None
    applied: Applied | None = None
    effective: CpusMems | None = None
    containers: tuple[ContainerRow, ...] = ()
    checks: tuple[CheckRow, ...]
    memory: tuple[MemoryRow, ...] = ()
    borrowed: tuple[BorrowedRow, ...] = ()
    local_percent: float | None = None
    threads: int | None = None
    before: Rates | None = None
    after: Rates | None = None
    effect: tuple[ChangeRow, ...] = ()
    """What the pin changed, for pods that ran before it."""
    signals: tuple[Signal, ...] = ()
    kernel: str | None = None
    numa_balancing: bool | None = None
    drift: Drift | None = None
    moving: Moving | None = None
    problem: Problem | None = None
    conditions: tuple[Condition, ...] = ()
    next: tuple[str, ...] = ()


def explain(pin: NumaPin, node: NumaNode | None, *, now: datetime) -> Explanation:
    """All that is known about a pin.

    Args:
        pin: the NumaPin.
        node: the NumaNode that the pod runs on, if there is one.
        now: to tell whether the agent has gone silent.
    """
    spec, status = pin.spec, pin.status
    observed = status.observed if status else None
    seen = eyes(node.status if node else None)
    capabilities = node.status.capabilities if node and node.status else None
    judged = steadied(
        judge(spec, observed, generation=pin.metadata.generation, seen=seen, now=now),
        status,
        generation=pin.metadata.generation or 0,
    )
    refused = spec.socket is None
    missing = uncounted(seen)
    return Explanation(
        namespace=pin.metadata.namespace or "default",
        name=pin.metadata.name,
        node=spec.node_name,
        pod_uid=spec.pod_uid,
        created=pin.metadata.creation_timestamp,
        verdict=status.verdict if status else None,
        evidence=status.evidence if status else None,
        message=_message(pin, judged),
        verdict_now=None if refused else judged.verdict,
        policy=spec.policy,
        mode=spec.mode,
        granularity=spec.granularity,
        memory_mode=spec.memory,
        memory_headroom=spec.memory_headroom,
        verification=spec.verification,
        socket=spec.socket,
        sockets=tuple(sockets(spec)),
        desired=None if refused else CpusMems(cpus=spec.cpus or "", mems=spec.mems or ""),
        phase=observed.phase if observed else None,
        applied=observed.applied if observed else None,
        effective=observed.effective if observed else None,
        containers=_containers(spec, observed),
        checks=_checks(pin, judged),
        memory=_memory(spec, observed, seen.topology),
        borrowed=_borrowed(observed, seen.topology),
        local_percent=judged.local_percent,
        threads=observed.threads if observed else None,
        before=rates(observed.baseline, missing) if observed and observed.baseline else None,
        after=rates(observed.counters, missing) if observed and observed.counters else None,
        effect=changes(observed, frozenset(home(spec, seen.topology)), missing=missing)
        if observed
        else (),
        signals=tuple(capabilities.signals) if capabilities else (),
        kernel=capabilities.kernel if capabilities else None,
        numa_balancing=capabilities.numa_balancing if capabilities else None,
        drift=observed.drift if observed else None,
        moving=observed.moving if observed else None,
        problem=observed.problem if observed else None,
        conditions=tuple(status.conditions) if status else (),
    )


def rates(counters: Counters, missing: frozenset[str]) -> Rates:
    """Counters per second; an empty window gives zeros.

    Args:
        counters: of a window.
        missing: fields of it that nothing counts there.
    """

    def had(field: str) -> int | None:
        count: int = getattr(counters, field)
        return None if field in missing else count

    def each(amount: float) -> float:
        return round(amount / counters.seconds, 3) if counters.seconds else 0.0

    def per_second(field: str, scale: float = 1) -> float | None:
        count = had(field)
        return None if count is None else each(count / scale)

    sampled = counters.hint_fault_pages_local + counters.hint_fault_pages_remote
    return Rates(
        since=counters.since,
        seconds=counters.seconds,
        migrated_pages_per_second=per_second("migrated_pages"),
        cross_socket_pages_per_second=per_second("cross_socket_migrated_pages"),
        migration_ms_per_second=per_second("migration_nanoseconds", 1e6),
        cross_socket_task_migrations_per_second=per_second("cross_socket_task_migrations"),
        hint_fault_pages=None if "hint_fault_pages_local" in missing else sampled,
        hint_fault_local_percent=(
            # rounded down, as in the verdict: 94.96 % is not 95.0 %
            counters.hint_fault_pages_local * 1000 // sampled / 10 if sampled else None
        ),
        moved_by_pin_pages=counters.moved_by_pin_pages,
        syscall_moved_pages=had("syscall_moved_pages"),
        scanner_skips=had("scanner_skips"),
        page_cache_refaults_per_second=counters.page_cache_refaults_per_second,
        cpu_percent=each(counters.cpu_nanoseconds / 1e7),
    )


def _message(pin: NumaPin, judged: Judgement) -> str:
    """The operator's words if it has judged otherwise, else those of the same checks now.

    Its status need not hold the last figures while they mean the same.
    """
    conditions = {c.type: c for c in (pin.status.conditions if pin.status else ())}
    if pin.spec.socket is None and "Pinned" in conditions:
        return conditions["Pinned"].message
    status = pin.status
    if status is None or status.verdict is None or "Verified" not in conditions:
        return judged.message
    if (judged.verdict, judged.evidence) == (status.verdict, status.evidence):
        return judged.message
    return conditions["Verified"].message


def _checks(pin: NumaPin, judged: Judgement) -> tuple[CheckRow, ...]:
    found = [
        CheckRow(name=c.name, ok=c.ok, found=c.found, wanted=c.wanted, message=c.message)
        for c in judged.checks
    ]
    conditions = pin.status.conditions if pin.status else []
    pinned = next((c for c in conditions if c.type == "Pinned"), None)
    if pin.spec.socket is None:
        found.insert(
            0,
            CheckRow(
                name="placement",
                ok=None if pinned is None else False,
                found=pinned.reason if pinned else "not decided yet",
                wanted="a socket",
                message=pinned.message if pinned else judged.message,
            ),
        )
    elif not found:
        found.append(
            CheckRow(
                name="agent",
                ok=None,
                found="no report yet",
                wanted="a report of this pin",
                message=judged.message,
            )
        )
    return tuple(found)


def _containers(spec: NumaPinSpec, observed: Observed | None) -> tuple[ContainerRow, ...]:
    if observed is None:
        return ()
    cpus, mems = CpuSet.parse(spec.cpus or ""), NodeSet.parse(spec.mems or "")
    return tuple(
        ContainerRow(
            name=c.name,
            cpus=c.cpus,
            mems=c.mems,
            inside=CpuSet.parse(c.cpus) <= cpus
            and (spec.memory != "Strict" or not mems or NodeSet.parse(c.mems) <= mems),
        )
        for c in observed.containers
    )


def _memory(
    spec: NumaPinSpec, observed: Observed | None, topology: Topology | None
) -> tuple[MemoryRow, ...]:
    if observed is None:
        return ()
    local = home(spec, topology)
    total = sum(m.bytes for m in observed.memory)
    before = {m.node: m.bytes for m in observed.baseline_memory}
    return tuple(
        MemoryRow(
            node=m.node,
            socket=topology.socket_of_node(m.node) if topology else None,
            local=m.node in local,
            bytes=m.bytes,
            percent=m.bytes * 1000 // total / 10 if total else 0.0,
            before_bytes=before.get(m.node, 0) if before else None,
        )
        for m in observed.memory
    )


def _borrowed(observed: Observed | None, topology: Topology | None) -> tuple[BorrowedRow, ...]:
    return tuple(
        BorrowedRow(
            path=b.path,
            node=b.node,
            socket=topology.socket_of_node(b.node) if topology else None,
            bytes=b.bytes,
            pods=tuple(b.pods),
            others=b.others,
        )
        for b in (observed.borrowed if observed else ())
    )
