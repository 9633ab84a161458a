"""``numapin top`` for people: tables of pods and of pairs of sockets that fit a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from numapin_cli.live.frame import Frame, Look
from numapin_cli.live.rows import PairRow, PodRow, ordered
from numapin_cli.views.columns import Column, table
from numapin_cli.views.units import plural, size


def number(value: float | None) -> str:
    """A rate in few characters: ``-``, ``0``, ``0.3``, ``17.2``, ``3,838``, ``12k``."""
    if value is None:
        return "-"
    if value < 0.05:
        return "0"
    if value < 99.95:
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 99_999.5 else f"{value / 1000:,.0f}k"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"


def _pin(row: PodRow) -> str:
    if row.pinned is None:
        return "-"
    socket = "?" if row.socket is None else str(row.socket)
    return socket if row.pinned else f"({socket})"


def _by_node(row: PodRow) -> str:
    """Shares of the memory by NUMA node, ``54/46``; only those of many nodes that hold any."""
    if not row.memory_bytes:
        return "-"
    shares = [(m.node, 100 * m.bytes / row.memory_bytes) for m in row.memory]
    if len(shares) <= 4:
        return "/".join(f"{share:.0f}" for _, share in shares)
    held = sorted((s for s in shares if s[1] >= 0.5), key=lambda s: -s[1])[:3]
    return " ".join(f"{node}:{share:.0f}" for node, share in held)


def _hot(value: float | None, from_: float) -> str:
    return "" if value is None or value < from_ else "yellow"


def columns(*, namespaces: bool, nodes: bool) -> list[Column[PodRow]]:
    """Columns of the table of pods; those with the highest rank go first where it is narrow.

    Args:
        namespaces: whether to show them.
        nodes: whether to show them.
    """
    names = [
        Column[PodRow](title="NAMESPACE", cell=lambda r: r.namespace, least=9),
        Column[PodRow](title="POD", cell=lambda r: r.name, least=14),
        Column[PodRow](title="NODE", cell=lambda r: r.node, least=8, rank=2),
    ]
    return [
        *(names if namespaces else names[1:])[: None if nodes else -1],
        Column(title="PIN", cell=_pin, style=lambda r: "green" if r.pinned else ""),
        Column(
            title="MS/S",
            cell=lambda r: number(r.migration_ms_per_second),
            style=lambda r: _hot(r.migration_ms_per_second, 1),
        ),
        Column(
            title="CROSS/S",
            cell=lambda r: number(r.cross_socket_pages_per_second),
            style=lambda r: _hot(r.cross_socket_pages_per_second, 10),
        ),
        Column(title="PAGES/S", cell=lambda r: number(r.migrated_pages_per_second), rank=4),
        Column(
            title="TASKS/S",
            cell=lambda r: number(r.cross_socket_task_migrations_per_second),
            rank=3,
        ),
        Column(
            title="REMOTE/S", cell=lambda r: number(r.remote_hint_fault_pages_per_second), rank=5
        ),
        Column(title="LOCAL", cell=lambda r: _percent(r.local_percent)),
        Column(title="CPU", cell=lambda r: _percent(r.cpu_percent), rank=6),
        Column(title="MEMORY", cell=lambda r: size(r.memory_bytes), rank=1),
        Column(title="BY NODE", cell=_by_node, rank=7),
    ]


def pods_table(rows: Sequence[PodRow], *, namespaces: bool, width: int) -> Table:
    """The pods for people.

    Args:
        rows: in order.
        namespaces: whether to show them.
        width: of the terminal.
    """
    nodes = len({r.node for r in rows}) != 1
    return table(columns(namespaces=namespaces, nodes=nodes), rows, width)


def _way(row: PairRow) -> str:
    if row.kind != "unknown" and row.from_socket is None:
        return {"cross": "between sockets", "within": "within a socket"}[row.kind]
    one, other = ("?" if s is None else str(s) for s in (row.from_socket, row.to_socket))
    return f"{one} > {other}"


def pairs_table(rows: Sequence[PairRow], *, width: int) -> Table:
    """The pairs of sockets for people.

    Args:
        rows: by node.
        width: of the terminal.
    """
    return table(
        [
            Column[PairRow](title="NODE", cell=lambda r: r.node, least=8),
            Column[PairRow](title="SOCKETS", cell=_way, least=15),
            Column[PairRow](
                title="PAGES/S",
                cell=lambda r: number(r.migrated_pages_per_second),
                style=lambda r: _hot(r.migrated_pages_per_second, 10) if r.kind == "cross" else "",
            ),
            Column[PairRow](title="MS/S", cell=lambda r: number(r.migration_ms_per_second)),
            Column[PairRow](title="FAULTS/S", cell=lambda r: number(r.hint_fault_pages_per_second)),
        ],
        rows,
        width,
    )


def body(
    found: Frame, look: Look, *, namespaces: bool, width: int, height: int | None = None
) -> RenderableType:
    """A frame for people.

    Args:
        found: what is known.
        look: which table, in which order.
        namespaces: whether to show them.
        width: of the terminal.
        height: lines that there are; None for no end of them.
    """
    said = [Text(line, no_wrap=True, overflow="ellipsis") for line in _said(found)]
    total = len(found.pods if look.by == "pod" else found.pairs)
    # The table's head, and a line that says how many are not shown.
    room = total if height is None else max(1, height - len(said) - 2)
    if look.by == "pod":
        pods = ordered(found.pods, look.sort, reverse=look.reverse)
        shown = pods_table(pods[:room], namespaces=namespaces, width=width)
    else:
        shown = pairs_table(found.pairs[:room], width=width)
    more = [Text(f"{total - room} more", style="dim")] if total > room else []
    if not total:
        more = [Text("nothing has been counted twice yet" if look.by == "pair" else "no pods")]
    return Group(*said, shown, *more)


def _said(found: Frame) -> Iterator[str]:
    for p in (*found.problems, *found.remarks):
        yield f"{p.node}: {p.message}"


def headline(found: Frame, look: Look, *, interval: float) -> Text:
    """The first line of the live table.

    Args:
        found: what is known.
        look: how it is shown.
        interval: seconds between two readings.
    """
    nodes = {p.node for p in found.pods} | {p.node for p in found.problems}
    what = plural(len(found.pods), "pod") + " on " + plural(len(nodes), "node")
    order = f"by {look.sort}{', reversed' if look.reverse else ''}" if look.by == "pod" else ""
    parts = [f"{found.time:%H:%M:%S} UTC", what, f"every {interval:g}s", order, "<> r p q"]
    return Text(" - ".join(p for p in parts if p), style="bold", no_wrap=True, overflow="ellipsis")
