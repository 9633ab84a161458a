"""Draws the latency demo's ``report.svg``: the slowest request over time, before and after.

Same readings, same file: no date, no creator, no random ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from matplotlib.figure import Figure

from numapin_lab.demo.picture import AFTER, BEFORE, styled
from numapin_lab.latency.requests import Batch


@dataclass(frozen=True, slots=True)
class Line:
    """One window.

    Attributes:
        title: of its panel.
        begin: seconds since 1970.
        batches: of its requests.
    """

    title: str
    begin: float
    batches: Sequence[Batch]


def draw(before: Line, after: Line) -> bytes:
    """The SVG: both windows side by side on the same scale.

    A point stands for the slowest of a batch of requests: the mean of a batch hides a spike.
    """
    with styled():
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, line, colour in zip(axes, (before, after), (BEFORE, AFTER), strict=True):
            x = [batch.time - line.begin for batch in line.batches]
            y = [max(batch.microseconds, default=0) / 1000 for batch in line.batches]
            axis.vlines(x, 0, y, color=colour, linewidth=1.2)
            axis.set_title(line.title, loc="left", fontsize=11)
            axis.set_xlabel("seconds")
            axis.margins(x=0.01)
        axes[0].set_ylabel("slowest request, ms")
        axes[0].set_ylim(bottom=0)
        out = BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
