"""A NumaNode as its agent wrote it, as the planner's node.

One reading for the operator and the command line, so that both plan on the same machine.
"""

from collections.abc import Iterable

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.names import STATIC_CPU_MANAGER
from numapin_api.node import Hugepages, NumaNode
from numapin_operator.placement.values import Node
from numapin_operator.requests import page_bytes


def _pages(found: Iterable[Hugepages]) -> dict[int, int]:
    """Pages by bytes of one page; a size that is none is left out, as if there were none."""
    by_size = ((page_bytes(entry.size), entry.pages) for entry in found)
    return {size: pages for size, pages in by_size if size is not None}


def read_machine(node: NumaNode) -> Node | None:
    """What a NumaNode says of its machine; None while it says no topology.

    Args:
        node: as the API server sent it.

    Raises:
        CpuListError: a cpulist in it is malformed.
    """
    status = node.status
    if status is None or status.topology is None:
        return None
    usage = status.usage.nodes if status.usage else []
    sockets = status.usage.sockets if status.usage else []
    pages = {n.id: _pages(n.hugepages) for n in status.topology.nodes if n.hugepages}
    return Node(
        name=node.metadata.name,
        topology=status.topology.value(),
        reserved=CpuSet.parse(status.reserved_cpus),
        available={n.id: n.memory_available_bytes for n in usage},
        exclusive=CpuSet.parse(status.exclusive_cpus or ""),
        hugepages=pages,
        hugepages_free={n.id: _pages(n.hugepages_free or ()) for n in usage if n.id in pages},
        busy={s.id: s.cpu_millicores for s in sockets or ()},
        devices=None
        if status.devices is None
        else {
            (d.namespace, d.name, d.pod_uid or ""): NodeSet(d.numa_nodes) for d in status.devices
        },
        taken_by=tuple(
            f"{n.name}: {n.message}" if n.message else n.name
            for n in sorted(status.neighbours or (), key=lambda n: n.name)
            if n.stand_down
        ),
        static_cpu_manager=any(n.name == STATIC_CPU_MANAGER for n in status.neighbours or ()),
    )
