"""NumaNode.status.usage: coarse, and rewritten only when something moved that matters.

Pure. One part that moved has all parts rewritten: the write is paid for anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from numapin_agent import hugepages, load
from numapin_agent.hugepages import Pool
from numapin_api.node import NumaNodeUsage, SocketUsage, Usage, hugepages_of
from numapin_api.topology import Topology

MEMORY_STEP = 0.05
"""Usage is rewritten only when a NUMA node's free memory moved by this share of it."""


@dataclass(frozen=True, slots=True)
class Use:
    """What of the node is in use now.

    Attributes:
        available: NUMA node → bytes that can be had.
        millicores: socket → CPU time in use; None while it is not known.
        pools: huge pages.
        calm: nothing was written for ``load.CALM_SECONDS``.
    """

    available: Mapping[int, int] = field(default_factory=dict)
    millicores: Mapping[int, int] | None = None
    pools: tuple[Pool, ...] = ()
    calm: bool = False


def usage(use: Use, *, before: Usage | None = None) -> Usage:
    """The wire form, ascending.

    Args:
        use: what is in use now.
        before: what was written last: what it says of CPUs stands while nothing newer is known.
    """
    free = hugepages.free(use.pools)
    sockets = before.sockets if before and use.millicores is None else None
    if use.millicores is not None:
        sockets = [SocketUsage(id=s, cpu_millicores=m) for s, m in sorted(use.millicores.items())]
    return Usage(
        sockets=sockets,
        nodes=[
            NumaNodeUsage(
                id=n,
                memory_available_bytes=size,
                hugepages_free=hugepages_of(free.get(n, {})) or None,
            )
            for n, size in sorted(use.available.items())
        ],
    )


def moved(old: Usage | None, use: Use, topology: Topology) -> bool:
    """Whether use moved so much that it is worth a write.

    Args:
        old: what was written last.
        use: what is in use now.
        topology: the sizes of sockets and NUMA nodes.
    """
    return old is None or any(
        (
            _memory_moved(old, use.available, topology),
            _cpus_moved(old, use, topology),
            hugepages.moved(
                {n.id: {h.size: h.pages for h in n.hugepages_free or ()} for n in old.nodes},
                use.pools,
            ),
        )
    )


def _memory_moved(old: Usage, available: Mapping[int, int], topology: Topology) -> bool:
    before = {n.id: n.memory_available_bytes for n in old.nodes}
    total = {n.id: n.memory_bytes for n in topology.nodes}
    return before.keys() != available.keys() or any(
        abs(size - before[node]) >= MEMORY_STEP * max(1, total.get(node, 0))
        for node, size in available.items()
    )


def _cpus_moved(old: Usage, use: Use, topology: Topology) -> bool:
    if use.millicores is None:
        return False
    before = {s.id: s.cpu_millicores for s in old.sockets or ()}
    return load.moved(before, use.millicores, topology, calm=use.calm)
