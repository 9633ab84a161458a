"""Names what made a moment slow: the events that overlap it, weighed.

Pure. The innermost explanation wins: a timer callback or a hook of netfilter within the softirq
that ran it, the softirq within the interrupt behind which it ran, and any of these over "waited
for a CPU". Only what covers a good part of the moment counts; else the culprit is unknown, and
said so.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from numapin_agent.trace.records import (
    HARDIRQ,
    HRTIMER,
    NETFILTER,
    OFF,
    QUEUED,
    SOFTIRQ,
    SYSCALL,
    TIMER,
    VECTOR,
    Event,
)

COVERS: Final = 0.5
"""Share of the moment that a culprit must cover."""
WITHIN: Final = 0.8
"""Share of the outer explanation that an inner one must cover to replace it."""
_INNERMOST_FIRST: Final = (TIMER, HRTIMER, NETFILTER, SOFTIRQ, HARDIRQ, VECTOR, QUEUED, OFF)


@dataclass(frozen=True, slots=True)
class Culprit:
    """What overlapped a slow moment most.

    Attributes:
        kind: of the events; None where nothing covers enough.
        id: of the events.
        nanoseconds: of the moment that they cover.
        cpu: where.
    """

    kind: int | None = None
    id: int = 0
    nanoseconds: int = 0
    cpu: int = -1


def overlap(a: Event, b: Event) -> int:
    """Nanoseconds that two events have in common."""
    return max(0, min(a.end, b.end) - max(a.start, b.start))


def culprit(moment: Event, others: Sequence[Event]) -> Culprit:
    """Who made a system call slow.

    Args:
        moment: the slow system call.
        others: everything else that was long; of kinds QUEUED and OFF those of its own thread
            count, of the others those on the CPUs where it ran or waited to run.
    """
    shares: dict[tuple[int, int], int] = {}
    near = [(o, ns) for o in others if o.kind != SYSCALL and (ns := overlap(moment, o))]
    own = [(o, ns) for o, ns in near if o.kind in {QUEUED, OFF} and o.id == moment.tid]
    cpus = {moment.cpu, *(wait.cpu for wait, _ in own if wait.kind == QUEUED)}
    there = [(o, ns) for o, ns in near if o.kind not in {QUEUED, OFF} and o.cpu in cpus]
    for other, ns in (*own, *there):
        identity = (other.kind, other.id)
        shares[identity] = shares.get(identity, 0) + ns
    enough = {one: ns for one, ns in shares.items() if ns >= COVERS * moment.length}
    if not enough:
        return Culprit()
    widest = max(enough.values())
    for kind in _INNERMOST_FIRST:
        of_kind = [(ns, number) for (k, number), ns in enough.items() if k == kind]
        if of_kind and max(of_kind)[0] >= WITHIN * widest:
            ns, number = max(of_kind)
            return Culprit(kind, number, min(ns, moment.length), moment.cpu)
    (kind, number), ns = max(enough.items(), key=lambda one: one[1])
    return Culprit(kind, number, min(ns, moment.length), moment.cpu)


def culprits(events: Iterable[Event]) -> list[tuple[Event, Culprit]]:
    """Every slow system call with its culprit, the slowest first."""
    known = sorted(events, key=lambda one: one.start)
    others = [one for one in known if one.kind != SYSCALL]
    starts = [one.start for one in others]
    longest = max((one.length for one in others), default=0)
    moments = sorted((e for e in known if e.kind == SYSCALL), key=lambda one: -one.length)
    found = []
    for moment in moments:
        first = bisect_left(starts, moment.start - longest)
        found.append((moment, culprit(moment, others[first : bisect_left(starts, moment.end)])))
    return found
