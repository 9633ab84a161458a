"""Machines, pins and pods in the planner's own notation, so that tables can be read.

``S0[N0 0-3 8G] S1[N1 4-7 8G]`` is two sockets of one NUMA node each;
``S0[N0 0-1 4G, N1 2-3 4G] S1[N2 4-5 4G, N3 6-7 4G]`` has sub-NUMA clustering;
``N4 - 16G`` outside of sockets is memory without CPUs (CXL);
``N0 0-7 16G S0(0-3) S1(4-7)`` is one NUMA node that two sockets share.
``S1/N1 500m/2G`` is a pin of one NUMA node, ``S1 500m/2G`` of a socket, ``S1 500m/2G cpu``
one that binds no memory.
"""

import re

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode, Socket, Topology
from numapin_operator.placement.values import Pinned, Placement, Spot, Unplaceable
from numapin_operator.requests import Requests

GIB = 1 << 30
TWO = "S0[N0 0-3 8G] S1[N1 4-7 8G]"
SNC = "S0[N0 0-1 4G, N1 2-3 4G] S1[N2 4-5 4G, N3 6-7 4G]"
SHARED = "N0 0-7 16G S0(0-3) S1(4-7)"
ONE = "S0[N0 0-3 8G]"
CXL = TWO + " N2 - 64G"
LOPSIDED = "S0[N0 0-1 2G] S1[N1 2-7 8G]"
SPARSE = "S0[N0 0-3 8G] S36[N8 4-7 8G]"

_SOCKET = re.compile(r"S(\d+)\[([^\]]*)\]")
_BARE_SOCKET = re.compile(r"S(\d+)\(([^)]*)\)")
_NODE = re.compile(r"N(\d+) (\S+) (\d+)G")


def _numa_node(found: re.Match[str], socket: int | None) -> NumaNode:
    cpus = CpuSet() if found[2] == "-" else CpuSet.parse(found[2])
    return NumaNode(int(found[1]), cpus, int(found[3]) * GIB, socket)


def machine(text: str) -> Topology:
    """A topology from its notation."""
    sockets: list[Socket] = []
    nodes: list[NumaNode] = []
    for outer in _SOCKET.finditer(text):
        inner = [_numa_node(n, int(outer[1])) for n in _NODE.finditer(outer[2])]
        nodes += inner
        cpus = CpuSet(cpu for n in inner for cpu in n.cpus)
        sockets.append(Socket(int(outer[1]), cpus, NodeSet(n.id for n in inner)))
    rest = _SOCKET.sub("", text)
    shared = [_numa_node(n, None) for n in _NODE.finditer(rest)]
    nodes += shared
    for bare in _BARE_SOCKET.finditer(rest):
        cpus = CpuSet.parse(bare[2])
        touching = NodeSet(n.id for n in shared if n.cpus & cpus)
        sockets.append(Socket(int(bare[1]), cpus, touching))
    nodes.sort(key=lambda n: n.id)
    size = range(len(nodes))
    distances = tuple(tuple(10 if i == j else 21 for j in size) for i in size)
    return Topology(tuple(sorted(sockets, key=lambda s: s.id)), tuple(nodes), distances)


def asks(text: str) -> Requests:
    """``500m/2G``; either part may be 0."""
    cpu, memory = text.split("/")
    millis = int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000
    return Requests(millis, round(float(memory.removesuffix("G")) * GIB))


def spot(text: str, *, memory: bool = True) -> Spot:
    """``S1`` or ``S1/N3``."""
    socket, _, node = text.partition("/")
    return Spot(int(socket[1:]), int(node[1:]) if node else None, memory=memory)


def pins(text: str) -> tuple[Pinned, ...]:
    """Pins, separated by commas."""
    found: list[Pinned] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        where, wanted, *rest = part.split()
        found.append(Pinned(spot(where, memory="cpu" not in rest), asks(wanted)))
    return tuple(found)


def outcome(result: Placement | Unplaceable) -> str:
    """``S1 4-7 N1``, ``S1 4-7 -`` without memory, ``S1/N3 6-7 N3``, or the reason."""
    if isinstance(result, Unplaceable):
        return result.reason
    where = f"S{result.socket}" + ("" if result.numa_node is None else f"/N{result.numa_node}")
    return f"{where} {result.cpus} " + ("-" if result.mems is None else f"N{result.mems}")
