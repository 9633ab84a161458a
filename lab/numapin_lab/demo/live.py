"""Live view of a running demo: one line a second and pod, as the talk's ``numamove`` prints.

On a terminal the last seconds stay in a table; elsewhere (a log, a pipe) they are plain lines.
"""

from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from numapin_lab.demo.series import Rates
from numapin_lab.demo.table import percent

_SHOWN = 12


class LiveView:
    """Shows each second's rates."""

    def __init__(self, console: Console, pods: tuple[str, ...]) -> None:
        """Nothing is shown until the first second.

        Args:
            console: where; a terminal gets a table that moves.
            pods: names in the order of their columns.
        """
        self._console = console
        self._pods = pods
        self._rows: deque[tuple[str, Mapping[str, Rates | None]]] = deque(maxlen=_SHOWN)
        self._live = Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def second(self, phase: str, rates: Mapping[str, Rates | None]) -> None:
        """Show one second.

        Args:
            phase: what is going on, e.g. ``before 17/60 s``.
            rates: by pod name; None where there was no reading.
        """
        if not self._console.is_terminal:
            for pod in self._pods:
                self._console.print(line(phase, pod, rates.get(pod)), markup=False, highlight=False)
            return
        self._rows.append((phase, rates))
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for pod in self._pods:
            table.add_column(f"{pod}: migrations/s", justify="right")
            table.add_column("ms/s", justify="right")
            table.add_column("local", justify="right")
        for phase, rates in self._rows:
            table.add_row(phase, *(cell for pod in self._pods for cell in cells(rates.get(pod))))
        return table


def cells(rates: Rates | None) -> tuple[str, str, str]:
    """Migrated pages per second, milliseconds per second, share of local hint faults."""
    if rates is None:
        return "-", "-", "-"
    return (
        f"{rates.pages_per_second:,.0f}",
        f"{rates.milliseconds_per_second:,.1f}",
        percent(rates.local_percent),
    )


def line(phase: str, pod: str, rates: Rates | None) -> str:
    """The plain form of one pod's second."""
    pages, milliseconds, local = cells(rates)
    return f"{phase:<16} {pod:<10} {pages:>8} migrations/s {milliseconds:>7} ms/s  local {local:>7}"
