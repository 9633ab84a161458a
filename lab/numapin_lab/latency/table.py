"""The closing tables of the latency demo, at most 100 columns wide. Shows a finished report."""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from numapin_lab.demo.criteria import Criterion
from numapin_lab.latency.report import LatencyReport, Window

_SHOWN = 6
_ROWS: tuple[tuple[str, Callable[[Window], str]], ...] = (
    ("requests", lambda w: f"{w.requests.count:,}"),
    ("p50, ms", lambda w: f"{w.requests.p50_ms:.2f}"),
    ("p99, ms", lambda w: f"{w.requests.p99_ms:.2f}"),
    ("p99.9, ms", lambda w: f"{w.requests.p999_ms:.2f}"),
    ("slowest, ms", lambda w: f"{w.requests.max_ms:.2f}"),
)


def show(report: LatencyReport, criteria: Sequence[Criterion]) -> RenderableType:
    """Everything that is printed at the end.

    Args:
        report: the demo's result.
        criteria: what was asked.
    """
    causes = [
        Text(f"known cause: {c.name}\n  {c.says}\n  remedy: {c.remedy}") for c in report.causes
    ]
    return Group(
        _requests(report),
        _timers(report),
        _blamed(report),
        *causes,
        Text(),
        *(
            Text(f"{'✓' if c.met else '✗'} {c.text}", style="green" if c.met else "bold red")
            for c in criteria
        ),
    )


def _requests(report: LatencyReport) -> Table:
    table = Table(title=f"requests of redis, Linux {report.kernel}", title_justify="left")
    for name in ("", "before", "after"):
        table.add_column(name, justify="right" if name else "left")
    slow = f"of at least {report.slow_ms:g} ms"
    rows = (*_ROWS, (slow, lambda w: f"{w.requests.slow:,}"))
    for name, value in rows:
        table.add_row(name, value(report.before), value(report.after))
    return table


def _timers(report: LatencyReport) -> Table:
    table = Table(title="slowest call of each timer function, ms", title_justify="left")
    for name in ("function", "before", "after"):
        table.add_column(name, justify="left" if name == "function" else "right")
    after = {t.function: t.max_ms for t in report.after.timers}
    for timer in report.before.timers[:_SHOWN]:
        then = after.get(timer.function)
        table.add_row(
            timer.function, f"{timer.max_ms:.2f}", "not called" if then is None else f"{then:.2f}"
        )
    return table


def _blamed(report: LatencyReport) -> Table:
    table = Table(title="blamed by trace spike for slow calls of redis", title_justify="left")
    for name in ("culprit", "before", "longest, ms", "after"):
        table.add_column(name, justify="left" if name == "culprit" else "right")
    after = {one.name: one.calls for one in report.culprits_after}
    for one in report.culprits[:_SHOWN]:
        calls = f"{one.calls:,}", f"{one.longest_ms:.2f}", f"{after.get(one.name, 0):,}"
        table.add_row(one.name, *calls)
    return table
