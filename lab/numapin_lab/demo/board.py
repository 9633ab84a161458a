"""Draws what the Grafana dashboard shows of a demo: its own panels, queries and legends.

Not Grafana's picture: the same numbers, of the same queries, in matplotlib's lines. Pure; which
series there are, somebody else asks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import EngFormatter, FuncFormatter, PercentFormatter

from numapin_chart.panels import Panel, Row
from numapin_lab.demo.picture import styled

Ask = Callable[[str], Sequence[Mapping[str, Any]]]
"""From an expression to series as Prometheus' query_range gives them."""
_CHOSEN: Final = ".*"
"""What Grafana puts in for a variable of which all values are chosen."""
_NAMELESS: Final = "value"
_LONGEST: Final = 42
"""Characters of a name."""
_COLUMNS: Final = 2
_MOST: Final = 8
"""Lines of a panel; of more, those with the highest peaks."""
_PLOT, _LEGEND = 4.0, 2.6
"""Inches across."""
_HEIGHT, _HEADING = 1.9, 0.3
_COLOURS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#E69F00", "#56B4E9", "#000000", "#999999"),
)
"""Okabe and Ito's, told apart with every kind of colour vision."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel.

    Attributes:
        name: in the legend.
        times: seconds since the beginning.
        values: one for each time; NaN where there is none.
    """

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


def filled(expression: str, *, rate_interval: str = "1m") -> str:
    """A query as Grafana sends it, its variables filled in.

    Args:
        expression: of a panel or a variable.
        rate_interval: what Grafana makes of the data source's scrape interval.
    """
    return re.sub(r"\$\w+", _CHOSEN, expression.replace("$__rate_interval", rate_interval))


def legend(text: str, labels: Mapping[str, str]) -> str:
    """The name of a series, as a panel's legend has it."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), text)


def lines(panel: Panel, ask: Ask, *, begin: float) -> list[Line]:
    """All lines of a panel, the highest first.

    Args:
        panel: what is shown.
        ask: answers its queries.
        begin: seconds since the epoch that are shown as 0.
    """
    found = []
    for expression, name in panel.lines:
        for series in ask(filled(expression, rate_interval="30s")):
            times, values = zip(*series["values"], strict=True)
            found.append(
                Line(
                    _short(legend(name, series["metric"]) or _NAMELESS),
                    tuple(float(time) - begin for time in times),
                    tuple(map(float, values)),
                )
            )
    found.sort(key=lambda line: (-_peak(line), line.name))
    return found


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _peak(line: Line) -> float:
    return max((value for value in line.values if value == value), default=0.0)  # noqa: PLR0124 (NaN)


def draw(rows: Sequence[Row], ask: Ask, *, begin: float, marks: Mapping[str, float]) -> bytes:
    """The dashboard as SVG.

    Args:
        rows: its views.
        ask: answers its queries.
        begin: seconds since the epoch that are shown as 0.
        marks: moments to mark in every panel, in seconds from there, by what they are.
    """
    heights: list[float] = []
    for row in rows:
        heights += [_HEADING, *[_HEIGHT] * -(-len(row.panels) // _COLUMNS)]
    shown = {panel: lines(panel, ask, begin=begin) for row in rows for panel in row.panels}
    end = max((line.times[-1] for found in shown.values() for line in found), default=1.0)
    with styled():
        size = ((_PLOT + _LEGEND) * _COLUMNS, sum(heights) + _HEADING)
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(_told(marks), fontsize=9, x=0.01, ha="left")
        grid = GridSpec(
            *(len(heights), 2 * _COLUMNS),
            figure=figure,
            height_ratios=heights,
            width_ratios=[_PLOT, _LEGEND] * _COLUMNS,
        )
        down = 0
        for row in rows:
            heading = figure.add_subplot(grid[down, :])
            heading.axis("off")
            heading.text(0, 0, row.title, fontsize=12, fontweight="bold")
            for number, panel in enumerate(row.panels):
                below, across = divmod(number, _COLUMNS)
                place = down + 1 + below
                axis = figure.add_subplot(grid[place, 2 * across])
                beside = figure.add_subplot(grid[place, 2 * across + 1])
                axis.set_xlim(0, end)
                _draw(axis, beside, panel, shown[panel], marks)
            down += 1 - (-len(row.panels) // _COLUMNS)
        out = BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _told(marks: Mapping[str, float]) -> str:
    """What the dotted lines are."""
    moments = "; ".join(f"{what} at {at:.0f} s" for what, at in marks.items())
    return f"seconds from the beginning; dotted: {moments}" if marks else ""


def _draw(
    axis: Axes, beside: Axes, panel: Panel, shown: Sequence[Line], marks: Mapping[str, float]
) -> None:
    axis.set_title(panel.title, fontsize=9, loc="left")
    for line, colour in zip(shown, _COLOURS, strict=False):
        axis.plot(line.times, line.values, color=colour, linewidth=1.3, label=line.name)
    for what, at in marks.items():
        axis.axvline(at, color="#000000", linewidth=0.8, linestyle=":", gid=what)
    axis.set_ylim(bottom=0, top=None if any(map(_peak, shown)) else 1)
    axis.yaxis.set_major_formatter(_FORMATS.get(panel.unit, FuncFormatter(_number)))
    axis.tick_params(labelsize=7)
    beside.axis("off")
    if shown:
        more = f"and {len(shown) - _MOST} more" if len(shown) > _MOST else None
        handles, names = axis.get_legend_handles_labels()
        legend = beside.legend(
            handles,
            names,
            loc="upper left",
            bbox_to_anchor=(-0.12, 1.0),
            borderaxespad=0.0,
            alignment="left",
            frameon=False,
            fontsize=6,
            title=more,
            title_fontsize=6,
        )
        legend.set_in_layout(False)
    else:
        axis.text(0.5, 0.5, "nothing just now", transform=axis.transAxes, ha="center", fontsize=8)


def _number(value: float, _: float) -> str:
    return f"{value / 1000:g} k" if value >= 1000 else f"{value:g}"


def _bytes(value: float, _: float) -> str:
    return f"{value / (1 << 20):.0f} MiB"


_FORMATS: Final = {
    "percentunit": PercentFormatter(xmax=1, decimals=0),
    "bytes": FuncFormatter(_bytes),
    "s": EngFormatter(unit="s"),
}
