"""Whether a pin took effect, judged from what the agent saw. A pure function.

"No migrations" alone proves nothing: CPUs on one socket with memory on the other migrate
nothing either. So effective cpusets, residency and counters must agree, and where the
kernel gives no samples the verdict says that it rests on placement, and why. It
deliberately does nothing about a bad verdict.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from numapin_api.locality import home
from numapin_api.pin import Evidence, NumaPinSpec, Observed, Verdict
from numapin_operator import checks, dram, observing
from numapin_operator.checks import Check, Eyes
from numapin_operator.text import listed

SILENT_AFTER: Final = timedelta(minutes=35)
"""Agents report at least every 15 minutes; two missed reports and a bit mean silence."""
WINDOWS_AT_MOST: Final = 3
"""So many windows after a window's begin the next one is whole: itself, one that a restart of the
agent broke off at its end, and the next."""

_HANDS_OFF: Final = {
    "Waiting": "the pod's cgroup is not there yet",
    "Baseline": "counters are read before the pod is pinned",
    "Moving": "CPUs are set, memory is being moved",
    "Unpinned": "the agent has given the pin back",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the operator gave the pod no socket.

    Attributes:
        reason: condition reason.
        message: for people.
        verdict: what it makes of the pin.
    """

    reason: str
    message: str
    verdict: Verdict = "Unplaceable"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with everything that led to it.

    Attributes:
        verdict: see the contract.
        evidence: what a Verified rests on, else None.
        message: the verdict in a sentence, with numbers.
        checks: every check made, in the order in which people read them.
        local_percent: share of resident memory on the pin's NUMA nodes.
        cross_socket_pages_per_second: NUMA-balancing migrations between sockets.
        whole_window: a whole window was counted.
        by_figures: it rests on the figures of a window, which the next one may gainsay.
        unsaid: nothing can be concluded until the agent has said what it can count.
    """

    verdict: Verdict
    message: str
    evidence: Evidence | None = None
    checks: tuple[Check, ...] = ()
    local_percent: float | None = None
    cross_socket_pages_per_second: float | None = None
    whole_window: bool = False
    by_figures: bool = False
    unsaid: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table: a verdict without what led to it."""

    verdict: Verdict
    message: str
    evidence: Evidence | None = None
    by_figures: bool = False
    unsaid: bool = False


def _said(found: tuple[Check, ...], names: tuple[str, ...] = ()) -> str:
    return "; ".join(c.message for c in found if not names or c.name in names)


NOT_SEEN_YET: Final = frozenset({"PodNotFound", "PodReplaced", "LabelRemoved"})
"""Problems of two watches that are not in step, which pass by themselves."""
_CONFLICTS: Final = frozenset({"Conflict", "OutsideParent"})
_NO_ROOM: Final = frozenset({"NoRoom"})


def _refused(spec: NumaPinSpec, observed: Observed) -> _Row:
    """What a problem that the agent reports makes of the pin."""
    problem = observed.problem
    if problem is None:
        return _Row("Ineffective", "the agent refused the pin and gave no reason")
    text = f"{problem.reason}: {problem.message}"
    if problem.reason in NOT_SEEN_YET:
        return _Row("Pending", text)
    if problem.reason in _CONFLICTS:
        return _Row("Conflict", text)
    if problem.reason in _NO_ROOM:
        return _Row("Unplaceable", text)
    return _Row("Ineffective", f"not pinned to socket {spec.socket}: {text}")


def _drifted(observed: Observed, *, placed: bool) -> str | None:
    """Whether somebody else's cpuset is in force, or was within the window judged."""
    drift, counters = observed.drift, observed.counters
    if drift is None:
        return None
    what = (
        f"somebody else set CPUs {drift.cpus} and memory nodes {drift.mems} "
        f"at {drift.time:%H:%M:%S} UTC ({drift.count} times so far)"
    )
    if not placed:
        return what
    if counters is None or counters.since < drift.time:
        return f"{what}; set right since, a clean window is awaited"
    return None


def silent_from(observed: Observed) -> datetime | None:
    """From when on an agent that has published nothing since this report is called silent.

    Of one that does not date its reports the last window has to tell. A living one publishes the
    same window until the next is whole, and begins that anew when it is restarted: its last word
    may be of a window that ended two windows ago.

    Args:
        observed: the last report.

    Returns:
        None where the report does not tell how old it is.
    """
    if observed.time is not None:
        return observed.time + SILENT_AFTER
    counters = observed.counters
    if counters is None:
        return None
    return counters.since + timedelta(seconds=WINDOWS_AT_MOST * counters.seconds) + SILENT_AFTER


