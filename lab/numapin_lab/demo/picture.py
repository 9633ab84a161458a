"""Draws ``report.svg``: migrations per second over time, one panel a pod.

The picture of the same readings is the same file, byte for byte: no date, no creator, no
random ids, so that README's picture changes only when the measurement does.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from numapin_lab.demo.series import Rates

# Okabe and Ito's palette, told apart with every kind of colour vision; the two also differ in
# lightness, so they differ in print.
BEFORE, AFTER, MARK = "#D55E00", "#0072B2", "#000000"


@dataclass(frozen=True, slots=True)
class Panel:
    """One pod's line.

    Attributes:
        title: pod and workload.
        rates: all intervals in order, from the first reading on.
        labelled: when the label was set, on the clock of ``rates``.
        pinned: when the pin had taken effect.
    """

    title: str
    rates: Sequence[Rates]
    labelled: float
    pinned: float


def styled() -> AbstractContextManager[None]:
    """The demos' style, in which nothing differs from machine to machine or run to run."""
    return mpl.rc_context(
        {
            "svg.hashsalt": "numapin",
            "svg.fonttype": "path",
            "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )


def draw(panels: Sequence[Panel]) -> bytes:
    """The SVG with one panel for each pod, all on one time axis that starts at nought."""
    if not panels:
        raise ValueError("nothing to draw: no pod was measured")
    begin = min((r.time - r.seconds for p in panels for r in p.rates), default=0.0)
    with styled():
        figure = Figure(figsize=(9, 2.6 * len(panels) + 0.4), layout="constrained")
        axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axis, panel in zip(axes, panels, strict=True):
            _draw_panel(axis, panel, begin)
        axes[-1].set_xlabel("seconds")
        out = BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _draw_panel(axis: Axes, panel: Panel, begin: float) -> None:
    # Between label and pin the agent takes a baseline and moves pages: not yet "after".
    before = [r for r in panel.rates if r.time <= panel.pinned]
    after = [r for r in panel.rates if r.time > panel.pinned]
    for rates, colour, name in ((before, BEFORE, "before"), (after, AFTER, "after")):
        x = [r.time - begin for r in rates]
        y = [r.pages_per_second for r in rates]
        axis.plot(x, y, color=colour, linewidth=1.6, label=name)
        axis.fill_between(x, y, color=colour, alpha=0.15, linewidth=0)
    axis.axvline(panel.labelled - begin, color=MARK, linewidth=0.8, linestyle=":")
    axis.axvline(panel.pinned - begin, color=MARK, linewidth=1.2, linestyle="--")
    # Above the axes' top: never on the line.
    for at, text, side in (
        (panel.labelled, "label set", "right"),
        (panel.pinned, "pinned", "left"),
    ):
        axis.annotate(
            f"{text} " if side == "right" else f" {text}",
            (at - begin, 1),
            xycoords=("data", "axes fraction"),
            ha=side,
            va="top",
        )
    axis.set_title(panel.title, loc="left", fontsize=11, pad=8)
    axis.set_ylabel("pages migrated / s")
    axis.set_ylim(
        bottom=0, top=max(1.0, 1.15 * max((r.pages_per_second for r in panel.rates), default=0))
    )
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.margins(x=0.01)
    axis.legend(loc="center right", frameon=False)
