"""A trace's answer for people: what was seen, single long events, causes, what it cost.

Pure text, as it is also read in the agent's image, which has no terminal library.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from numapin_agent.trace.histogram import Histogram, bounds
from numapin_agent.trace.result import (
    Moment,
    Result,
    Row,
    cpu_percent,
    events_per_second,
    instructions_per_second,
)
from numapin_cli.views.letters import clip, columns, pad, wrapped

ROWS: Final = 30
MOMENTS: Final = 15
STACKS: Final = 15
_BAR: Final = 40
_GAP: Final = "  "
_SPARED: Final = ("average", "p50 ≤", "after")
"""Columns that can be done without in a narrow terminal, the first one first."""
_LEAST_NAME: Final = 8
NARROW: Final = 80
"""Columns that every answer fits in."""


def duration(nanoseconds: float) -> str:
    """Such as 850 ns, 12.3 µs, 4.20 ms, 1.50 s."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def table(
    header: Sequence[str], lines: Iterable[Sequence[str]], left: int, width: int = 1000
) -> list[str]:
    """Columns of text.

    Args:
        header: names of the columns.
        lines: one text for each column.
        left: how many columns, from the first on, are set to the left; those may be cut.
        width: of the terminal. Columns of ``_SPARED`` go first, then the widest names are cut.
    """
    every = [list(header), *(list(line) for line in lines)]
    for name in _SPARED:
        if _needed(_widths(every)) > width and name in every[0]:
            at = every[0].index(name)
            every = [[*line[:at], *line[at + 1 :]] for line in every]
    widths = _widths(every)
    while left and _needed(widths) > width and max(widths[:left]) > _LEAST_NAME:
        widths[widths.index(max(widths[:left]))] -= 1
    return [
        _GAP.join(
            pad(clip(cell, wide), wide, left=i < left)
            for i, (cell, wide) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in every
    ]


def _widths(every: Sequence[Sequence[str]]) -> list[int]:
    return [max(columns(line[i]) for line in every) for i in range(len(every[0]))]


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def picture(histogram: Histogram) -> list[str]:
    """A histogram as bars, from its first bucket that holds something to its last."""
    used = [bits for bits, count in enumerate(histogram.slots) if count]
    if not used:
        return []
    most = max(histogram.slots)
    lines = []
    for bits in range(used[0], used[-1] + 1):
        count = histogram.slots[bits]
        bar = "█" * round(_BAR * count / most) or ("▏" if count else "")
        lines.append((f"from {duration(bounds(bits)[0])}", str(count), bar))
    width, digits = max(len(x[0]) for x in lines), max(len(x[1]) for x in lines)
    return [f"{a.ljust(width)}  {b.rjust(digits)}  {c}".rstrip() for a, b, c in lines]


def _rows(rows: Sequence[Row], width: int) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.labels))
    header = (*names, "count", "average", "p50 ≤", "p99 ≤", "max", "total")
    lines = []
    for row in rows[:ROWS]:
        h = row.histogram
        figures = (h.average, h.at_most(0.5), h.at_most(0.99), h.maximum, h.total)
        words = [row.labels.get(name, "") for name in names]
        lines.append([*words, str(h.count), *map(duration, figures)])
    more = [f"… and {len(rows) - ROWS} more: -o json has them"] if len(rows) > ROWS else []
    return [*table(header, lines, len(names), width), *more]


def _moments(result: Result, width: int) -> list[str]:
    if not result.moments:
        return []
    shown = result.moments[:MOMENTS]
    more = len(result.moments) - len(shown)
    left = [f"… and {more} more: -o json has them"] if more else []
    if any(one.culprit for one in shown):
        return ["", "longest:", *(line for one in shown for line in _blamed(one, width)), *left]
    names = list(dict.fromkeys(name for one in shown for name in one.labels))
    lines = [
        [
            *(one.labels.get(name, "") for name in names),
            f"{one.at_seconds:.3f} s",
            duration(one.nanoseconds),
        ]
        for one in shown
    ]
    return ["", "longest:", *table((*names, "after", "took"), lines, len(names), width), *left]


