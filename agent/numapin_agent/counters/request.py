"""What the counters' loader child is told: all that it can't find out by itself.

Standard library only: both ends read it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numapin_agent.counters.signals import CgroupVersion


@dataclass(frozen=True, slots=True)
class Request:
    """What the child needs to know.

    Attributes:
        btf: path of the kernel's BTF.
        kprobe_pmu: path of the file with the number of the kprobe PMU.
        machine: as ``uname -m`` says.
        cpu_sockets: per CPU number the index of its socket + 1, 0 where unknown.
        node_sockets: the same per NUMA node.
        always_crosses: whether every page that changes NUMA node changes socket.
        other_nodes: per NUMA node the other one + 1 where there are two in all, else 0.
        nodes: how many NUMA nodes there are.
        cgroup_version: 2, or 1 where pods are in the hierarchies of v1.
        max_cgroups: size of the maps.
        max_pairs: size of the map of pairs of NUMA nodes.
        macros: override those that BTF gives; for tests that need events of another kind.
        store: directory for compiled programs, or None to compile each time.
        no_dram: why DRAM fills are not to be counted; None when they are.
    """

    btf: str
    kprobe_pmu: str
    machine: str
    cpu_sockets: tuple[int, ...]
    node_sockets: tuple[int, ...]
    always_crosses: bool
    other_nodes: tuple[int, ...]
    nodes: int
    cgroup_version: CgroupVersion
    max_cgroups: int
    max_pairs: int
    macros: Mapping[str, int]
    store: str | None = None
    no_dram: str | None = None

    def encode(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def decode(cls, message: Mapping[str, Any]) -> "Request":
        """From JSON values."""
        return cls(
            **{
                **message,
                "cpu_sockets": tuple(message["cpu_sockets"]),
                "node_sockets": tuple(message["node_sockets"]),
                "other_nodes": tuple(message["other_nodes"]),
            }
        )
