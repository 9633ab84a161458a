"""A machine cut into cells: the smallest parts that a pin can take whole.

A cell is a NUMA node that belongs to one socket, or what is left of a socket's CPUs beside
such NUMA nodes (a NUMA node that sockets share is nobody's). Every pin covers some cells: one
(granularity NumaNode), those of a socket, or those of several (onUnplaceable Split). A set of
cells is a bit mask, so that a node's room can be counted without sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import Topology
from numapin_operator.placement.values import Spot


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of one socket.

    Attributes:
        socket: id of the socket.
        numa_node: id of the NUMA node; None for CPUs beside the socket's own NUMA nodes.
        cpus: online CPUs that pods may have.
        memory_bytes: of the NUMA node.
    """

    socket: int
    numa_node: int | None
    cpus: CpuSet
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Cells:
    """All cells of a machine; the bit of a cell is its index.

    Attributes:
        all: by socket, then NUMA node.
        of_socket: mask of each socket that has a CPU for pods.
        of_numa_node: mask of each NUMA node that has a CPU for pods and belongs to a socket.
    """

    all: tuple[Cell, ...]
    of_socket: Mapping[int, int]
    of_numa_node: Mapping[int, int]

    def inside(self, mask: int) -> tuple[Cell, ...]:
        """The cells of a mask."""
        return tuple(cell for i, cell in enumerate(self.all) if mask >> i & 1)

    def cpus(self, mask: int) -> CpuSet:
        """All CPUs for pods in a mask."""
        cells = self.inside(mask)
        return cells[0].cpus if len(cells) == 1 else CpuSet(c for one in cells for c in one.cpus)

    def mems(self, mask: int) -> NodeSet:
        """The NUMA nodes with memory in a mask."""
        cells = self.inside(mask)
        return NodeSet(c.numa_node for c in cells if c.numa_node is not None and c.memory_bytes)

    def covered(self, spot: Spot) -> int:
        """The mask that a pin covers; 0 when none of it exists any more."""
        if spot.numa_node is not None:
            found = self.of_numa_node.get(spot.numa_node)
            # A NUMA node that is gone: its pin burdens the socket until it is planned anew.
            return self.of_socket.get(spot.socket, 0) if found is None else found
        mask = 0
        for socket in spot.sockets:
            mask |= self.of_socket.get(socket, 0)
        return mask


@lru_cache(maxsize=4096)
def cells(topology: Topology, kept: CpuSet) -> Cells:
    """Cut a machine.

    Nodes of a cluster are of few kinds, so the answer is kept.

    Args:
        topology: sockets and NUMA nodes.
        kept: CPUs that pods don't get: reserved, or given to single containers.
    """
    found: list[Cell] = []
    of_socket: dict[int, int] = {}
    of_numa_node: dict[int, int] = {}
    for socket in topology.sockets:
        rest = CpuSet(socket.cpus - kept)
        if not rest:
            continue
        first = len(found)
        for node in topology.nodes:
            if node.socket != socket.id or node.memory_bytes <= 0:
                continue
            cpus = CpuSet(node.cpus - kept)
            if cpus:
                of_numa_node[node.id] = 1 << len(found)
            found.append(Cell(socket.id, node.id, cpus, node.memory_bytes))
            rest = CpuSet(rest - cpus)
        if rest:
            found.append(Cell(socket.id, None, rest, 0))
        of_socket[socket.id] = (1 << len(found)) - (1 << first)
    return Cells(tuple(found), of_socket, of_numa_node)
