"""What counts as local to a pin: agent and operator must not differ in it.

The operator judges by it; the agent writes figures at once that would be judged otherwise than
those it wrote last. It deliberately holds no verdict.
"""

from typing import Final

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.pin import NumaPinSpec, Observed
from numapin_api.topology import Topology

IMMOVABLE_BYTES: Final = 4 << 20
"""So much off the pin's NUMA nodes is no contradiction, whatever share of a small pod it is:
page tables, slab and cached files that were there before the pin can't be moved."""


def home(spec: NumaPinSpec, topology: Topology | None) -> NodeSet:
    """The NUMA nodes that are local to the pin; empty when unknown."""
    if spec.mems is not None:
        return NodeSet.parse(spec.mems)
    if topology is None or spec.socket is None:
        return NodeSet()
    cpus = CpuSet.parse(spec.cpus or "")
    inside = [n.id for n in topology.nodes if n.cpus and n.cpus <= cpus and n.memory_bytes]
    return NodeSet(inside) or topology.mems(spec.socket)


def resident_enough(spec: NumaPinSpec, observed: Observed, nodes: NodeSet) -> bool | None:
    """Whether enough of the resident memory is on NUMA nodes; None when that is unknown.

    Args:
        spec: whose ``minLocalPercent`` counts.
        observed: with the bytes per NUMA node.
        nodes: the pin's, from ``home``.
    """
    total = sum(m.bytes for m in observed.memory)
    if not nodes or not total:
        return None
    local = sum(m.bytes for m in observed.memory if m.node in nodes)
    least = spec.verification.min_local_percent
    return 100 * local >= least * total or total - local <= IMMOVABLE_BYTES
