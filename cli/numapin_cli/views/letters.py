"""How wide text is on a terminal, and text that is cut or filled up to a width. Pure.

By hand, since answers of traces are also shown where rich is missing: in the agent's image.
"""

import textwrap
import unicodedata
from collections.abc import Sequence


def columns(text: str) -> int:
    """How many columns a text takes; letters of East Asia are two wide."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def clip(text: str, most: int) -> str:
    """As much of a text as has room, with … where some of it is missing.

    Args:
        text: any.
        most: columns, at least one.
    """
    if columns(text) <= most:
        return text
    room, shown = most - 1, []
    for letter in text:
        room -= columns(letter)
        if room < 0:
            break
        shown.append(letter)
    return "".join(shown) + "…"


def pad(text: str, width: int, *, left: bool) -> str:
    """Text filled up to so many columns.

    Args:
        text: no wider than that.
        width: columns.
        left: whether it stands to the left.
    """
    room = " " * (width - columns(text))
    return text + room if left else room + text


def wrapped(sentences: Sequence[str], width: int) -> list[str]:
    """Sentences as lines; what does not fit in one goes on below, set in."""
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, width, subsequent_indent="  ", break_on_hyphens=False)
        or [""]
    ]
