"""The machines that the lab can imitate, as plain values.

Deliberately no QEMU syntax: qemu.py turns these into arguments.
"""

from dataclasses import dataclass

from numapin_api.errors import LabError

_SAME_SOCKET = 12
_OTHER_SOCKET = 21
_LOCAL = 10


@dataclass(frozen=True, slots=True)
class Topology:
    """Sockets and NUMA nodes of a guest; CPUs are numbered socket by socket.

    Attributes:
        name: what users type.
        sockets: number of physical packages.
        nodes_per_socket: NUMA nodes in each (SNC/NPS when more than one).
        cpus_per_node: CPUs in each NUMA node.
    """

    name: str
    sockets: int
    nodes_per_socket: int
    cpus_per_node: int

    @property
    def nodes(self) -> int:
        """Number of NUMA nodes."""
        return self.sockets * self.nodes_per_socket

    @property
    def cpus(self) -> int:
        """Number of CPUs."""
        return self.nodes * self.cpus_per_node

    def cpulist(self, node: int) -> str:
        """CPUs of a NUMA node, as a cpulist."""
        first = node * self.cpus_per_node
        last = first + self.cpus_per_node - 1
        return f"{first}-{last}" if last > first else str(first)

    def distance(self, one: int, other: int) -> int:
        """Distance between two NUMA nodes in the SLIT's unit (10 = local)."""
        if one == other:
            return _LOCAL
        same = one // self.nodes_per_socket == other // self.nodes_per_socket
        return _SAME_SOCKET if same else _OTHER_SOCKET


TOPOLOGIES = {
    t.name: t
    for t in (
        Topology("2s", sockets=2, nodes_per_socket=1, cpus_per_node=2),
        Topology("2s-snc2", sockets=2, nodes_per_socket=2, cpus_per_node=2),
        Topology("4s", sockets=4, nodes_per_socket=1, cpus_per_node=2),
        Topology("1s", sockets=1, nodes_per_socket=1, cpus_per_node=4),
    )
}
DEFAULT_TOPOLOGY = "2s"
MAX_NODES = 4

_GIB = 1024
_FIRST_MIB = 6 * _GIB
_OTHER_MIB = 4 * _GIB
_LEAST_MIB = 3 * _GIB
_HOST_SHARE_MIB = 3 * _GIB
"""For this machine itself: control plane, builds, page cache."""


def topology(name: str) -> Topology:
    """Look a topology up.

    Raises:
        LabError: unknown; lists what is allowed.
    """
    if name not in TOPOLOGIES:
        raise LabError(f"topology {name!r} is unknown; allowed are {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[name]


def node_names(count: int) -> tuple[str, ...]:
    """Names of the nodes of a lab.

    Raises:
        LabError: fewer than one or more than MAX_NODES.
    """
    if not 1 <= count <= MAX_NODES:
        raise LabError(f"--nodes {count} is not possible; allowed are 1 to {MAX_NODES}")
    return tuple(f"numa-{n}" for n in range(count))


def memory_mib(count: int, available_mib: int) -> tuple[int, ...]:
    """Memory of each node in MiB, a multiple of 64 so that every topology can share it.

    Args:
        count: number of nodes.
        available_mib: what this machine could give without swapping (MemAvailable).

    Raises:
        LabError: the machine has too little.
    """
    wanted = (_FIRST_MIB, *[_OTHER_MIB] * (count - 1))
    spare = available_mib - _HOST_SHARE_MIB
    if spare >= sum(wanted):
        return wanted
    each = spare // count // 64 * 64
    if each < _LEAST_MIB:
        need = count * _LEAST_MIB + _HOST_SHARE_MIB
        raise LabError(
            f"{count} node(s) need {need} MiB of memory, {available_mib} MiB are available: "
            "end other programs, or ask for fewer --nodes"
        )
    return tuple(min(each, want) for want in wanted)
