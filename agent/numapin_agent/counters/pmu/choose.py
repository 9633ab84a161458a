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
UNTOLD: Final = (
    "pods are on cgroup v1 without the controller perf_event: switches between them are not told"
)


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
    if not _switches_told(paths):
        return UNTOLD if asked else f"{NOT_ASKED}, and {UNTOLD}"
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


def _switches_told(paths: HostPaths) -> bool:
    """Whether the event cgroup-switches goes by the cgroups that pods are in.

    It goes by the controller perf_event's (include/linux/perf_event.h ``perf_cgroup_from_task``),
    whose hierarchy is that of v2 unless it is mounted by itself.
    """
    top = paths.cgroup
    return (top / "cgroup.controllers").is_file() or (top / "perf_event").is_dir()