def _silent(observed: Observed, now: datetime | None) -> bool:
    until = silent_from(observed)
    return now is not None and until is not None and now > until


_SILENCE: Final = (
    f"the agent has reported nothing for {SILENT_AFTER.total_seconds() / 60:.0f} minutes and more"
)
_AWAITED: Final = frozenset({"Waiting", "Baseline", "Moving"})
"""Phases that an agent leaves by itself, and goes on reporting in."""


def _heard(row: _Row, observed: Observed, now: datetime | None) -> _Row:
    """A row that is true of a living agent only: what was bad, but for its silence, stays so."""
    if row.verdict != "Ineffective" and _silent(observed, now):
        return _Row("NoSignal", _SILENCE)
    return row


def _measured(found: dict[str, Check]) -> Evidence | None:
    """What a measurement of locality rests on; None where nothing valid was measured.

    Hint faults sample the pages that are there; that none wander, migrations have to say.
    """
    if found["hintFaults"].ok and found["migrations"].ok is not None:
        return "Measured"
    if dram.NAME in found and found[dram.NAME].ok:
        return "MeasuredPMU"
    return None


def _no_signal(  # noqa: PLR0911 (one return a row of the table)
    found: dict[str, Check], observed: Observed, seen: Eyes, now: datetime | None
) -> _Row | None:
    """The first reason why quiet counters prove nothing; None if they do."""
    if _silent(observed, now):
        return _Row("NoSignal", _SILENCE)
    for name in ("cpus", "residency"):
        if found[name].ok is None:
            return _Row("NoSignal", found[name].message)
    if _measured(found) is not None:
        return None
    if not seen.numa_balancing:
        return _Row(
            "NoSignal", "kernel.numa_balancing is off: the kernel samples and migrates nothing"
        )
    if found["migrations"].ok is None:
        return _Row("NoSignal", found["migrations"].message)
    if found["activity"].ok is not True:
        return _Row("NoSignal", f"idle: {found['activity'].message}", by_figures=True)
    return None


def _all_checks(spec: NumaPinSpec, observed: Observed, seen: Eyes) -> tuple[Check, ...]:
    counters = observed.counters
    beyond = checks.beyond_it(observed, home(spec, seen.topology))
    return (
        checks.cpus(spec, observed),
        checks.mems(spec, observed),
        checks.containers(spec, observed),
        checks.residency(spec, observed, seen.topology),
        checks.migrations(spec, counters, seen),
        checks.hint_faults(spec, observed, counters, seen),
        *((dram.check(spec, counters, beyond=beyond),) if dram.counted(seen) else ()),
        checks.activity(counters),
        checks.window(spec, counters),
    )


def _uncounted(spec: NumaPinSpec, found: dict[str, Check], seen: Eyes) -> _Row:
    """The verdict on a pin that is in force on a node where nothing can be counted.

    A cpuset of one socket's CPUs and NUMA nodes leaves the kernel nothing to migrate across,
    so placement says it all. CPUs alone do not.
    """
    why = f"no counters: {seen.why('numaMigrations')}"
    residency = found["residency"]
    if residency.ok is False:
        return _Row("Ineffective", f"{residency.message}; {why}")
    if spec.mems is None or found["mems"].ok is None:
        return _Row("NoSignal", f"{why}, and {found['mems'].message}")
    if residency.ok is None or found["containers"].ok is None:
        unknown = residency if residency.ok is None else found["containers"]
        return _Row("NoSignal", f"{why}, and {unknown.message}")
    told = "; ".join(found[name].message for name in ("cpus", "mems", "residency"))
    return _Row("Verified", f"by placement: {told}; {why}", "ByPlacement")


def _spanning(spec: NumaPinSpec, found: dict[str, Check], because: str) -> _Row:
    """The verdict on a pin of several sockets: between those pages may move as they like."""
    residency = found["residency"]
    if residency.ok is not True:
        verdict: Verdict = "NoSignal" if residency.ok is None else "Ineffective"
        return _Row(verdict, residency.message + because, by_figures=residency.ok is False)
    sockets = listed(spec.sockets or ())
    told = f"{residency.message}; what moves between sockets {sockets} is not judged"
    return _Row("Verified", f"by placement: {told}", "ByPlacement", by_figures=True)


