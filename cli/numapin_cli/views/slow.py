"""Single long events as a picture: when they were, what held them up, and each of them. Pure."""

from collections.abc import Mapping, Sequence
from math import log2
from typing import Final

from numapin_agent.trace.result import Cause, Moment, Result
from numapin_cli.views.canvas import INNER, MARGIN, SMALL, WIDTH, Canvas
from numapin_cli.views.trace import duration

MOST: Final = 25
"""Moments drawn one by one; all of the answer are on the time line."""
_LEFT: Final = MARGIN + 600
_WIDE: Final = WIDTH - MARGIN - _LEFT
_TOOK: Final = MARGIN + 68
_TALL: Final = 120
_COLOURS: Final = ("#d1495b", "#2f6fde", "#c77700", "#2e8b57", "#8e5bd0", "#0f8b8d")
GREY: Final = "#7a8691"
"""Of culprits that are unknown, none of the kernel's, or the seventh and later."""


def colours(result: Result) -> Mapping[str, str]:
    """A colour for each culprit in the kernel, those that took most time first."""
    named = [one.culprit for one in result.blamed if one.named]
    return dict(zip(named, _COLOURS, strict=False))


def culprits(canvas: Canvas, result: Result) -> None:
    """What held up slow calls, with its share of them."""
    if not result.blamed:
        return
    canvas.heading("What held up slow calls")
    colour = colours(result)
    calls = sum(one.calls for one in result.blamed)
    most = max(one.nanoseconds for one in result.blamed)
    for one in result.blamed:
        top = canvas.y + 4
        fill = colour.get(one.culprit, GREY)
        canvas.box((MARGIN, top + 4, 10, 10), fill)
        canvas.text(one.culprit, x=MARGIN + 18, y=top + 13, room=_LEFT - MARGIN - 30)
        told = (
            f"{one.calls:,} of {calls:,} calls ({100 * one.calls / calls:.0f} %), "
            f"{duration(one.nanoseconds)}"
        )
        canvas.text(told, x=MARGIN + 18, y=top + 28, room=_LEFT, size=SMALL, style="dim")
        canvas.box((_LEFT, top + 3, max(1.0, _WIDE * one.nanoseconds / most), 16), fill, told)
        canvas.y += 36


def when(canvas: Canvas, result: Result) -> None:
    """A dot for each moment: from left to right when, upwards how long."""
    if len(result.moments) < 2:
        return
    canvas.heading(f"When, of {len(result.moments)} slow moments")
    colour = colours(result)
    left, wide, top = MARGIN + 72.0, INNER - 72.0, canvas.y + 8
    least = min(one.nanoseconds for one in result.moments)
    longest = max(one.nanoseconds for one in result.moments)
    end = max(result.seconds, *(one.at_seconds for one in result.moments)) or 1.0
    high = log2((longest + 1) / (least + 1)) or 1.0
    canvas.line(left, top + _TALL, left + wide, top + _TALL)
    canvas.line(left, top, left, top + _TALL)
    for one in result.moments:
        up = log2((one.nanoseconds + 1) / (least + 1)) / high
        x = left + 6 + (wide - 12) * one.at_seconds / end
        y = top + _TALL - 6 - (_TALL - 12) * up
        tip = f"{one.at_seconds:.3f} s: {duration(one.nanoseconds)}, {_what(one)}"
        canvas.dot(x, y, colour.get(one.culprit, _plain(result)), tip)
    room = left - MARGIN - 8
    for nanoseconds, y in {longest: top + 10, least: top + _TALL - 2}.items():
        words = duration(nanoseconds)
        canvas.text(words, x=left - 8, y=y, room=room, size=SMALL, style="dim", anchor="end")
    under = top + _TALL + 16
    canvas.text("0 s", x=left, y=under, room=80, size=SMALL, style="dim")
    canvas.text(
        f"{end:.1f} s", x=left + wide, y=under, room=80, size=SMALL, style="dim", anchor="end"
    )
    canvas.y = under


def _plain(result: Result) -> str:
    return GREY if result.blamed else _COLOURS[1]


def _what(moment: Moment) -> str:
    words = [told for name, told in moment.labels.items() if name != "cpu"]
    cpu = moment.labels.get("cpu")
    return " ".join([*words, *([f"on CPU {cpu}"] if cpu is not None else [])])


def each(canvas: Canvas, result: Result) -> None:
    """The moments one by one: a bar as long as each took, filled as far as its culprit covers."""
    if not result.moments:
        return
    canvas.heading("Longest")
    colour = colours(result)
    longest = max(one.nanoseconds for one in result.moments) or 1
    for one in result.moments[:MOST]:
        top = canvas.y + 4
        took = duration(one.nanoseconds)
        canvas.text(took, x=_TOOK, y=top + 13, room=_TOOK - MARGIN, anchor="end", bold=True)
        canvas.text(_what(one), x=_TOOK + 10, y=top + 13, room=_LEFT - _TOOK - 22)
        told = f"after {one.at_seconds:.3f} s"
        if one.culprit:
            told += (f", {one.covered} %: " if one.covered else ": ") + one.culprit
        room = _LEFT - _TOOK - 22
        canvas.text(told, x=_TOOK + 10, y=top + 28, room=room, size=SMALL, style="dim")
        width = max(1.0, _WIDE * one.nanoseconds / longest)
        fill = colour.get(one.culprit, _plain(result))
        if one.culprit:
            canvas.box((_LEFT, top + 3, width, 16), "#c3cad1", told)
        part = one.covered if one.culprit else 100
        canvas.box((_LEFT, top + 3, width * part / 100, 16), fill, told)
        canvas.y += 36
    if (left := len(result.moments) - MOST) > 0:
        canvas.paragraph(f"{left} more are not drawn here: -o json has all")


def causes(canvas: Canvas, known: Sequence[Cause]) -> None:
    """Known causes with what to do about them."""
    if not known:
        return
    canvas.heading("Known causes")
    for one in known:
        canvas.paragraph(one.name, bold=True)
        canvas.paragraph(one.says)
        canvas.paragraph(f"Remedy: {one.remedy}")
        canvas.y += 8
