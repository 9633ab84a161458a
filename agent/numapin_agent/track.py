"""One pin's measurement: the baseline before it, then one verification window after another.

Pure: a track is a value, and each look at the pod makes the next one. It deliberately
knows no thresholds; whether a window is good is for the operator to say.
"""

from dataclasses import dataclass, replace

from numapin_agent.ledger import Sample, Window, window
from numapin_agent.pin.values import PinReport
from numapin_api.pin import Phase

MEASURED: tuple[Phase, ...] = ("Pinned", "Observing")
"""Phases in which a window runs: while pages still move nothing is verified."""

Cause = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Track:
    """Where the measurement of a pin stands.

    Attributes:
        cause: what was applied when the window began, and the drift count; another one
            starts the measurement anew.
        start: first sample of the running window; None while none runs.
        whole: the last whole window; None before the first.
        epoch: of the samples; in another one it starts anew, too, and what was whole is dropped:
            nobody knows since when the count before it had been broken.
    """

    cause: Cause | None = None
    start: Sample | None = None
    whole: Window | None = None
    epoch: int | None = None

    def advance(self, report: PinReport, sample: Sample | None, *, seconds: float) -> "Track":
        """The track after one more look.

        Args:
            report: the pinner's, of now.
            sample: the pod's counters of now; None when there are none, which ends the
                running window: half a window is no measurement.
            seconds: length of a window.
        """
        if report.phase not in MEASURED:
            return Track()
        cause = cause_of(report)
        epoch = self.epoch if sample is None else sample.epoch
        if cause != self.cause or (self.epoch is not None and epoch != self.epoch):
            return Track(cause=cause, start=sample, epoch=epoch)
        if sample is None or self.start is None:
            return replace(self, start=sample, epoch=epoch)
        if sample.at - self.start.at < seconds:
            return self
        return replace(self, start=sample, whole=window(self.start, sample))

    def over(self, *, seconds: float) -> float | None:
        """When the running window is whole, in monotonic seconds; None while none runs."""
        return None if self.start is None else self.start.at + seconds


def cause_of(report: PinReport) -> Cause:
    """What a measurement belongs to."""
    applied, drift = report.applied, report.drift
    return (
        str(applied.cpus) if applied else "",
        str(applied.mems) if applied else "",
        drift.count if drift else 0,
    )
