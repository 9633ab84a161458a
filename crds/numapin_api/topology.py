"""A node's sockets, NUMA nodes and distances as frozen values.

What the agent reads from sysfs and the operator reads from NumaNode.status is this same
type. Reading and planning are elsewhere.
"""

from dataclasses import dataclass

from numapin_api.cpulist import CpuSet, NodeSet


@dataclass(frozen=True, slots=True)
class Socket:
    """A physical package.

    Attributes:
        id: ``physical_package_id``; may be large and sparse.
        cpus: its online CPUs.
        nodes: the NUMA nodes with at least one online CPU of this package.
    """

    id: int
    cpus: CpuSet
    nodes: NodeSet


@dataclass(frozen=True, slots=True)
class NumaNode:
    """A NUMA node.

    Attributes:
        id: the N of ``/sys/devices/system/node/nodeN``.
        cpus: its online CPUs; empty for memory-only nodes (CXL, HBM, GPU).
        memory_bytes: MemTotal of the node.
        socket: the package that holds all its online CPUs, else None.
    """

    id: int
    cpus: CpuSet
    memory_bytes: int
    socket: int | None


@dataclass(frozen=True, slots=True)
class Topology:
    """All sockets and NUMA nodes of a machine, ascending by id.

    Attributes:
        sockets: every package with an online CPU.
        nodes: every NUMA node.
        distances: square matrix (SLIT) in the order of ``nodes``; 10 is local.
    """

    sockets: tuple[Socket, ...]
    nodes: tuple[NumaNode, ...]
    distances: tuple[tuple[int, ...], ...]

    def socket(self, socket_id: int) -> Socket | None:
        """The socket with that id, or None."""
        return next((s for s in self.sockets if s.id == socket_id), None)

    def mems(self, socket_id: int) -> NodeSet:
        """The NUMA nodes that a pod on this socket may allocate from.

        Those whose CPUs all belong to the socket and that hold memory. Memory-only nodes
        are left out: they are slow or special tiers that nobody asked for.
        """
        return NodeSet(n.id for n in self.nodes if n.socket == socket_id and n.memory_bytes > 0)

    def socket_of_node(self, node_id: int) -> int | None:
        """The socket that NUMA node belongs to; None if unknown or memory-only."""
        return next((n.socket for n in self.nodes if n.id == node_id), None)

    def crosses(self, from_node: int, to_node: int) -> bool:
        """Whether going from one NUMA node to the other leaves a socket."""
        source, target = self.socket_of_node(from_node), self.socket_of_node(to_node)
        return source is None or target is None or source != target
