"""Finds the PMU events of this machine that the kernel takes, best first.

The shell around ``select``: reads the machine, then opens each candidate on one CPU and closes
it again, so that nothing is compiled for events that can't be had. Not asked for, nothing is
opened at all.
"""

from dataclasses import replace
from typing import Final

from numapin_agent.counters.pmu.machine import read_pmus, read_processor
from numapin_agent.counters.pmu.perf import try_pair
from numapin_agent.counters.pmu.select import Candidate, select
from numapin_agent.hostpaths import HostPaths
from numapin_api.topology import Topology

NOT_ASKED: Final = "not asked for (--dram-counters)"


def choose(
    paths: HostPaths, topology: Topology, *, asked: bool, one_node_per_socket: bool
) -> Candidate | str:
    """The events to count with, or why there are none.

    Args:
        paths: of the host.
        topology: of the machine.
        asked: whether they are wanted.
        one_node_per_socket: whether each socket is one NUMA node.
    """
    found = select(
        read_processor(paths),
        read_pmus(paths),
        sockets=len(topology.sockets),
        one_node_per_socket=one_node_per_socket,
    )
    if found.reason is not None:
        return found.reason if asked else f"{NOT_ASKED}, and {found.reason}"
    if not asked:
        return f"{NOT_ASKED}: this CPU may have {found.candidates[0].pair.name}"
    cpus = frozenset(cpu for socket in topology.sockets for cpu in socket.cpus)
    refused: list[str] = []
    for candidate in found.candidates:
        why = try_pair(candidate, cpus)
        if why is None:
            caveats = (*refused, candidate.caveat)
            return replace(candidate, caveat="; ".join(filter(None, caveats)) or None)
        refused.append(why)
    return "; ".join(refused)
