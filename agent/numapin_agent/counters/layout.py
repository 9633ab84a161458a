"""How a machine is laid out to the programs: which socket is where, and how large their maps are.

Pure: a topology in, numbers out. The pairs of NUMA nodes have ``pairs``.
"""

from typing import Final

from numapin_agent.counters.signals import FIELDS, copies, value_size
from numapin_api.topology import Topology

_MAP_BUDGET: Final = 16 << 20
_BYTES_PER_CGROUP_AND_CPU: Final = sum(
    value_size(name) for name in FIELDS if copies(name, cpus=2) == 2
)


NO_SOCKET: Final = 0xFFFFFFFF
"""Of a NUMA node without CPUs, as in ``bpf/programs.c``."""


def max_cgroups(cpus: int) -> int:
    """Size of the maps: 16 MiB of per-CPU values, but room for 1,024 to 2,048 cgroups.

    A node of 110 pods has some 450 cgroups with tasks. The maps are allocated at once, since
    tracing programs must not allocate, and charged to the agent's memory limit.

    Args:
        cpus: number of possible CPUs.
    """
    return min(2048, max(1024, _MAP_BUDGET // (_BYTES_PER_CGROUP_AND_CPU * max(1, cpus))))


def socket_indexes(topology: Topology, cpus: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the programs are told: index of the socket + 1 per CPU and per NUMA node, else 0.

    0 is what is not known; a NUMA node that has no CPUs is on no socket, and that is known.

    Args:
        topology: of the machine.
        cpus: one more than the highest possible CPU.
    """
    by_cpu = [0] * cpus
    by_node = [0] * (max((n.id for n in topology.nodes), default=-1) + 1)
    index = {s.id: i + 1 for i, s in enumerate(topology.sockets)}
    for socket in topology.sockets:
        for cpu in socket.cpus:
            if cpu < cpus:
                by_cpu[cpu] = index[socket.id]
    for node in topology.nodes:
        if not node.cpus:
            by_node[node.id] = NO_SOCKET
        elif node.socket is not None:
            by_node[node.id] = index.get(node.socket, 0)
    return tuple(by_cpu), tuple(by_node)
