"""What the loop keeps about one NumaPin between two looks, and finds again after a restart.

Pure. What is published outlives the agent: a new one takes up baseline, window and streak from
there, so that a verdict doesn't begin anew with it. Whether a look is due is the loop's.
"""

from dataclasses import dataclass, field, replace

from numapin_agent import observe
from numapin_agent.pin.values import PinReport
from numapin_agent.pods import PodView
from numapin_agent.track import Cause, Track
from numapin_api.cpulist import NodeSet
from numapin_api.pin import Counters, NumaPin, Observed

INHERITED = -1.0
"""Marks the window that an agent before this one measured: no monotonic time is negative."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loop keeps about one NumaPin between two looks.

    Attributes:
        pin_uid: the NumaPin's own UID: one made anew starts from nothing.
        settled: the NumaPin and the pod by which the last look found nothing to do, and whether
            counters were given up; None when there was something, or something failed.
        track: the measurement.
        baseline: before the pin.
        inherited: the window that an agent before this one published, and what it belongs to.
        streak: how many windows in a row have said the same.
        report: the pinner's last, None before the first and after a refusal.
        published: what was handed to the publisher last.
        published_at: when, in monotonic seconds.
        missing_since: since when the pod has not been found.
        failures: in a row.
    """

    pin_uid: str
    settled: tuple[NumaPin, PodView, bool] | None = None
    track: Track = field(default_factory=Track)
    baseline: observe.Baseline | None = None
    inherited: tuple[Cause, Counters] | None = None
    streak: observe.Streak = field(default_factory=observe.Streak)
    report: PinReport | None = None
    published: Observed | None = None
    published_at: float = 0.0
    missing_since: float | None = None
    failures: int = 0

    def inherited_by(self, track: Track) -> Counters | None:
        """The inherited window, if it is about the very pin that is now measured.

        And not once this agent's own count has broken off: then it would hide that.
        """
        if self.inherited is None or self.inherited[0] != track.cause or track.epoch:
            return None
        return self.inherited[1]


def recall(pin: NumaPin, *, home: NodeSet, now: float) -> Seen:
    """What the API server still holds of an agent before this one.

    Args:
        pin: as it was received.
        home: NUMA nodes that the pin's memory belongs on.
        now: monotonic seconds.
    """
    held = pin.status.observed if pin.status else None
    seen = Seen(pin_uid=pin.metadata.uid or "", published=held, published_at=now)
    if held is None:
        return seen
    if held.baseline:
        before = observe.Baseline(held.baseline, tuple(held.baseline_memory))
        seen = replace(seen, baseline=before)
    if held.counters:
        inputs = observe.verdict_inputs(held, pin.spec, home)
        seen = replace(
            seen,
            inherited=(observe.cause_of(held), held.counters),
            streak=observe.Streak(inputs, INHERITED, held.windows or 0),
        )
    return seen
