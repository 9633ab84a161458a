"""The closing table: before and after side by side, at most 100 columns wide.

Shows a finished report; measures nothing and judges nothing.
"""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from numapin_lab.demo.criteria import Criterion
from numapin_lab.demo.report import PodReport, PodWindow, Report
from numapin_lab.demo.series import difference_percent

EMULATION_NOTE = (
    "Time that local memory saves can't be seen here: where sockets are emulated, near and far "
    "memory are equally fast. The counters are the kernel's and are real."
)
_FEW_PAGES = 100
_ROWS: tuple[tuple[str, Callable[[PodWindow], str]], ...] = (
    ("pages migrated / s", lambda w: f"{w.migrated_pages_per_second:,.1f}"),
    ("ms spent migrating / s", lambda w: f"{w.migration_ms_per_second:,.2f}"),
    ("threads to other socket / s", lambda w: f"{w.cross_socket_task_migrations_per_second:,.1f}"),
    ("local hint faults", lambda w: percent(w.local_percent)),
)


def percent(value: float | None) -> str:
    """A share for people; a dash without one."""
    return "-" if value is None else f"{value:.1f} %"


def mebibytes(size: int) -> str:
    """Bytes in MiB."""
    return f"{size / 2**20:,.0f} MiB"


def show(
    report: Report, cross_check: Sequence[float | None], criteria: Sequence[Criterion]
) -> RenderableType:
    """Everything that is printed at the end.

    Args:
        report: the demo's result.
        cross_check: for before and after, the pages/s that the agent counted on the
            whole node, to stand beside the kernel's own figure; None if not read.
        criteria: what was asked.
    """
    return Group(
        pod_table(report.pods),
        node_table(report, cross_check),
        Text(),
        *(
            Text(f"{'✓' if c.met else '✗'} {c.text}", style="green" if c.met else "bold red")
            for c in criteria
        ),
        Text(),
        Text(EMULATION_NOTE, style="dim"),
    )


def pod_table(pods: Sequence[PodReport]) -> Table:
    """Rows are figures, columns are pods, each before and after."""
    table = Table(title="Pods, 60 s before and 60 s after the pin", title_justify="left")
    table.add_column("")
    for pod in pods:
        table.add_column(f"{pod.name}\nbefore", justify="right")
        table.add_column(f"{pod.name}\nafter", justify="right")
    for name, shown in _ROWS:
        table.add_row(name, *(shown(w) for pod in pods for w in (pod.before, pod.after)))
    for node in sorted({m.node for pod in pods for w in (pod.before, pod.after) for m in w.memory}):
        table.add_row(
            f"memory on NUMA node {node}",
            *(_memory(w, node) for pod in pods for w in (pod.before, pod.after)),
        )
    table.add_section()
    table.add_row("verdict", *(cell for pod in pods for cell in ("", pod.verdict or "none")))
    table.add_row("evidence", *(cell for pod in pods for cell in ("", pod.evidence or "-")))
    return table


def _memory(window: PodWindow, node: int) -> str:
    return mebibytes(sum(m.bytes for m in window.memory if m.node == node))


def node_table(report: Report, cross_check: Sequence[float | None]) -> Table:
    """The kernel's own counter beside ours."""
    table = Table(title="Node: all NUMA migrations, pages / s", title_justify="left")
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    kernel = (
        report.node.before.numa_pages_migrated_per_second,
        report.node.after.numa_pages_migrated_per_second,
    )
    table.add_row("/proc/vmstat, with kubelet and all", *(f"{k:,.1f}" for k in kernel))
    table.add_row(
        "counted by numapin, all cgroups", *("-" if o is None else f"{o:,.1f}" for o in cross_check)
    )
    table.add_row(
        "difference",
        *(_difference(o, k) for o, k in zip(cross_check, kernel, strict=True)),
    )
    return table


def _difference(ours: float | None, kernel: float) -> str:
    if ours is None:
        return "-"
    # Of few pages a percentage says nothing; what is missing then moved outside of pods.
    if max(ours, kernel) < _FEW_PAGES:
        return f"{ours - kernel:+,.1f} /s"
    return f"{difference_percent(ours, kernel):+.1f} %"
