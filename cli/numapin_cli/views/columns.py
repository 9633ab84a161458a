"""Tables that fit: columns go, least important first, before anything is wrapped.

For tables that are drawn again and again, where a wrapped line would push others off the
screen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from rich.table import Table
from rich.text import Text

Row = TypeVar("Row")

_GAP: Final = 1


@dataclass(frozen=True, kw_only=True)  # with slots Python 3.11 can't make a Column[Row]
class Column(Generic[Row]):
    """A column.

    Attributes:
        title: in the table's head.
        cell: what a row says.
        rank: the highest goes first when there is no room; 0 never does.
        least: characters that a name may be cut to; None for what may not be cut.
        style: of a cell.
    """

    title: str
    cell: Callable[[Row], str]
    rank: int = 0
    least: int | None = None
    style: Callable[[Row], str] = lambda _: ""


def fitting(
    columns: Sequence[Column[Row]], rows: Sequence[Row], width: int
) -> list[tuple[Column[Row], int]]:
    """The columns that there is room for, each with its width.

    Args:
        columns: all, from left to right.
        rows: what they are to hold.
        width: of the terminal.
    """
    kept = list(columns)
    full = {id(c): max([len(c.title), *(len(c.cell(r)) for r in rows)]) for c in kept}

    def least(column: Column[Row]) -> int:
        whole = full[id(column)]
        return whole if column.least is None else min(whole, max(column.least, len(column.title)))

    def needed() -> int:
        return sum(least(c) + _GAP for c in kept) - _GAP

    while needed() > width and any(c.rank for c in kept):
        # Of equals the one on the right.
        kept.remove(max(reversed(kept), key=lambda c: c.rank))
    widths = {id(c): least(c) for c in kept}
    spare = max(0, width - needed())
    for column in kept:
        more = min(spare, full[id(column)] - widths[id(column)])
        widths[id(column)] += more
        spare -= more
    return [(c, widths[id(c)]) for c in kept]


def table(columns: Sequence[Column[Row]], rows: Sequence[Row], width: int) -> Table:
    """The rows for people.

    Args:
        columns: all, from left to right; names stand left, numbers right.
        rows: what they hold.
        width: of the terminal.
    """
    result = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    shown = fitting(columns, rows, width)
    for column, size in shown:
        result.add_column(
            column.title,
            width=size,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if column.least is None else "left",
        )
    for row in rows:
        result.add_row(*(Text(c.cell(row), style=c.style(row)) for c, _ in shown))
    return result
