"""Would a pod gain by a pin? Evidence for it, what forbids it, what speaks against it. Pure.

Evidence is what was counted; a pod of which nothing was counted is never advised for. What
forbids a pin is worked out by the operator's own planner, so that no advice is given that the
operator would not follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from numapin_api.pin import MIN_HINT_FAULT_PAGES
from numapin_api.policy import Verification
from numapin_cli.advise.facts import Machine, Subject
from numapin_cli.live.rates import local_percent
from numapin_cli.live.values import Counts
from numapin_operator.placement.plan import plan
from numapin_operator.placement.room import Place, places
from numapin_operator.placement.values import Candidate, Node, Unplaceable
from numapin_operator.select import Choice, Invalid
from numapin_operator.text import cores, size

Word = Literal["Pin", "Consider", "Leave", "Unknown", "Quiet"]
WORDS: Final[tuple[Word, ...]] = ("Pin", "Consider", "Leave", "Unknown", "Quiet")
"""Pin: evidence, and nothing against it. Consider: something speaks against it. Leave: it can't
be pinned, or would be harmed. Unknown: nothing that tells was counted. Quiet: nothing to gain
now."""

LEAST_MS: Final = 1.0
"""A second: a thousandth of a CPU spent on moving pages."""
LEAST_CROSS_PAGES: Final = Verification().max_cross_socket_pages_per_second
"""A second: what a pin's verdict tolerates."""
LEAST_REMOTE_PERCENT: Final = 100 - Verification().min_local_percent
FULL: Final = 0.8
"""Of a socket's CPUs: a pod that uses more has no room left to burst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What is advised for a pod.

    Attributes:
        subject: the pod.
        word: what to do.
        evidence: what was measured that a pin would end.
        against: what forbids it, or speaks against it.
        notes: what else one should know.
    """

    subject: Subject
    word: Word
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What speaks for a pin.

    Attributes:
        said: in words, with numbers.
        strong: enough to advise it.
    """

    said: str
    strong: bool


def rank(advice: Sequence[Advice]) -> list[Advice]:
    """In order: what to do, then what is most to be gained.

    By whole milliseconds a second spent on migrating pages, then by pages a second that hint
    faults found on another socket, then by pages that changed socket; a pod that costs more by
    each of them never stands below one that costs less.

    Args:
        advice: in any order.
    """
    return sorted(advice, key=_order)


def _order(a: Advice) -> tuple[object, ...]:
    rates, where = a.subject.rates, a.subject.pod.key
    if rates is None:
        return WORDS.index(a.word), 0, 0, 0, where
    c, each = rates.counts, rates.per_second
    return (
        WORDS.index(a.word),
        -round(rates.migration_ms or 0),
        -(each(c.hint_remote) or 0),
        -(each(c.cross_pages) or 0),
        where,
    )


def weigh(subject: Subject, machine: Machine) -> Advice:
    """What to do about one pod.

    Args:
        subject: the pod.
        machine: its node.
    """
    evidence = [*_measured(subject), *_history(subject)]
    notes = tuple(_notes(subject, machine))
    said = tuple(e.said for e in evidence)
    forbids = tuple(_forbids(subject, machine))
    cautions: tuple[str, ...] = ()
    if not forbids and isinstance(subject.choice, Choice):
        cautions = tuple(_cautions(subject, machine, subject.choice))
    word: Word
    if not evidence:
        word = "Quiet" if _told(subject, machine) else "Unknown"
    elif forbids:
        word = "Leave"
    else:
        strong = any(e.strong for e in evidence)
        word = "Pin" if strong and not cautions else "Consider"
    return Advice(
        subject=subject,
        word=word,
        evidence=said,
        against=(*forbids, *cautions) if evidence else (),
        notes=notes,
    )


def _told(subject: Subject, machine: Machine) -> bool:
    """Whether it was counted at all what speaks for a pin, so that its absence says something."""
    if subject.rates is None or machine.balancing is False:
        return False
    counts = subject.rates.counts
    return counts.pages is not None or local_percent(counts, _threads(subject)) is not None


# What speaks for it.


def _measured(subject: Subject) -> Iterator[_Evidence]:
    rates = subject.rates
    if rates is None:
        return
    c, each = rates.counts, rates.per_second
    ms, cross, every = rates.migration_ms, each(c.cross_pages), each(c.pages)
    if ms is not None and ms >= LEAST_MS:
        yield _Evidence(f"{ms:.1f} ms a second spent migrating pages", True)
    if cross is not None and cross >= LEAST_CROSS_PAGES:
        yield _Evidence(f"{cross:,.0f} pages a second change socket", True)
    if cross is None and every is not None and every >= LEAST_CROSS_PAGES:
        said = f"{every:,.0f} pages a second change NUMA node; whether socket, too, is not counted"
        yield _Evidence(said, False)
    local, hints, remote = local_percent(c, _threads(subject)), c.hints, each(c.hint_remote)
    if local is None or hints is None or remote is None:
        return
    if hints >= MIN_HINT_FAULT_PAGES and 100 - local > LEAST_REMOTE_PERCENT:
        said = f"{100 - local:.0f} % of {hints:,.0f} sampled pages lay on another socket"
        yield _Evidence(said, remote >= LEAST_CROSS_PAGES)


def _history(subject: Subject) -> Iterator[_Evidence]:
    """Of a pod that is quiet now what it did on average before, where one knows since when."""
    past = subject.history
    if past is None or not past.seconds or any(True for _ in _measured(subject)):
        return
    if past.totals.seconds is None or past.totals.cross_pages is None:
        return
    ms = 1000 * past.totals.seconds / past.seconds
    pages = past.totals.cross_pages / past.seconds
    if ms >= LEAST_MS or pages >= LEAST_CROSS_PAGES:
        yield _Evidence(
            f"quiet in this window, but {ms:.1f} ms and {pages:,.0f} pages a second on average "
            f"over the {_time(past.seconds)} before",
            False,
        )


def _time(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"


def _threads(subject: Subject) -> int | None:
    return subject.reading.threads if subject.reading else None


# What forbids it.


def _forbids(subject: Subject, machine: Machine) -> Iterator[str]:
    node, choice = machine.node, subject.choice
    if isinstance(choice, Invalid):
        yield f"its annotations are not understood: {choice.message}"
        return
    sockets = subject.reading.confined if subject.reading else ()
    if sockets:
        yield (
            f"it is kept on socket {', '.join(map(str, sockets))} already, by a cpuset that is not "
            "numapin's (CPU manager, NRI plugin): numapin would stand aside"
        )
    if node is None:
        return
    if len(node.topology.sockets) < 2:
        yield "its node has one socket"
        return
    used = cpus_used(subject)
    most = _most_cpus(node)
    if used is not None and 1000 * used > most:
        yield f"it uses {used:.1f} CPUs, a socket has {cores(most)} for pods"
    alone = _planned(subject, _empty(node), Machine(None), choice)
    if isinstance(alone, Unplaceable):
        yield f"it is too big for a socket: {alone.message}"
        if not isinstance(
            _planned(subject, _empty(node), Machine(None), replace(choice, memory="None")),
            Unplaceable,
        ):
            yield "only its CPUs would fit: numapin.io/memory=None pins no memory"


def _planned(subject: Subject, node: Node, machine: Machine, choice: Choice) -> object:
    memory = dict(subject.reading.memory) if subject.reading else {}
    pod = subject.pod
    candidate = Candidate(
        requests=pod.requests, resident=memory, cpu_limit_millis=pod.cpu_limit_millis
    )
    return plan(node, machine.pins, candidate, choice)


def _empty(node: Node) -> Node:
    """The node as if nothing else were on it."""
    return Node(node.name, node.topology, node.reserved)


def _places(node: Node) -> tuple[Place, ...]:
    return places(node, (), "Socket")


def _most_cpus(node: Node) -> int:
    return max((p.cpu_capacity for p in _places(node)), default=0)


def cpus_used(subject: Subject) -> float | None:
    """CPUs that the pod kept busy on average; None where that is not known."""
    rates = subject.rates
    if rates is None or rates.counts.cpu_seconds is None:
        return None
    return rates.per_second(rates.counts.cpu_seconds)


# What speaks against it.


def _cautions(subject: Subject, machine: Machine, choice: Choice) -> Iterator[str]:
    node = machine.node
    if node is None:
        yield "its node is not known (no NumaNode): whether a socket has room can't be said"
        return
    now = _planned(subject, node, machine, choice)
    if isinstance(now, Unplaceable):
        yield f"there is no room now: {now.message}"
    used, most = cpus_used(subject), _most_cpus(node)
    if used is not None and 1000 * used > FULL * most:
        yield f"it uses {used:.1f} of the {cores(most)} CPUs of a socket: no room to burst"
    limit = subject.pod.cpu_limit_millis
    if limit is not None and limit > most:
        yield f"its CPU limit of {cores(limit)} can't be used up on the {cores(most)} of a socket"
    capacities = (p.memory_capacity(choice.headroom_percent) for p in _places(node))
    memory = max(capacities, default=0)
    if subject.memory_limit is not None and subject.memory_limit > memory:
        yield (
            f"it may grow to {size(subject.memory_limit)}, a socket has {size(memory)}: annotate "
            "it numapin.io/memory=Preferred"
        )


# What else there is to know.


def _notes(subject: Subject, machine: Machine) -> Iterator[str]:
    if machine.balancing is False:
        yield "NUMA balancing is off on its node: nothing can be counted there"
    elif subject.rates is None and subject.reading is not None:
        yield (
            "nothing is counted on its node: numapin nodes says why"
            if subject.reading.counts is None
            else "it was not counted for the whole window"
        )
    counted = subject.rates.counts if subject.rates else Counts()
    if counted.cross_pages is None and machine.balancing is not False:
        yield "pages that change socket are not counted on its node: numapin nodes says why"
    threads = _threads(subject)
    if counted.hints and threads is None:
        yield "how many threads it has is not known, so local and remote hint faults say nothing"
    elif counted.hints and threads == 1:
        yield (
            "none of its processes has a second thread, of which the kernel samples remote pages "
            "only: the share of remote pages says nothing"
        )
    if subject.static:
        yield f"a static pod: put the label into its manifest on node {subject.node}"
