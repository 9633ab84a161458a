"""A topology as a picture for a terminal of 80 columns.

Sockets are boxes that hold their NUMA nodes with CPUs and memory; what no socket owns
(memory-only nodes, nodes that span sockets) stands below, then the distances.
"""

from collections.abc import Iterator
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from numapin_api.cpulist import CpuSet
from numapin_api.topology import NumaNode, Socket, Topology
from numapin_cli.views.units import cpus, plural, size

WIDTH: Final = 80
MOST_BOXES: Final = 16
"""More sockets than that become lines of a table: boxes would fill screens."""
_BOX: Final = WIDTH // 2 - 1
_LINE: Final = _BOX - 4


def picture(topology: Topology) -> RenderableType:
    """Draw a machine.

    Args:
        topology: any machine's.
    """
    parts: list[RenderableType] = [_headline(topology), Text()]
    if len(topology.sockets) <= MOST_BOXES:
        parts.extend(_boxes(topology))
    else:
        parts.append(_lines(topology))
    parts.extend(_unowned(topology))
    parts.extend(_distances(topology))
    return Group(*parts)


def _headline(topology: Topology) -> Text:
    online = sum(len(s.cpus) for s in topology.sockets)
    memory = sum(n.memory_bytes for n in topology.nodes)
    return Text(
        ", ".join(
            (
                plural(len(topology.sockets), "socket"),
                plural(len(topology.nodes), "NUMA node"),
                plural(online, "CPU"),
                size(memory),
            )
        ),
        style="bold",
    )


def _boxes(topology: Topology) -> Iterator[RenderableType]:
    panels = [_box(s, topology) for s in topology.sockets]
    for i in range(0, len(panels), 2):
        row = Table.grid(padding=(0, 1))
        row.add_row(*panels[i : i + 2])
        yield row


def _box(socket: Socket, topology: Topology) -> Panel:
    lines = Text()
    for node in _nodes_of(socket, topology):
        shared = node.socket is None
        memory = "shared" if shared else size(node.memory_bytes)
        name = f"NUMA node {node.id}"
        lines.append(name, style="cyan")
        lines.append(f"{memory:>{_LINE - len(name)}}\n")
        lines.append(_indented(CpuSet(node.cpus & socket.cpus)))
    homeless = CpuSet(socket.cpus - set().union(*(n.cpus for n in topology.nodes)))
    if homeless:
        lines.append("in no NUMA node\n", style="yellow")
        lines.append(_indented(homeless))
    lines.rstrip()
    title = f"[bold]socket {socket.id}[/], {plural(len(socket.cpus), 'CPU')}"
    return Panel(lines, title=title, title_align="left", width=_BOX, box=box.ROUNDED)


def _indented(ids: CpuSet) -> str:
    noun = "CPU" if len(ids) == 1 else "CPUs"
    return f"  {noun} {cpus(ids, _LINE - 7)}\n"


def _nodes_of(socket: Socket, topology: Topology) -> list[NumaNode]:
    return [n for n in topology.nodes if n.id in socket.nodes]


def _lines(topology: Topology) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=WIDTH, pad_edge=False)
    for name, justify in (("SOCKET", "right"), ("CPUS", "left"), ("NUMA NODES", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    table.add_column("MEMORY", justify="right")
    for socket in topology.sockets:
        own = [n.memory_bytes for n in _nodes_of(socket, topology) if n.socket == socket.id]
        table.add_row(
            str(socket.id),
            cpus(socket.cpus, 28),
            cpus(socket.nodes, 16),
            size(sum(own)) if own else "shared",
        )
    return table


def _unowned(topology: Topology) -> Iterator[Text]:
    for node in topology.nodes:
        if node.socket is not None:
            continue
        name = Text(f"NUMA node {node.id}", style="cyan")
        if node.cpus:
            among = ", ".join(str(s.id) for s in topology.sockets if node.id in s.nodes)
            yield name.append(
                f" is shared by sockets {_short(among)}: {size(node.memory_bytes)}", style="default"
            )
        else:
            yield name.append(f" has memory only: {size(node.memory_bytes)}", style="default")


def _short(ids: str) -> str:
    return ids if len(ids) <= 30 else f"{ids[:24].rpartition(',')[0]},.. "


def _distances(topology: Topology) -> Iterator[RenderableType]:
    if len(topology.nodes) < 2:
        return
    yield Text()
    every = sorted({d for row in topology.distances for d in row})
    ids = [str(n.id) for n in topology.nodes]
    margin = len("node ") + max(map(len, ids))
    cell = max(len(str(every[-1])), *map(len, ids)) + 1
    if margin + (cell + 1) * len(ids) <= WIDTH:
        cell += 1
    if margin + cell * len(topology.nodes) > WIDTH:
        spread = f"{every[0]} to {every[-1]}" if len(every) > 1 else str(every[0])
        yield Text(f"Distances between NUMA nodes: {spread} (all of them: -o json)")
        return
    yield Text("Distances between NUMA nodes", style="bold")
    header = Text(f"{'':{margin}}")
    for node in topology.nodes:
        header.append(f"{node.id:>{cell}}", style="cyan")
    yield header
    for node, row in zip(topology.nodes, topology.distances, strict=True):
        line = Text(f"node {node.id:>{margin - 5}}", style="cyan")
        for other, distance in zip(topology.nodes, row, strict=True):
            line.append(f"{distance:>{cell}}", style=_colour(topology, node.id, other.id))
        yield line


def _colour(topology: Topology, a: int, b: int) -> str:
    if a == b:
        return "green"
    return "red" if topology.crosses(a, b) else "yellow"
