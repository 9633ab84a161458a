"""One answer of the doctor: a check, what it came to, and what to do about it. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, get_args

from numapin_api.base import Wire

Level = Literal["ok", "unknown", "warn", "fail"]
"""Rising. ``unknown``: it could not be looked at. ``warn``: numapin works, but less well, or
something may get in its way. ``fail``: something does not work."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
MOST_NAMES: Final = 5
"""So many names fit into a line; of more the number is said."""


class Finding(Wire):
    """One check and its answer.

    Attributes:
        check: short and stable, for programs.
        subject: what was looked at: a node, a kind, a pod; empty for the whole.
        level: how it stands.
        message: the answer as a sentence, with what was found.
        remedy: what to do; never empty unless level is ok.
    """

    check: str
    subject: str
    level: Level
    message: str
    remedy: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """The highest level; ok when there are none."""
    return max((f.level for f in findings), key=LEVELS.index, default="ok")


def some(names: Sequence[str]) -> str:
    """The names, or the first few and how many more there are."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more"


def found(check: str, level: Level, message: str, remedy: str = "", *, on: str = "") -> Finding:
    """A finding, written in a line.

    Args:
        check: its name.
        level: how it stands.
        message: what was found.
        remedy: what to do.
        on: the subject.
    """
    return Finding(check=check, subject=on, level=level, message=message, remedy=remedy)


def hidden(check: str, what: str) -> Finding:
    """The finding of a check whose facts were not to be had.

    Args:
        check: its name.
        what: what could not be listed.
    """
    remedy = f"ask somebody who may list {what}; access and versions above say why you can't"
    return found(check, "unknown", f"{what} could not be listed", remedy)
