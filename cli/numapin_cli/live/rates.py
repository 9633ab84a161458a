"""How fast an agent's counters grow between two readings. Pure.

A pod that was not in the first reading has no rate yet, and neither has one whose counters
went back: its agent was started anew, or it is another pod of the same name. Zero is said
only of what was counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, overload

from numapin_cli.live.values import AgentReading, Counts, Key, PairCounts

LEAST_HINT_PAGES: Final = 100
"""Fewer sampled pages give no share worth showing: of 100 it is ±10 points (two sigma)."""

_NO_PAIR: Final = PairCounts()
_PARTS: Final = ("pages", "cross_pages", "seconds", "hint_local", "hint_remote", "tasks")


@dataclass(frozen=True, slots=True)
class Rates:
    """A pod's growth over a window.

    Attributes:
        seconds: length of the window.
        counts: the growth itself, not divided by it.
    """

    seconds: float
    counts: Counts

    @overload
    def per_second(self, amount: float) -> float: ...

    @overload
    def per_second(self, amount: float | None) -> float | None: ...

    def per_second(self, amount: float | None) -> float | None:
        """The growth of one counter, per second; None of one that is not counted."""
        return None if amount is None else amount / self.seconds

    @property
    def migration_ms(self) -> float | None:
        """Milliseconds per second spent on migrating pages; None where not counted."""
        spent = self.per_second(self.counts.seconds)
        return None if spent is None else 1000 * spent


def between(first: AgentReading | None, last: AgentReading) -> Mapping[Key, Rates]:
    """Rates of the pods that were counted at both moments.

    Args:
        first: the earlier reading; None if there is none.
        last: the later one, of the same agent.
    """
    if first is None or last.at <= first.at or _gap(first, last):
        return {}
    found = {}
    for key, pod in last.pods.items():
        before = first.pods[key].counts if key in first.pods else None
        if before is None or pod.counts is None:
            continue
        grown = growth(before, pod.counts)
        if grown is not None:
            found[key] = Rates(last.at - first.at, grown)
    return found


def restarted(first: AgentReading | None, last: AgentReading) -> bool:
    """Whether counting began anew: the agent says so, or every pod that moved went back.

    Args:
        first: the earlier reading; None if there is none.
        last: the later one, of the same agent.
    """
    if first is None:
        return False
    if _gap(first, last):
        return True
    both = [
        (first.pods[key].counts, pod.counts) for key, pod in last.pods.items() if key in first.pods
    ]
    moved = [(a, b) for a, b in both if a is not None and b is not None and a != b]
    return bool(moved) and all(growth(a, b) is None for a, b in moved)


def _gap(first: AgentReading, last: AgentReading) -> bool:
    return first.since is not None and last.since is not None and last.since > first.since


def growth(before: Counts, after: Counts) -> Counts | None:
    """What was counted in between; None when a counter went back.

    Args:
        before: of the earlier reading.
        after: of the later one.
    """
    parts = {name: _grown(getattr(before, name), getattr(after, name)) for name in _PARTS}
    pairs = {
        pair: _difference(before.pairs.get(pair, _NO_PAIR), counts)
        for pair, counts in after.pairs.items()
    }
    cpu = _grown(before.cpu_seconds, after.cpu_seconds)
    lowest = min(
        0,
        *(p or 0 for p in parts.values()),
        cpu or 0,
        *(min(p.pages, p.seconds, p.hint_pages) for p in pairs.values()),
    )
    if lowest < 0 or before.pairs.keys() - after.pairs.keys():
        return None
    return Counts(**parts, cpu_seconds=cpu, pairs=pairs)


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _difference(before: PairCounts, after: PairCounts) -> PairCounts:
    return PairCounts(
        after.pages - before.pages,
        after.seconds - before.seconds,
        after.hint_pages - before.hint_pages,
    )


def local_percent(counts: Counts, threads: int | None) -> float | None:
    """Share of hint-fault pages that lay on the CPU's socket, where that means something.

    NUMA balancing never samples pages that a single-threaded process has nearby already
    (mm/mprotect.c), so of such a pod the share would always look bad; None then, while the
    number of threads is unknown, of too few pages, and where they are not counted.

    Args:
        counts: growth over a window.
        threads: of the process with the most memory.
    """
    local, hints = counts.hint_local, counts.hints
    if threads is None or threads <= 1 or local is None or hints is None:
        return None
    return 100 * local / hints if hints >= LEAST_HINT_PAGES else None
