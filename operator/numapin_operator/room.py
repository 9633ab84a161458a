"""What is left of each socket and NUMA node of a Kubernetes node, by requests.

The accounting under the planner. A pin of a whole socket takes room in the socket only; a
pin of one NUMA node takes room in that NUMA node and in its socket. It deliberately makes
no choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.policy import Granularity
from numapin_api.topology import Topology
from numapin_operator.requests import Requests
from numapin_operator.text import cores, size

SCORED_CPU_MILLIS: Final = 100
SCORED_MEMORY_BYTES: Final = 200 * 1024 * 1024
"""What a pod without requests weighs when places are compared, else all of them would go
to socket 0. The same figures as kube-scheduler's pkg/scheduler/util/pod_resources.go."""


NO_CPUS: Final = CpuSet()


@dataclass(frozen=True, slots=True)
class Node:
    """A Kubernetes node as the planner sees it.

    Attributes:
        name: its name.
        topology: sockets and NUMA nodes.
        reserved: CPUs that pods never get.
        available: bytes that can still be had per NUMA node, where reported.
    """

    name: str
    topology: Topology
    reserved: CpuSet = NO_CPUS
    available: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a pin is.

    Attributes:
        socket: id of the socket.
        numa_node: id of the NUMA node; None for the whole socket.
        memory: whether memory is bound there, not only CPUs.
    """

    socket: int
    numa_node: int | None = None
    memory: bool = True


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pin of another pod on the same node, and what that pod asks for."""

    spot: Spot
    requests: Requests


@dataclass(frozen=True, slots=True)
class Place:
    """A socket or NUMA node that could be given, with what pins have taken of it.

    Attributes:
        socket: id of the socket.
        numa_node: id of the NUMA node; None for the whole socket.
        cpus: its online CPUs less the reserved ones.
        mems: its NUMA nodes; empty when they are not its own.
        memory_total: bytes of memory of ``mems``.
        cpu_used: millicores asked for by the pins inside.
        memory_used: bytes asked for by the pins inside that bind memory.
        weight: CPU and memory of all pins that burden it, for comparing places.
        socket_place: for a NUMA node, the socket that holds it.
    """

    socket: int
    numa_node: int | None
    cpus: CpuSet
    mems: NodeSet
    memory_total: int
    cpu_used: int
    memory_used: int
    weight: tuple[Fraction, Fraction]
    socket_place: "Place | None" = None

    @property
    def label(self) -> str:
        """How people call it."""
        if self.numa_node is None:
            return f"socket {self.socket}"
        return f"NUMA node {self.numa_node} of socket {self.socket}"

    @property
    def order(self) -> tuple[int, int]:
        """Lower ids first."""
        return self.socket, -1 if self.numa_node is None else self.numa_node

    @property
    def cpu_capacity(self) -> int:
        """Millicores."""
        return 1000 * len(self.cpus)

    def memory_capacity(self, headroom_percent: int) -> int:
        """Bytes that pins may ask for together."""
        return self.memory_total * (100 - headroom_percent) // 100

    def takes_cpu(self, millis: int) -> bool:
        """Whether that many more millicores fit, here and in the socket around."""
        return self.cpu_used + millis <= self.cpu_capacity and (
            self.socket_place is None or self.socket_place.takes_cpu(millis)
        )

    def takes_memory(self, amount: int, *, headroom_percent: int) -> bool:
        """Whether that many more bytes fit, here and in the socket around."""
        return self.memory_used + amount <= self.memory_capacity(headroom_percent) and (
            self.socket_place is None
            or self.socket_place.takes_memory(amount, headroom_percent=headroom_percent)
        )

    def utilisation(self, requests: Requests) -> tuple[Fraction, Fraction]:
        """Shares of CPU and memory taken once a pod with these requests is here too."""
        cpu = self.weight[0] + (requests.cpu_millis or SCORED_CPU_MILLIS)
        memory = self.weight[1] + (requests.memory_bytes or SCORED_MEMORY_BYTES)
        return (
            Fraction(cpu, max(1, self.cpu_capacity)),
            Fraction(memory, max(1, self.memory_total)) if self.mems else Fraction(0),
        )

    def left(self, headroom_percent: int) -> str:
        """What is left, for people."""
        capacity = self.memory_capacity(headroom_percent)
        return (
            f"{self.label} has {cores(max(0, self.cpu_capacity - self.cpu_used))} of "
            f"{cores(self.cpu_capacity)} CPU and {size(max(0, capacity - self.memory_used))} "
            f"of {size(capacity)} memory left"
        )


def _weight(pins: Sequence[Pinned], part: int) -> tuple[Fraction, Fraction]:
    """What pins weigh, each divided by ``part``."""
    return (
        Fraction(sum(p.requests.cpu_millis or SCORED_CPU_MILLIS for p in pins), part),
        Fraction(sum(p.requests.memory_bytes or SCORED_MEMORY_BYTES for p in pins), part),
    )


def _memory(topology: Topology, mems: NodeSet) -> int:
    return sum(n.memory_bytes for n in topology.nodes if n.id in mems)


def _socket_place(node: Node, socket: int, cpus: CpuSet, pins: Sequence[Pinned]) -> Place:
    mems = node.topology.mems(socket)
    return Place(
        socket=socket,
        numa_node=None,
        cpus=CpuSet(cpus - node.reserved),
        mems=mems,
        memory_total=_memory(node.topology, mems),
        cpu_used=sum(p.requests.cpu_millis for p in pins),
        memory_used=sum(p.requests.memory_bytes for p in pins if p.spot.memory),
        weight=_weight(pins, 1),
    )


def _numa_place(node: Node, outer: Place, numa_node: int, pins: Sequence[Pinned]) -> Place:
    inside = [p for p in pins if p.spot.numa_node == numa_node]
    # A pin of the whole socket burdens each of its NUMA nodes by an equal part.
    around = _weight([p for p in pins if p.spot.numa_node is None], len(outer.mems))
    own = _weight(inside, 1)
    cpus = next(n.cpus for n in node.topology.nodes if n.id == numa_node)
    mems = NodeSet([numa_node])
    return Place(
        socket=outer.socket,
        numa_node=numa_node,
        cpus=CpuSet(cpus - node.reserved),
        mems=mems,
        memory_total=_memory(node.topology, mems),
        cpu_used=sum(p.requests.cpu_millis for p in inside),
        memory_used=sum(p.requests.memory_bytes for p in inside if p.spot.memory),
        weight=(own[0] + around[0], own[1] + around[1]),
        socket_place=outer,
    )


def places(node: Node, pins: Sequence[Pinned], granularity: Granularity) -> tuple[Place, ...]:
    """Every socket, or every NUMA node with CPUs and memory of its own, ascending by id.

    Those without a single CPU for pods are left out. Memory-only NUMA nodes (CXL, HBM, GPU)
    are no places: they have no socket.
    """
    found: list[Place] = []
    for socket in node.topology.sockets:
        mine = [p for p in pins if p.spot.socket == socket.id]
        outer = _socket_place(node, socket.id, socket.cpus, mine)
        if granularity == "Socket":
            found.append(outer)
        else:
            found.extend(_numa_place(node, outer, numa_node, mine) for numa_node in outer.mems)
    return tuple(sorted((p for p in found if p.cpus), key=lambda p: p.order))