def _pinned(  # noqa: PLR0911 (one return a row of the table)
    spec: NumaPinSpec,
    observed: Observed,
    seen: Eyes,
    now: datetime | None,
    all_checks: tuple[Check, ...],
) -> _Row:
    """The verdict on a pin that the agent says is in force."""
    found = {c.name: c for c in all_checks}
    misplaced = tuple(c for c in all_checks[:3] if c.ok is False)
    problem = observed.problem
    because = "" if problem is None else f" ({problem.reason}: {problem.message})"
    if problem is not None and problem.reason in _CONFLICTS:
        return _Row("Conflict", f"{problem.reason}: {problem.message}")
    drift = _drifted(observed, placed=not misplaced)
    if drift is not None:
        return _Row("Drifted", drift)
    if misplaced:
        return _Row("Ineffective", _said(misplaced) + because)
    if not seen.told and not _silent(observed, now):
        whole = found["window"].ok is True
        awaited = "the agent has not said yet what it can count"
        return _Row("Pending", awaited if whole else found["window"].message, unsaid=True)
    if observed.counters is None and seen.blind:
        return _heard(_uncounted(spec, found, seen), observed, now)
    if found["window"].ok is not True:
        return _heard(_Row("Pending", found["window"].message), observed, now)
    if spec.sockets is not None and len(spec.sockets) > 1:
        return _heard(_spanning(spec, found, because), observed, now)
    wrong = tuple(
        c
        for c in all_checks
        if c.ok is False and c.name in {"residency", "migrations", "hintFaults", dram.NAME}
    )
    if wrong:
        return _Row("Ineffective", _said(wrong) + because, by_figures=True)
    mute = _no_signal(found, observed, seen, now)
    if mute is not None:
        return mute
    told = _said(all_checks, ("residency", "migrations", "hintFaults", dram.NAME))
    evidence = _measured(found)
    if evidence is not None:
        return _Row("Verified", told, evidence, by_figures=True)
    return _Row("Verified", f"by placement: {told}", "ByPlacement", by_figures=True)


def judge(  # noqa: PLR0913 (each is another witness)
    spec: NumaPinSpec,
    observed: Observed | None,
    *,
    generation: int | None = None,
    seen: Eyes | None = None,
    refusal: Refusal | None = None,
    now: datetime | None = None,
) -> Judgement:
    """Judge a pin.

    Args:
        spec: what the operator decided.
        observed: what the agent did and saw; None before its first report.
        generation: metadata.generation of the spec, to tell old reports from answers.
        seen: what can be seen on the node.
        refusal: why there is no socket, when there is none.
        now: to tell a silent agent; None leaves that out.
    """
    sight = seen or Eyes()
    if refusal is not None:
        return Judgement(refusal.verdict, refusal.message)
    if spec.socket is None and spec.mode == "Enforce":
        return Judgement("Unplaceable", "no socket was given; condition Pinned says why")
    if observed is None:
        return Judgement("Pending", f"the agent of node {spec.node_name} has not reported yet")
    if generation is not None and observed.generation < generation:
        return Judgement(
            "Pending",
            f"the agent has answered generation {observed.generation}, not yet {generation}",
        )
    found = _all_checks(spec, observed, sight)
    counters = observed.counters
    level = sight.level("numaMigrations")
    if spec.mode == "Observe":
        row = _Row("Observing", observing.told(spec, observed, sight), unsaid=not sight.told)
    elif observed.phase == "Refused":
        row = _refused(spec, observed)
    elif observed.phase != "Pinned":
        problem = f": {observed.problem.message}" if observed.problem else ""
        row = _Row("Pending", _HANDS_OFF.get(observed.phase, observed.phase) + problem)
        if observed.phase in _AWAITED:
            row = _heard(row, observed, now)
    else:
        row = _pinned(spec, observed, sight, now, found)
    return Judgement(
        verdict=row.verdict,
        message=row.message,
        evidence=row.evidence,
        checks=found,
        local_percent=checks.local_percent(spec, observed, sight.topology),
        cross_socket_pages_per_second=None
        if counters is None or level == "none"
        else checks.crossing(counters, level),
        whole_window=found[-1].ok is True,
        by_figures=row.by_figures,
        unsaid=row.unsaid,
    )
