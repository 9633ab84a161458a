"""What each Kubernetes node is made of and what its agent can do."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from numapin_api.base import Conditions, Wire
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.node import (
    Hugepages,
    Neighbour,
    NumaNode,
    PodDevices,
    Signal,
    SocketStatus,
)
from numapin_cli.views.units import cpus, plural, size

NO_AGENT: Final = "no numapin agent has reported from this node"


class NumaNodeView(Wire):
    """A NUMA node with the memory that can still be had there."""

    id: int
    socket: int | None
    cpus: str
    memory_bytes: int
    memory_available_bytes: int | None
    hugepages: list[Hugepages]
    hugepages_free: list[Hugepages]


class SocketView(SocketStatus):
    """A socket with the CPU time that is used there."""

    cpu_millicores: int | None
    """None while no agent has said."""


class NodeView(Wire):
    """A Kubernetes node."""

    name: str
    ready: bool | None
    """None while no agent has reported."""
    message: str
    """Why it is not ready, or only partly; empty when all is well."""
    agent_version: str | None
    kernel: str | None
    cgroup_version: int | None
    cgroup_driver: str | None
    numa_balancing: bool | None
    sockets: list[SocketView]
    numa_nodes: list[NumaNodeView]
    reserved_cpus: str
    exclusive_cpus: str
    devices: list[PodDevices] | None
    """None where the agent can't know."""
    devices_unknown: str | None
    neighbours: list[Neighbour]
    signals: list[Signal]
    conditions: Conditions


def view(node: NumaNode) -> NodeView:
    """What a NumaNode says."""
    status = node.status
    topology = status.topology if status else None
    capabilities = status.capabilities if status else None
    usage = status.usage if status else None
    used = {u.id: u.cpu_millicores for u in usage.sockets or ()} if usage else {}
    free = {u.id: u for u in usage.nodes} if usage else {}
    conditions = status.conditions if status else []
    ready = next((c for c in conditions if c.type == "Ready"), None)
    trouble = next(
        (
            c
            for c in conditions
            if (c.type, c.status) in {("Ready", "False"), ("Degraded", "True")} and c.message
        ),
        None,
    )
    return NodeView(
        name=node.metadata.name,
        ready=None if ready is None else ready.status == "True",
        message=trouble.message if trouble else "" if ready else NO_AGENT,
        agent_version=status.agent_version if status else None,
        kernel=capabilities.kernel if capabilities else None,
        cgroup_version=capabilities.cgroup_version if capabilities else None,
        cgroup_driver=capabilities.cgroup_driver if capabilities else None,
        numa_balancing=capabilities.numa_balancing if capabilities else None,
        sockets=[
            SocketView(id=s.id, cpus=s.cpus, nodes=s.nodes, cpu_millicores=used.get(s.id))
            for s in (topology.sockets if topology else ())
        ],
        numa_nodes=[
            NumaNodeView(
                id=n.id,
                socket=n.socket,
                cpus=n.cpus,
                memory_bytes=n.memory_bytes,
                memory_available_bytes=free[n.id].memory_available_bytes if n.id in free else None,
                hugepages=n.hugepages or [],
                hugepages_free=(free[n.id].hugepages_free or []) if n.id in free else [],
            )
            for n in (topology.nodes if topology else ())
        ],
        reserved_cpus=status.reserved_cpus if status else "",
        exclusive_cpus=status.exclusive_cpus if status else "",
        devices=status.devices if status else None,
        devices_unknown=capabilities.devices_unknown if capabilities else None,
        neighbours=status.neighbours if status else [],
        signals=capabilities.signals if capabilities else [],
        conditions=conditions,
    )


def views(nodes: Iterable[NumaNode], names: Iterable[str]) -> list[NodeView]:
    """All nodes by name, also those that no agent has reported from.

    Args:
        nodes: NumaNodes.
        names: of all Kubernetes nodes; may be empty when they can't be listed.
    """
    found = {n.metadata.name: view(n) for n in nodes}
    for name in names:
        if name not in found:
            found[name] = view(NumaNode.model_validate({"metadata": {"name": name}}))
    return [found[name] for name in sorted(found)]


