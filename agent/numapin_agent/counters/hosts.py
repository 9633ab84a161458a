"""What counting must know of a host beside its kernel's types: its sockets, its cgroups.

Deliberately nothing of BTF, which the loader reads, or of pods.
"""

from typing import Final

from numapin_agent.counters.signals import CgroupVersion
from numapin_agent.hostpaths import HostPaths
from numapin_api.topology import Topology

_FALLBACK_FIELD: Final = "numa_pages_migrated"


def always_crosses(topology: Topology) -> bool:
    """Whether every page that changes NUMA node changes socket (no SNC, no NPS)."""
    ids = [n.id for n in topology.nodes]
    return all(topology.crosses(a, b) for a in ids for b in ids if a != b)


def counted_version(paths: HostPaths) -> CgroupVersion:
    """In which cgroup hierarchy pods are counted: v2, or the memory controller's of v1.

    A hybrid has a v2 hierarchy too, below ``unified``, but pods are not in it.
    """
    return 2 if (paths.cgroup / "cgroup.controllers").is_file() else 1


def has_fallback(paths: HostPaths) -> bool:
    """Whether memory.stat has the kernel's own counts of NUMA balancing."""
    try:
        text = (paths.cgroup / "memory.stat").read_text()
    except OSError:
        return False
    return any(line.startswith(f"{_FALLBACK_FIELD} ") for line in text.splitlines())
