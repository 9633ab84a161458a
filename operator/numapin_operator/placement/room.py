"""What is left of each socket and NUMA node of a Kubernetes node, by requests.

The accounting under the planner. A pin of one NUMA node takes room there and in its socket; a
pin of a socket takes room in the socket, wherever inside; a pin of two sockets in both
together. That all of them can be served at once is Hall's condition: in no set of cells may
the pins that lie wholly inside ask for more than it has. It deliberately makes no choice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.policy import Granularity
from numapin_operator.placement.cells import Cells, cells
from numapin_operator.placement.values import Node, Pinned, Spot
from numapin_operator.requests import Requests
from numapin_operator.text import cores, listed, size

SCORED_CPU_MILLIS: Final = 100
SCORED_MEMORY_BYTES: Final = 200 * 1024 * 1024
"""What a pod without requests weighs when places are compared, else all of them would go
to socket 0. The same figures as kube-scheduler's pkg/scheduler/util/pod_resources.go."""
WHOLE: Final = 1_000_000
"""Shares are whole millionths, so that equal places compare equal."""

CPU: Final = 0
MEMORY: Final = 1
_FIXED: Final = 2
"""Resources are counted in lists: CPU, memory, then bytes of huge pages by page size."""


class Room:
    """A node with pins on it.

    Args:
        node: the node.
        pins: in any order.
    """

    def __init__(self, node: Node, pins: Iterable[Pinned]) -> None:
        self.node = node
        kept = CpuSet(node.reserved | node.exclusive) if node.exclusive else node.reserved
        self.cells: Cells = cells(node.topology, kept)
        self.page_sizes = tuple(sorted({p for of in node.hugepages.values() for p in of}))
        self._capacity = [self._has(i) for i in range(len(self.cells.all))]
        self._taken: dict[int, list[int]] = {}
        self._weight = [[0, 0] for _ in self.cells.all]
        for pin in pins:
            self.put(pin.spot, pin.requests)

    def _has(self, index: int) -> list[int]:
        cell = self.cells.all[index]
        pages = {} if cell.numa_node is None else self.node.hugepages.get(cell.numa_node, {})
        huge = [page * pages.get(page, 0) for page in self.page_sizes]
        # As in a node's allocatable: memory set up as huge pages is not memory for others.
        return [1000 * len(cell.cpus), max(0, cell.memory_bytes - sum(huge)), *huge]

    def needs(self, requests: Requests, *, memory: bool) -> list[int] | None:
        """What a pod takes; None if it wants huge pages of a size that the node has none of.

        Args:
            requests: of the pod.
            memory: whether its memory is bound.
        """
        if not memory:
            return [requests.cpu_millis, 0, *(0 for _ in self.page_sizes)]
        wanted = dict(requests.hugepages)
        found = [
            requests.cpu_millis,
            requests.memory_bytes,
            *(wanted.pop(page, 0) for page in self.page_sizes),
        ]
        return None if wanted else found

    def put(self, spot: Spot, requests: Requests, sign: int = 1) -> None:
        """A pin comes, or with sign -1 goes."""
        mask = self.cells.covered(spot)
        if not mask:
            return
        amount = self.needs(requests, memory=spot.memory) or [
            requests.cpu_millis,
            requests.memory_bytes,
            *(0 for _ in self.page_sizes),
        ]
        taken = self._taken.get(mask)
        if taken is None:
            taken = self._taken[mask] = [0] * len(amount)
        for i, part in enumerate(amount):
            taken[i] += sign * part
        if not any(taken):
            del self._taken[mask]
        number = mask.bit_count()
        cpu = sign * ((requests.cpu_millis or SCORED_CPU_MILLIS) * WHOLE // number)
        memory = sign * ((requests.memory_bytes or SCORED_MEMORY_BYTES) // number)
        rest, index = mask, 0
        while rest:
            if rest & 1:
                # A pin of several cells burdens each of them by an equal part.
                self._weight[index][0] += cpu
                self._weight[index][1] += memory
            rest >>= 1
            index += 1

    def _around(self, mask: int) -> list[int]:
        """The sets of cells in which one more pin of this mask could ask for too much."""
        if not any(span & mask and span & ~mask for span in self._taken):
            return [mask]
        found = [mask]
        for one in found:
            for span in self._taken:
                if span & one and span & ~one and one | span not in found:
                    found.append(one | span)
        return found

    def capacity(self, mask: int, part: int) -> int:
        """What a set of cells has of a resource."""
        return sum(has[part] for i, has in enumerate(self._capacity) if mask >> i & 1)

    def memory_capacity(self, mask: int, headroom_percent: int) -> int:
        """Bytes that pins may ask for together."""
        return self.capacity(mask, MEMORY) * (100 - headroom_percent) // 100

    def taken(self, mask: int, part: int) -> int:
        """What pins that lie wholly inside ask for."""
        return sum(taken[part] for span, taken in self._taken.items() if not span & ~mask)

    def left(self, mask: int, part: int, *, headroom_percent: int = 0) -> int:
        """What one more pin of this mask may ask for; below 0 where there is too much already."""
        least: int | None = None
        for around in self._around(mask):
            has = (
                self.memory_capacity(around, headroom_percent)
                if part == MEMORY
                else self.capacity(around, part)
            )
            spare = has - self.taken(around, part)
            least = spare if least is None else min(least, spare)
        return 0 if least is None else least

    def holds(self, mask: int, requests: Requests) -> bool:
        """Whether the huge pages that a pod asks for are there, by requests."""
        needs = self.needs(requests, memory=True)
        return needs is not None and all(
            not amount or amount <= self.left(mask, part)
            for part, amount in enumerate(needs)
            if part >= _FIXED
        )

    def weight(self, mask: int) -> tuple[int, int]:
        """Millionths of millicores, and bytes, of all pins that burden these cells."""
        cpu = memory = 0
        for i, (one, two) in enumerate(self._weight):
            if mask >> i & 1:
                cpu += one
                memory += two
        return cpu, memory

    def busy(self, mask: int) -> int | None:
        """Millicores in use by everything; None where the node does not say.

        A part of a socket is taken to have its share of the socket's use.
        """
        total = 0
        for socket, whole in self.cells.of_socket.items():
            inside = mask & whole
            if not inside:
                continue
            used = self.node.busy.get(socket)
            if used is None:
                return None
            if inside == whole:
                total += used
            else:
                total += used * self.capacity(inside, CPU) // max(1, self.capacity(whole, CPU))
        return total

    def available(self, mems: NodeSet) -> int | None:
        """Bytes that can really be had there; None where the node does not say."""
        known = self.node.available
        if not mems or any(n not in known for n in mems):
            return None
        return sum(known[n] for n in mems)


@dataclass(frozen=True, slots=True)
class Place:
    """A socket, a NUMA node or several sockets that could be given, with what is taken.

    Attributes:
        room: of the node.
        mask: its cells.
        socket: id of the socket; of several, the first.
        numa_node: id of the NUMA node; None for whole sockets.
        also: further sockets.
        cpus: its online CPUs that pods may have.
        mems: its NUMA nodes; empty when they are not its own.
    """

    room: Room
    mask: int
    socket: int
    numa_node: int | None
    cpus: CpuSet
    mems: NodeSet
    also: tuple[int, ...] = ()

    @property
    def sockets(self) -> tuple[int, ...]:
        """All its sockets."""
        return (self.socket, *self.also)

    @property
    def label(self) -> str:
        """How people call it."""
        if self.also:
            return f"sockets {listed(self.sockets)}"
        if self.numa_node is None:
            return f"socket {self.socket}"
        return f"NUMA node {self.numa_node} of socket {self.socket}"

    @property
    def order(self) -> tuple[int, ...]:
        """Lower ids first."""
        return (self.socket, -1 if self.numa_node is None else self.numa_node, *self.also)

    @property
    def cpu_capacity(self) -> int:
        """Millicores."""
        return 1000 * len(self.cpus)

    @property
    def cpu_used(self) -> int:
        """Millicores asked for by the pins inside."""
        return self.room.taken(self.mask, CPU)

    @property
    def memory_total(self) -> int:
        """Bytes of memory of ``mems``, without huge pages."""
        return self.room.capacity(self.mask, MEMORY)

    def memory_capacity(self, headroom_percent: int) -> int:
        """Bytes that pins may ask for together."""
        return self.room.memory_capacity(self.mask, headroom_percent)

    def takes_cpu(self, millis: int) -> bool:
        """Whether that many more millicores fit, here and in what is around."""
        return millis <= self.room.left(self.mask, CPU)

    def takes_memory(self, amount: int, *, headroom_percent: int) -> bool:
        """Whether that many more bytes fit, here and in what is around."""
        return amount <= self.room.left(self.mask, MEMORY, headroom_percent=headroom_percent)

    def takes_hugepages(self, requests: Requests, *, held: bool) -> bool:
        """Whether the huge pages asked for fit, by requests and by what is free.

        Args:
            requests: of the pod.
            held: the pod is pinned here, so its pages are not free.
        """
        if not requests.hugepages:
            return True
        if not self.mems or not self.room.holds(self.mask, requests):
            return False
        free = self.room.node.hugepages_free
        if held or any(n not in free for n in self.mems):
            return True
        return all(
            amount <= page * sum(free[n].get(page, 0) for n in self.mems)
            for page, amount in requests.hugepages
        )

    def left(self, headroom_percent: int) -> str:
        """What is left, for people."""
        capacity = self.memory_capacity(headroom_percent)
        spare = self.room.left(self.mask, MEMORY, headroom_percent=headroom_percent)
        return (
            f"{self.label} has {cores(max(0, self.room.left(self.mask, CPU)))} of "
            f"{cores(self.cpu_capacity)} CPU and {size(max(0, spare))} "
            f"of {size(capacity)} memory left"
        )


def whole(room: Room, sockets: Sequence[int]) -> Place | None:
    """The place of one or several whole sockets; None if one has no CPU for pods."""
    mask = 0
    for socket in sockets:
        if socket not in room.cells.of_socket:
            return None
        mask |= room.cells.of_socket[socket]
    first, *also = sorted(sockets)
    return Place(room, mask, first, None, room.cells.cpus(mask), room.cells.mems(mask), tuple(also))


def sockets(room: Room) -> tuple[Place, ...]:
    """Every socket with a CPU for pods, ascending by id."""
    found = (whole(room, [socket]) for socket in sorted(room.cells.of_socket))
    return tuple(place for place in found if place is not None)


def numa_nodes(room: Room) -> tuple[Place, ...]:
    """Every NUMA node with CPUs for pods and memory of its own, by socket and id.

    Memory-only NUMA nodes (CXL, HBM, GPU) are no places: they have no socket.
    """
    found = [
        Place(
            room,
            mask,
            room.cells.inside(mask)[0].socket,
            node,
            room.cells.cpus(mask),
            NodeSet([node]),
        )
        for node, mask in room.cells.of_numa_node.items()
    ]
    return tuple(sorted(found, key=lambda p: p.order))


def places(node: Node, pins: Iterable[Pinned], granularity: Granularity) -> tuple[Place, ...]:
    """Every socket, or every NUMA node with CPUs and memory of its own, ascending by id."""
    room = Room(node, pins)
    return sockets(room) if granularity == "Socket" else numa_nodes(room)
