"""Histograms of an answer's rows, one below the other on the same scale. Pure."""

from collections.abc import Sequence
from math import log2
from typing import Final

from numapin_agent.trace.histogram import Histogram, bounds
from numapin_agent.trace.result import Row
from numapin_cli.views.canvas import INNER, MARGIN, SMALL, WIDTH, Canvas
from numapin_cli.views.trace import duration

MOST: Final = 32
"""Rows drawn; more are added up over CPUs first, and the rest is told in a line."""
_ALL: Final = 12
"""So few rows are drawn whatever they hold."""
_MATTERS: Final = 0.001
"""Share of all rows' time, or of their longest, below which one of many is not drawn."""
_TALL: Final = 40
_ROW: Final = 58
_LEFT: Final = MARGIN + 400
_WIDE: Final = WIDTH - MARGIN - _LEFT
_LABEL: Final = 62
"""Pixels for one label of the scale."""
BLUE: Final = "#2f6fde"
RED: Final = "#d1495b"


def called(row: Row) -> str:
    """A row in words: the first label's value, and what the others say."""
    (first, value), *others = row.labels.items() or [("", "all")]
    begin = f"from {value}" if first == "from" else value
    return ", ".join([begin, *(f"{name} {told}" for name, told in others)])


def chosen(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The rows to draw, and what is said of those that are not.

    Args:
        rows: what matters most first.
    """
    every, said = list(rows), []
    drawn = _that_matter(every)
    if len(drawn) > MOST and any("cpu" in row.labels for row in every):
        said.append("CPUs are added up, as there are too many rows: -o json has each")
        every = _over_cpus(every)
        drawn = _that_matter(every)
    drawn = drawn[:MOST]
    if left := len(every) - len(drawn):
        total = sum(row.histogram.total for row in every)
        share = 1 - sum(row.histogram.total for row in drawn) / total if total else 0.0
        said.append(
            f"{left} more row{'s' if left > 1 else ''} with {100 * share:.2g} % of the time "
            f"{'are' if left > 1 else 'is'} not drawn: -o json has all"
        )
    return drawn, "; ".join(said)


def _that_matter(rows: Sequence[Row]) -> list[Row]:
    if len(rows) <= _ALL:
        return list(rows)
    total = sum(row.histogram.total for row in rows)
    longest = max(row.histogram.maximum for row in rows)
    return [
        row
        for row in rows
        if row.histogram.total >= _MATTERS * total or row.histogram.maximum >= _MATTERS * longest
    ]


def _over_cpus(rows: Sequence[Row]) -> list[Row]:
    joined: dict[tuple[tuple[str, str], ...], Histogram] = {}
    cpus: dict[tuple[tuple[str, str], ...], set[str]] = {}
    for row in rows:
        rest = tuple((name, told) for name, told in row.labels.items() if name != "cpu")
        joined[rest] = joined.get(rest, Histogram()) + row.histogram
        cpus.setdefault(rest, set()).add(row.labels.get("cpu", ""))
    made = [
        Row(labels={**dict(rest), "on": f"{len(cpus[rest])} CPUs"}, histogram=histogram)
        for rest, histogram in joined.items()
    ]
    return sorted(made, key=lambda row: -row.histogram.total)


def draw(canvas: Canvas, rows: Sequence[Row]) -> None:
    """The rows that matter, with their scale."""
    drawn, left_out = chosen(rows)
    used = [bits for row in drawn for bits, count in enumerate(row.histogram.slots) if count]
    if not used:
        return
    first, last = min(used), max(used)
    step = _WIDE / (last - first + 1)
    canvas.heading("How often, by how long")
    canvas.paragraph(
        "height: logarithm of the count in each power of two; red: longer than p99", style="dim"
    )
    canvas.y += 22
    _scale(canvas, first, last, canvas.y)
    canvas.y += 6
    top = canvas.y
    for row in drawn:
        _row(canvas, row, first, step)
        canvas.y += _ROW
    _lines(canvas, first, last, top)
    canvas.y += 14
    _scale(canvas, first, last, canvas.y)
    if left_out:
        canvas.y += 6
        canvas.paragraph(left_out)


def _row(canvas: Canvas, row: Row, first: int, step: float) -> None:
    h, top, room = row.histogram, canvas.y, _LEFT - MARGIN - 16
    canvas.text(called(row), y=top + 14, room=room, bold=True)
    canvas.text(
        f"{h.count:,} times, {duration(h.total)} in all, {duration(h.average)} on average",
        y=top + 30,
        room=room,
        size=SMALL,
        style="dim",
    )
    canvas.text(
        f"p50 ≤ {duration(h.at_most(0.5))}, p99 ≤ {duration(h.at_most(0.99))}, "
        f"max {duration(h.maximum)}",
        y=top + 45,
        room=room,
        size=SMALL,
        style="dim",
    )
    base, peak, usual = top + 4 + _TALL, max(h.slots), h.at_most(0.99).bit_length()
    for bits, count in enumerate(h.slots):
        if count:
            high = _TALL * (1 + log2(count)) / (1 + log2(peak))
            tip = f"from {duration(bounds(bits)[0])}: {count:,}"
            place = (_LEFT + (bits - first) * step + 0.5, base - high, step - 1, high)
            canvas.box(place, RED if bits > usual else BLUE, tip)
    canvas.line(MARGIN, top + _ROW - 4, MARGIN + INNER, top + _ROW - 4)


def _marks(first: int, last: int) -> list[tuple[int, float]]:
    step = _WIDE / (last - first + 1)
    every = max(1, -int(-_LABEL // step))
    marks = [(bits, _LEFT + (bits - first) * step) for bits in range(first, last + 1, every)]
    return [(bits, x) for bits, x in marks if x + _LABEL <= WIDTH]


def _scale(canvas: Canvas, first: int, last: int, y: float) -> None:
    for bits, x in _marks(first, last):
        words = duration(bounds(bits)[0])
        canvas.text(words, x=x, y=y, room=_LABEL - 4, size=SMALL, style="dim")


def _lines(canvas: Canvas, first: int, last: int, top: float) -> None:
    for _, x in _marks(first, last):
        canvas.line(x, top, x, canvas.y)
