"""A trace's answer for people: what was seen, single long events, causes, what it cost.

Pure text, as it is also read in the agent's image, which has no terminal library.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from numapin_agent.trace.histogram import Histogram, bounds
from numapin_agent.trace.result import (
    Result,
    Row,
    cpu_percent,
    events_per_second,
    instructions_per_second,
)

ROWS: Final = 30
MOMENTS: Final = 15
STACKS: Final = 15
_BAR: Final = 40


def duration(nanoseconds: float) -> str:
    """Such as 850 ns, 12.3 µs, 4.20 ms, 1.50 s."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def table(header: Sequence[str], lines: Iterable[Sequence[str]], left: int) -> list[str]:
    """Columns of text.

    Args:
        header: names of the columns.
        lines: one text for each column.
        left: how many columns, from the first on, are set to the left.
    """
    every = [list(header), *(list(line) for line in lines)]
    widths = [max(len(line[i]) for line in every) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in every
    ]


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


def _rows(rows: Sequence[Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.labels))
    header = (*names, "count", "average", "p50 ≤", "p99 ≤", "max", "total")
    lines = []
    for row in rows[:ROWS]:
        h = row.histogram
        figures = (h.average, h.at_most(0.5), h.at_most(0.99), h.maximum, h.total)
        words = [row.labels.get(name, "") for name in names]
        lines.append([*words, str(h.count), *map(duration, figures)])
    more = [f"… and {len(rows) - ROWS} more: -o json has them"] if len(rows) > ROWS else []
    return [*table(header, lines, len(names)), *more]


def _moments(result: Result) -> list[str]:
    if not result.moments:
        return []
    names = list(dict.fromkeys(name for one in result.moments for name in one.labels))
    lines = [
        [
            *(one.labels.get(name, "") for name in names),
            f"{one.at_seconds:.3f} s",
            duration(one.nanoseconds),
        ]
        for one in result.moments[:MOMENTS]
    ]
    return ["", "longest:", *table((*names, "after", "took"), lines, len(names))]


def _stacks(result: Result) -> list[str]:
    if not result.stacks:
        return []
    total = sum(one.weight for one in result.stacks)
    lines = ["", f"heaviest of {len(result.stacks)} call paths (-o svg draws all):"]
    for one in result.stacks[:STACKS]:
        lines.append(f"{100 * one.weight / total:5.1f} %  {' → '.join(one.frames[:1])}")
        lines.append(f"         … {' → '.join(one.frames[1:][-6:])}")
    return lines


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
    return [f"{result.lost:,} events are missing: a table was full"] if result.lost else []


def text(result: Result) -> str:
    """The whole answer."""
    lines = [f"{result.probe}, {result.scope}, {result.seconds:.1f} s"]
    if result.ended != "complete":
        lines.append(f"ended early: {result.why}")
    lines.append("")
    if result.rows:
        lines += [*_rows(result.rows), "", *picture(result.total())]
    elif not result.stacks and not result.figures:
        lines.append("nothing was seen")
    lines += table(("", ""), [(f.name, f"{f.value:,} {f.unit}") for f in result.figures], 1)[1:]
    lines += [*_moments(result), *_stacks(result)]
    for cause in result.causes:
        lines += ["", f"known cause: {cause.name}", f"  {cause.says}", f"  remedy: {cause.remedy}"]
    for sentences in (result.notes, result.untold):
        if sentences:
            lines += ["", *sentences]
    if lost := missing(result):
        lines += ["", *lost]
    return "\n".join([*lines, "", cost(result)])


def folded(result: Result) -> str:
    """Call paths, one a line, as flame graph tools read them."""
    return "\n".join(
        f"{';'.join(frame.replace(';', ':') for frame in one.frames)} {one.weight}"
        for one in result.stacks
    )
