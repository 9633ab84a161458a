"""Growth curves of the measured points, each with what it must stay below.

A curve has the points that differ in one thing only: nodes, pods or policies. Where the largest
cluster measured is smaller than the goal's, the straight line through the two largest points is
drawn on, dashed, and the picture says "extrapolated".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Json = dict[str, Any]
# Okabe and Ito's palette, as in the demo's picture.
MEASURED, GOAL = "#0072B2", "#D55E00"


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of a stage.

    Attributes:
        stage: in the results.
        figure: name in the stage's results.
        title: for people, with the unit.
        goal: what it must not exceed at the goal's size; None where nothing is promised.
    """

    stage: str
    figure: str
    title: str
    goal: float | None = None


PANELS: Final = (
    Panel("plan", "plannedSeconds", "first full plan, s", goal=300),
    Panel("plan", "plannedCpuSeconds", "operator's CPU until then, s"),
    Panel("restart", "peakMegabytes", "peak resident memory, MB", goal=600),
    Panel("rate", "p50Milliseconds", "pod to pin at 50/s, p50, ms", goal=100),
    Panel("rate", "p99Milliseconds", "pod to pin at 50/s, p99, ms", goal=500),
    Panel("restart", "cpuSeconds", "operator's CPU of a restart, s"),
)
CURVES: Final[Mapping[str, tuple[str, int]]] = {
    "nodes": ("nodes", 5000),
    "pods": ("labelled", 100_000),
    "policies": ("policies", 100),
}
"""What grows, and how far the goals go; the name of a picture first."""


def series(results: Mapping[str, Json], grows: str) -> list[Json]:
    """The longest row of points that differ in nothing but ``grows``, in its order.

    Unlabelled pods grow with labelled ones, so they are compared only when nodes or policies do;
    of two points that differ in them alone the one with more is taken.
    """
    others = {"nodes", "labelled", "unlabelled", "policies"} - {grows}
    if grows == "labelled":
        others -= {"unlabelled"}
    rows: dict[tuple[int, ...], list[Json]] = {}
    for point in results.values():
        rows.setdefault(tuple(point[o] for o in sorted(others)), []).append(point)
    best = max(rows.values(), key=lambda row: (len(row), max(p["labelled"] for p in row)))
    ordered = sorted(best, key=lambda point: int(point["unlabelled"]))
    return sorted({int(p[grows]): p for p in ordered}.values(), key=lambda point: int(point[grows]))


def line(points: list[tuple[float, float]], at: float) -> float:
    """Where the straight line through the last two points is at ``at``.

    Raises:
        ValueError: there are fewer than two points.
    """
    if len(points) < 2:
        raise ValueError(f"{len(points)} points make no line")
    (x0, y0), (x1, y1) = points[-2:]
    return y1 + (y1 - y0) / (x1 - x0) * (at - x1)


def draw(results: Mapping[str, Json], folder: Path) -> Iterator[Path]:
    """Draw a picture for each thing that grows; those with one point only are left out."""
    for name, (grows, far) in CURVES.items():
        row = series(results, grows)
        if len(row) < 2:
            continue
        path = folder / f"scale-{name}.svg"
        path.write_bytes(_picture(row, grows, far))
        yield path


def _picture(row: list[Json], grows: str, far: int) -> bytes:
    with mpl.rc_context(
        {
            "svg.hashsalt": "numapin",
            "svg.fonttype": "path",
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure = Figure(figsize=(9, 5), layout="constrained")
        for axis, panel in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
            _panel(axis, panel, row, grows, far)
        fixed = {"nodes": "nodes", "labelled": "labelled pods", "policies": "policies"}
        rest = ", ".join(f"{row[-1][k]:,} {v}" for k, v in fixed.items() if k != grows)
        figure.supxlabel(f"{fixed[grows]} ({rest})")
        out = BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _panel(axis: Axes, panel: Panel, row: list[Json], grows: str, far: int) -> None:
    points = [
        (float(p[grows]), float(p[panel.stage][panel.figure])) for p in row if panel.stage in p
    ]
    x, y = zip(*points, strict=True)
    axis.plot(x, y, color=MEASURED, marker="o", markersize=4, label="measured")
    if len(points) > 1 and x[-1] < far:
        ends = [y[-1], max(0.0, line(points, far))]
        axis.plot([x[-1], far], ends, color=MEASURED, linestyle="--", label="extrapolated")
    if panel.goal is not None:
        axis.axhline(panel.goal, color=GOAL, linewidth=1, linestyle=":", label="goal")
    axis.set_title(panel.title, loc="left", fontsize=9)
    axis.set_ylim(bottom=0)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.legend(frameon=False, fontsize=7)
