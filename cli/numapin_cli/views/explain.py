"""An explanation as people read it: verdict first, then what it rests on, then what to do."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from numapin_api.node import CORROBORATING
from numapin_cli.views.explanation import CheckRow, Explanation, Rates
from numapin_cli.views.status import dash, verdict_text
from numapin_cli.views.units import age, size


def render(e: Explanation, *, now: datetime) -> RenderableType:
    """Draw an explanation.

    Args:
        e: all that is known.
        now: to tell ages.
    """
    parts: list[RenderableType] = [_headline(e), Text(e.message)]
    for title, body in _sections(e, now):
        parts += [Text(), Text(title, style="bold"), Padding(body, (0, 0, 0, 2), expand=False)]
    return Group(*parts)


def _headline(e: Explanation) -> Text:
    line = Text(f"{e.namespace}/{e.name}", style="bold")
    line.append(f" on {e.node}: " if e.node else ": ", style="default")
    line.append_text(verdict_text(e.verdict) if e.policy else Text("not pinned", style="red"))
    if e.evidence:
        line.append(f" ({e.evidence})", style="default")
    return line


def _sections(e: Explanation, now: datetime) -> Iterator[tuple[str, RenderableType]]:
    if e.policy:
        yield "Pin", _pin(e, now)
    if e.desired:
        yield "Cpusets: CPUs / memory nodes", _cpusets(e)
    yield "Checks", _checks(e.checks)
    if e.memory:
        yield "Resident memory", _memory(e)
    if e.borrowed:
        yield "Files that others are charged for, by a sample", _borrowed(e)
    if e.before or e.after:
        yield "Counters", _counters(e)
    if e.effect:
        yield "What the pin changed", _effect(e)
    if e.signals:
        yield "Signals in force", _signals(e)
    if e.moving or e.drift or e.problem:
        yield "Remarks", _remarks(e, now)
    if e.conditions:
        yield "Conditions", _conditions(e, now)
    if e.next:
        yield "What next", Group(*(Text(f"- {step}") for step in e.next))


def _grid(*columns: str) -> Table:
    """A table without lines; a column named ``>X`` is aligned right, and the last one wraps."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=any(columns))
    for i, name in enumerate(columns):
        last = i == len(columns) - 1
        table.add_column(
            name.removeprefix(">"),
            justify="right" if name.startswith(">") else "left",
            no_wrap=not last,
            overflow="fold",
        )
    return table


def _pin(e: Explanation, now: datetime) -> Table:
    table = _grid("", "")
    table.add_row("policy", f"{e.policy}, mode {e.mode}, granularity {e.granularity}")
    several = len(e.sockets) > 1
    table.add_row("sockets" if several else "socket", ", ".join(map(str, e.sockets)) or "-")
    table.add_row("memory", f"{e.memory_mode}, {e.memory_headroom} kept free")
    if e.verification:
        v = e.verification
        table.add_row(
            "proof",
            f"over {v.window}: >= {v.min_local_percent}% local, "
            f"<= {v.max_cross_socket_pages_per_second} pages/s between sockets",
        )
    table.add_row("phase", dash(e.phase))
    if e.applied:
        table.add_row("applied", f"{age(e.applied.time, now)} ago")
    table.add_row("threads", "unknown" if e.threads is None else f"{e.threads} in one process")
    table.add_row("age", age(e.created, now))
    return table


def _cpusets(e: Explanation) -> Table:
    table = _grid("", "wanted", "in force", "")
    wanted = "-"
    if e.desired:
        wanted = f"{e.desired.cpus} / {e.desired.mems or 'any'}"
    force = f"{e.effective.cpus} / {e.effective.mems}" if e.effective else "not read back yet"
    placed = [c.ok for c in e.checks if c.name in {"cpus", "mems"}]
    table.add_row("pod", wanted, force, _mark(None if None in placed else all(placed)))
    for c in e.containers:
        table.add_row(c.name, f"within {wanted}", f"{c.cpus} / {c.mems}", _mark(c.inside))
    return table


def _checks(checks: tuple[CheckRow, ...]) -> Table:
    table = _grid("", "", "found", "wanted")
    for c in checks:
        table.add_row(_mark(c.ok), c.name, Text(c.found, overflow="fold"), Text(c.wanted))
        if c.ok is not True:
            table.add_row("", "", Text(c.message, style="dim", overflow="fold", no_wrap=False), "")
    table.columns[2].no_wrap = False
    return table


def _mark(ok: bool | None) -> Text:
    if ok is None:
        return Text("n/a", style="dim")
    return Text("ok", style="green") if ok else Text("FAIL", style="bold red")


def _memory(e: Explanation) -> Table:
    table = _grid("", "socket", ">before", ">now", ">share", "")
    for m in e.memory:
        table.add_row(
            f"NUMA node {m.node}",
            dash(m.socket),
            "-" if m.before_bytes is None else size(m.before_bytes),
            size(m.bytes),
            f"{m.percent:.1f}%",
            Text("local", style="green") if m.local else Text(""),
        )
    return table