def table(found: Sequence[NodeView]) -> RenderableType:
    """The nodes for people: a line for each NUMA node, remarks below."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    result.add_column("NODE", overflow="fold")
    for name in ("READY", "AGENT"):
        result.add_column(name, no_wrap=True)
    for name in ("SOCKET", "NUMA"):
        result.add_column(name, no_wrap=True, justify="right")
    result.add_column("CPUS", no_wrap=True)
    result.add_column("USED", no_wrap=True, justify="right")
    result.add_column("AVAILABLE", no_wrap=True, justify="right")
    result.add_column("SIGNALS", overflow="fold")
    for node in found:
        lines = list(_places(node)) or [("-", "-", "-", "-", "-")]
        for i, place in enumerate(lines):
            first = i == 0
            result.add_row(
                node.name if first else "",
                _ready(node.ready) if first else "",
                (node.agent_version or "-") if first else "",
                *place,
                _levels(node.signals) if first else "",
            )
    remarks = [Text(r) for node in found for r in _remarks(node)]
    return Group(result, *([Text(), *remarks] if remarks else []))


def _ready(ready: bool | None) -> Text:
    if ready is None:
        return Text("-", style="dim")
    return Text("yes", style="green") if ready else Text("no", style="red")


def _places(node: NodeView) -> Iterator[tuple[str, str, str, str, str]]:
    """Socket, NUMA node, CPUs, CPUs used, memory: by socket, then what no socket owns."""
    for socket in node.sockets:
        own = [n for n in node.numa_nodes if n.socket == socket.id]
        for i, n in enumerate(own):
            first, used = ("", "") if i else (str(socket.id), _used(socket))
            yield (first, str(n.id), _cpus(n.cpus), used, _memory(n))
        if not own:
            mems = str(NodeSet(socket.nodes)) or "-"
            yield (str(socket.id), mems, _cpus(socket.cpus), _used(socket), "shared")
    for n in node.numa_nodes:
        if n.socket is None:
            yield ("-", str(n.id), _cpus(n.cpus), "", _memory(n))


def _cpus(text: str) -> str:
    return cpus(CpuSet.parse(text), 16) or "none"


def _used(socket: SocketView) -> str:
    return "-" if socket.cpu_millicores is None else f"{socket.cpu_millicores / 1000:.1f}"


def _memory(node: NumaNodeView) -> str:
    if node.memory_available_bytes is None:
        return size(node.memory_bytes)
    return f"{size(node.memory_available_bytes)} of {size(node.memory_bytes)}"


def _levels(signals: Sequence[Signal]) -> str:
    """``fentry`` if that is how all are had, else the commonest and the exceptions."""
    if not signals:
        return "-"
    levels = [s.level for s in signals]
    most = max(levels, key=levels.count)
    others = [f"{s.name} {s.level}" for s in signals if s.level != most]
    return ", ".join([most, *others])


def _remarks(node: NodeView) -> Iterator[str]:
    if node.message:
        yield f"{node.name}: {node.message}"
    if node.numa_balancing is False:
        yield f"{node.name}: the kernel's NUMA balancing is off"
    for neighbour in node.neighbours:
        what = "pins nothing" if neighbour.stand_down else "pins all the same"
        yield f"{node.name}: {neighbour.name}: {neighbour.message}; numapin {what} here"
    if node.exclusive_cpus:
        yield f"{node.name}: CPUs {node.exclusive_cpus} are given to single containers"
    if node.devices:
        yield f"{node.name}: {plural(len(node.devices), 'pod')} with devices"
    if node.devices_unknown:
        yield f"{node.name}: which pods hold devices is not known: {node.devices_unknown}"
    for signal in node.signals:
        if signal.reason:
            yield f"{node.name}: {signal.name} is had by {signal.level}: {signal.reason}"