def _blamed(moment: Moment, width: int) -> list[str]:
    """One that a culprit was looked for, in two lines: both of them are long."""
    took = pad(duration(moment.nanoseconds), 7, left=False)
    share = f"{moment.covered} % " if moment.covered else ""
    return [
        clip(f"{took}  {' '.join(moment.labels.values())}", width),
        clip(f"{'':9}after {moment.at_seconds:.3f} s: {share}{moment.culprit}", width),
    ]


def _stacks(result: Result, width: int) -> list[str]:
    if not result.stacks:
        return []
    total = sum(one.weight for one in result.stacks)
    lines = ["", f"heaviest of {len(result.stacks)} call paths (-o svg draws all):"]
    for one in result.stacks[:STACKS]:
        begin = one.frames[0] if one.frames else "[unknown]"
        lines.append(clip(f"{100 * one.weight / total:5.1f} %  {begin}", width))
        if one.frames[1:]:
            lines.append(f"         {_innermost(one.frames[1:], width - 9)}")
    return lines


def _innermost(frames: Sequence[str], width: int) -> str:
    """The end of a call path, as much as has room."""
    shown = clip(frames[-1], width - 4)
    for i, frame in enumerate(reversed(frames[:-1][-5:])):
        longer = f"{frame} → {shown}"
        rest = i + 2 < len(frames)
        if columns(longer) + (4 if rest else 0) > width:
            return f"… → {shown}"
        shown = longer
    return shown if len(frames) <= 6 else f"… → {shown}"


def cost(result: Result) -> str:
    """What the trace cost, in one sentence."""
    percent = cpu_percent(result)
    measured = f"{percent:.2f} % of one CPU" if percent is not None else "time not measured"
    events, work = events_per_second(result), instructions_per_second(result)
    return (
        f"cost: {events:,.0f} events/s, at most {work / 1e6:,.2f} million instructions/s, "
        f"{measured}; loaded in {result.cost.load_seconds:.1f} s"
    )


def missing(result: Result) -> list[str]:
    """That events were not counted, if so."""
    told = []
    if result.lost:
        told.append(f"{result.lost:,} events are missing: a table was full")
    if result.skipped:
        runs = result.skipped + sum(program.runs for program in result.cost.programs)
        told.append(
            f"{result.skipped:,} of {runs:,} runs of programs on the machine were left out by the "
            "kernel, each in the midst of another on the same CPU: what they would have counted is "
            "missing"
        )
    return told


def amount(value: float) -> str:
    """A figure; whole ones without a fraction."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,}"


def text(result: Result, width: int = NARROW) -> str:
    """The whole answer.

    Args:
        result: of any probe.
        width: columns of the terminal.
    """
    lines = [clip(f"{result.probe}, {result.scope}, {result.seconds:.1f} s", width)]
    if result.ended != "complete":
        lines += wrapped([f"ended early: {result.why}"], width)
    lines.append("")
    if result.rows:
        lines += [*_rows(result.rows, width), "", *picture(result.total())]
    elif not result.stacks and not result.figures:
        lines.append("nothing was seen")
    figures = [(one.name, f"{amount(one.value)} {one.unit}".rstrip()) for one in result.figures]
    lines += table(("", ""), figures, 1, width)[1:]
    lines += [*_moments(result, width), *_stacks(result, width)]
    for cause in result.causes:
        said = [f"known cause: {cause.name}", f"  {cause.says}", f"  remedy: {cause.remedy}"]
        lines += ["", *wrapped(said, width)]
    calls = sum(one.calls for one in result.blamed)
    blamed = [f"{one.calls} of {calls} slow calls: {one.culprit}" for one in result.blamed]
    notes = [*blamed, *result.notes]
    for sentences in (notes, result.untold, missing(result), [cost(result)]):
        if sentences:
            lines += ["", *wrapped(sentences, width)]
    return "\n".join(lines)


def folded(result: Result) -> str:
    """Call paths, one a line, as flame graph tools read them."""
    return "\n".join(
        f"{';'.join(frame.replace(';', ':') for frame in one.frames)} {one.weight}"
        for one in result.stacks
    )
