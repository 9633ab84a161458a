"""What the loader child is to be told of this machine, read before it is started.

Thin: reads the list of possible CPUs and asks the pure modules for tables and sizes.
"""

import platform
from collections.abc import Mapping
from pathlib import Path

from numapin_agent.counters import pairs
from numapin_agent.counters.hosts import always_crosses, counted_version
from numapin_agent.counters.layout import max_cgroups, socket_indexes
from numapin_agent.counters.pmu.select import Candidate
from numapin_agent.counters.request import Request
from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import or_own
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CounterError, CpuListError
from numapin_api.topology import Topology


def possible_cpus(paths: HostPaths) -> CpuSet:
    """CPUs that the kernel may ever bring up.

    Raises:
        CounterError: the list can't be read, or names none.
    """
    listed = paths.cpu_dir / "possible"
    try:
        possible = CpuSet.parse(listed.read_text())
    except (OSError, CpuListError) as error:
        raise CounterError(f"{listed}: {error}") from error
    if not possible:
        raise CounterError(f"{listed} names no CPU")
    return possible


def request_of(  # noqa: PLR0913 -- all but three by keyword
    paths: HostPaths,
    topology: Topology,
    possible: CpuSet,
    *,
    store: Path | None,
    macros: Mapping[str, int],
    dram: Candidate | str,
) -> Request:
    """What to load for this machine.

    Args:
        paths: of the host.
        topology: of the machine.
        possible: CPUs the kernel may ever bring up.
        store: directory of kept objects.
        macros: override kernel constants.
        dram: PMU events to count DRAM fills with, or why they are not counted.
    """
    cpu_sockets, node_sockets = socket_indexes(topology, max(possible) + 1)
    whole = {"DRAM_WHOLE": int(dram.pair.whole)} if isinstance(dram, Candidate) else {}
    return Request(
        btf=str(or_own(paths.btf, HostPaths().btf)),
        kprobe_pmu=str(or_own(paths.kprobe_pmu, HostPaths().kprobe_pmu)),
        machine=platform.machine(),
        cpu_sockets=cpu_sockets,
        node_sockets=node_sockets,
        always_crosses=always_crosses(topology),
        other_nodes=pairs.other_nodes(n.id for n in topology.nodes),
        nodes=len(topology.nodes),
        cgroup_version=counted_version(paths),
        max_cgroups=max_cgroups(len(possible)),
        max_pairs=pairs.max_pairs(max_cgroups(len(possible)), len(topology.nodes)),
        macros={**macros, **whole},
        store=str(store) if store is not None else None,
        no_dram=None if isinstance(dram, Candidate) else dram,
    )
