"""The doctor's findings for people: one check a line, what to do below it.

Plain lines and no table: they are read in terminals, logs and tickets, and printed by the
agent's image, which has no library for tables.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import click

from numapin_cli.doctor.findings import Finding, Level

_COLOURS: Final[dict[Level, str]] = {
    "ok": "green",
    "unknown": "bright_black",
    "warn": "yellow",
    "fail": "red",
}
_LEVEL_WIDTH: Final = 7


def text(findings: Sequence[Finding], *, colour: bool = False) -> str:
    """A line for each finding, a line for each remedy, and how many there are of each level.

    Args:
        findings: in the order in which people read them.
        colour: whether levels are coloured; where stdout is no terminal, click takes it out.
    """
    return "\n".join(_lines(findings, colour=colour))


def _lines(findings: Sequence[Finding], *, colour: bool) -> Iterator[str]:
    width = max((len(f.check) for f in findings), default=0)
    for f in findings:
        level = f"{f.level:{_LEVEL_WIDTH}}"
        yield f"{click.style(level, fg=_COLOURS[f.level]) if colour else level}  " + (
            f"{f.check:{width}}  {f.message}"
        )
        if f.remedy:
            yield f"{'':{_LEVEL_WIDTH + width + 4}}to do: {f.remedy}"
    levels = [f.level for f in findings]
    yield ""
    yield ", ".join(f"{levels.count(level)} {level}" for level in _COLOURS if level in levels)