def _borrowed(e: Explanation) -> Table:
    table = _grid("", "socket", ">about", "file", "also mapped by")
    for b in e.borrowed:
        more = [f"{b.others} more"] if b.others else []
        table.add_row(
            f"NUMA node {b.node}",
            dash(b.socket),
            size(b.bytes),
            Text(b.path),
            Text(", ".join([*b.pods, *more]) or "-"),
        )
    table.columns[3].no_wrap = False
    return table


def _counters(e: Explanation) -> Table:
    table = _grid("", ">before", ">now", "limit")
    both = (e.before, e.after)

    def row(name: str, cells: tuple[str, str], limit: str = "") -> None:
        table.add_row(name, *cells, limit)

    def cells(
        kind: str, attribute: str, unit: str, *, lack: str = "not counted"
    ) -> tuple[str, str]:
        def cell(r: Rates | None) -> str:
            value = None if r is None else getattr(r, attribute)
            if value is None:
                return "-" if r is None else lack
            return f"{value:{kind}}{unit}"

        before, after = map(cell, both)
        return before, after

    most = e.verification.max_cross_socket_pages_per_second if e.verification else None
    least = e.verification.min_local_percent if e.verification else None
    row("window", cells(".0f", "seconds", " s"), e.verification.window if e.verification else "")
    row("NUMA migrations", cells(",.1f", "migrated_pages_per_second", " pages/s"))
    row(
        "between sockets",
        cells(",.1f", "cross_socket_pages_per_second", " pages/s"),
        "" if most is None else f"<= {most}",
    )
    row("time migrating", cells(",.2f", "migration_ms_per_second", " ms/s"))
    row(
        "task moves between sockets",
        cells(",.1f", "cross_socket_task_migrations_per_second", "/s"),
    )
    valid = next((c for c in e.checks if c.name == "hintFaults"), None)
    row(
        "hint faults local",
        (_locality(e.before), _locality(e.after)),
        "not valid"
        if valid is not None and valid.ok is None
        else ("" if least is None else f">= {least}%"),
    )
    row("pages moved by the pin", cells(",d", "moved_by_pin_pages", ""))
    row("moved by system calls", cells(",d", "syscall_moved_pages", ""))
    row("scanner skips", cells(",d", "scanner_skips", ""))
    row(
        "page cache refaults", cells(",.1f", "page_cache_refaults_per_second", " pages/s", lack="-")
    )
    row("CPU time", cells(",.1f", "cpu_percent", "% of a CPU"))
    return table


_STYLES = {"better": "green", "worse": "bold red", "same": "dim"}


def _effect(e: Explanation) -> Table:
    table = _grid("", "", ">before", ">now", "")
    for c in e.effect:
        change = f"{(c.after - c.before) / c.before:+.0%}" if c.unit != "%" and c.before else ""
        table.add_row(
            Text(c.direction, style=_STYLES[c.direction]),
            c.name,
            f"{c.before:,.1f}",
            f"{c.after:,.1f}",
            f"{c.unit} {change}".rstrip(),
        )
    return table


def _locality(r: Rates | None) -> str:
    if r is None:
        return "-"
    if r.hint_fault_pages is None:
        return "not counted"
    if r.hint_fault_local_percent is None:
        return "no samples"
    return f"{r.hint_fault_local_percent:.1f}% of {r.hint_fault_pages:,}"


def _signals(e: Explanation) -> Table:
    table = _grid("", "", "")
    for s in e.signals:
        style = "red" if s.level == "none" and s.name not in CORROBORATING else "default"
        table.add_row(s.name, Text(s.level, style=style), s.reason or "")
    if e.numa_balancing is not None:
        table.add_row("NUMA balancing", "on" if e.numa_balancing else "off", f"Linux {e.kernel}")
    return table


def _remarks(e: Explanation, now: datetime) -> Group:
    lines = []
    if e.moving:
        m = e.moving
        share = m.bytes_done / m.bytes_total if m.bytes_total else 1.0
        lines.append(f"moving memory: {size(m.bytes_done)} of {size(m.bytes_total)} ({share:.0%})")
    if e.drift:
        d = e.drift
        lines.append(
            f"drift: somebody else set CPUs {d.cpus}, memory nodes {d.mems} "
            f"{age(d.time, now)} ago, {d.count} times in all"
        )
    if e.problem:
        lines.append(f"problem: {e.problem.reason}: {e.problem.message}")
    return Group(*map(Text, lines))


def _conditions(e: Explanation, now: datetime) -> Table:
    table = _grid("", "", ">since", "reason")
    for c in e.conditions:
        table.add_row(c.type, c.status, age(c.last_transition_time, now), c.reason)
    return table
