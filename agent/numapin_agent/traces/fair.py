"""Whose trace is next when more are asked for than run at once. Pure.

Namespaces take turns, so that one that asks for a hundred keeps the others waiting for one of
them, not for all. Turns are measured in time: who had little of the node lately comes first.
Nothing that runs is ended for it, and nothing is kept when the agent is started anew.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from numapin_api.trace import NumaTrace

Party = tuple[str, bool]
"""Who takes turns: a namespace, and whether it asks about whole nodes. The latter are the
administrator's; they wait neither for pods of numapin's own namespace nor before anybody's."""

HALF_LIFE: Final = 3600.0
"""Seconds after which half of what a party had is forgotten. Far above the longest trace, which
would otherwise be half forgotten when it ends."""
_FORGOTTEN: Final = 1e-3
"""Seconds below which what a party had is no longer kept: after a day."""


def party(trace: NumaTrace) -> Party:
    """Whose turn a trace would take."""
    return trace.metadata.namespace or "", trace.spec.pod_name is None


@dataclass(frozen=True, slots=True)
class Had:
    """How long traces of each party ran lately.

    Attributes:
        seconds: by party, as much of them as was not forgotten then.
        at: when; monotonic seconds.
    """

    seconds: Mapping[Party, float]
    at: float = 0.0

    def later(self, now: float) -> "Had":
        """What is left of it.

        Args:
            now: on the same clock, not before ``at``.
        """
        left = 0.5 ** ((now - self.at) / HALF_LIFE)
        kept = {who: had * left for who, had in self.seconds.items() if had * left > _FORGOTTEN}
        return Had(kept, now)

    def ran(self, who: Party, seconds: float, *, now: float) -> "Had":
        """The same after another trace of that party."""
        later = self.later(now)
        return Had({**later.seconds, who: later.seconds.get(who, 0.0) + seconds}, now)


NOTHING_YET: Final = Had({})


def turns(
    waiting: Iterable[NumaTrace], *, running: Iterable[Party], had: Had, free: int
) -> list[NumaTrace]:
    """The traces to begin now, in that order.

    First comes the party of which the fewest run, then the one that had the least time, then
    the oldest trace; of one party the oldest.

    Args:
        waiting: those that could begin.
        running: a party for each trace that runs.
        had: what they had before.
        free: how many may begin.
    """
    runs = Counter(running)
    left = sorted(waiting, key=_age)
    chosen: list[NumaTrace] = []
    while left and len(chosen) < free:
        # of equals the first, which is the oldest
        following = min(left, key=lambda one: (runs[party(one)], had.seconds.get(party(one), 0.0)))
        left.remove(following)
        runs[party(following)] += 1
        chosen.append(following)
    return chosen


def _age(trace: NumaTrace) -> tuple[float, str, str]:
    meta = trace.metadata
    made = meta.creation_timestamp.timestamp() if meta.creation_timestamp else 0.0
    return made, meta.namespace or "", meta.name
