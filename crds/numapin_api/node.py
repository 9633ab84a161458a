"""NumaNode: what a node is made of and what its agent can do. All of it by the agent."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from numapin_api.base import ATOMIC_MAP, Conditions, Resource, Wire, cel, validations
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode as NumaNodeValue
from numapin_api.topology import Socket, Topology

CpuList = Annotated[
    str, Field(pattern=r"^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$", max_length=4096)
]
"""A Linux cpulist such as 0-3,8; may be empty."""
NonEmptyCpuList = Annotated[
    str, Field(pattern=r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$", min_length=1, max_length=4096)
]
"""A Linux cpulist with at least one CPU or NUMA node."""

Level = Literal["fentry", "kprobe", "rawTracepoint", "perfEvent", "cgroup", "none"]
"""How a signal is had, best first; ``none`` comes with a reason."""

SIGNALS = (
    "numaMigrations",
    "hintFaults",
    "taskMigrations",
    "pinMoves",
    "syscallMoves",
    "scannerSkips",
    "remoteDram",
)
"""The signals that an agent reports, each with its level."""
CORROBORATING = frozenset({"syscallMoves", "scannerSkips", "remoteDram"})
"""Signals that no verdict needs: where they can't be had, nothing is wrong with the node."""


class SocketStatus(Wire):
    """A physical package."""

    id: int
    cpus: CpuList
    """Its online CPUs."""
    nodes: list[int]
    """NUMA nodes with at least one online CPU of this package."""


HugepageSize = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}[KMG]i$")]
"""A size of huge pages as Kubernetes writes it in resource names: 2Mi, 1Gi."""


class Hugepages(Wire):
    """Huge pages of one size on one NUMA node."""

    size: HugepageSize
    pages: Annotated[int, Field(ge=0)]


class NumaNodeEntry(Wire):
    """A NUMA node."""

    id: int
    cpus: CpuList
    memory_bytes: Annotated[int, Field(ge=0)]
    socket: int | None = None
    """The socket that holds all its online CPUs; absent if there is none."""
    hugepages: Annotated[list[Hugepages] | None, Field(max_length=16)] = None
    """Huge pages that are set up there, free or not; absent if there are none."""


class TopologyStatus(Wire):
    """Sockets, NUMA nodes and the distances between NUMA nodes."""

    model_config = ConfigDict(
        json_schema_extra={
            **ATOMIC_MAP,
            **validations(
                cel(
                    "size(self.distances) == 0 || size(self.distances) == size(self.nodes) && "
                    "self.distances.all(row, size(row) == size(self.nodes))",
                    "must be square with a row for each of nodes, or empty",
                    field_path=".distances",
                )
            ),
        }
    )

    sockets: Annotated[list[SocketStatus], Field(max_length=1024)]
    nodes: Annotated[list[NumaNodeEntry], Field(max_length=1024)]
    distances: Annotated[list[list[int]], Field(max_length=1024)]
    """Row and column in the order of nodes; 10 is local."""

    @classmethod
    def of(
        cls, topology: Topology, *, hugepages: Mapping[int, Mapping[str, int]] | None = None
    ) -> "TopologyStatus":
        """The wire form of a topology.

        Args:
            topology: sockets, NUMA nodes, distances.
            hugepages: NUMA node → size → pages that are set up there.
        """
        pages = hugepages or {}
        return cls(
            sockets=[
                SocketStatus(id=s.id, cpus=str(s.cpus), nodes=list(s.nodes))
                for s in topology.sockets
            ],
            nodes=[
                NumaNodeEntry(
                    id=n.id,
                    cpus=str(n.cpus),
                    memory_bytes=n.memory_bytes,
                    socket=n.socket,
                    hugepages=hugepages_of(pages.get(n.id, {})) or None,
                )
                for n in topology.nodes
            ],
            distances=[list(row) for row in topology.distances],
        )

    def value(self) -> Topology:
        """The domain form of a topology.

        Raises:
            CpuListError: a cpulist is malformed.
        """
        return Topology(
            sockets=tuple(
                Socket(id=s.id, cpus=CpuSet.parse(s.cpus), nodes=NodeSet(s.nodes))
                for s in self.sockets
            ),
            nodes=tuple(
                NumaNodeValue(
                    id=n.id, cpus=CpuSet.parse(n.cpus), memory_bytes=n.memory_bytes, socket=n.socket
                )
                for n in self.nodes
            ),
            distances=tuple(tuple(row) for row in self.distances),
        )


def hugepages_of(pages: Mapping[str, int]) -> list[Hugepages]:
    """The wire form of huge pages.

    Args:
        pages: size → number; sizes of which there are none are left out.
    """
    return [Hugepages(size=size, pages=n) for size, n in sorted(pages.items()) if n]


class NumaNodeUsage(Wire):
    """Memory of a NUMA node that can still be had."""

    id: int
    memory_available_bytes: Annotated[int, Field(ge=0)]
    hugepages_free: Annotated[list[Hugepages] | None, Field(max_length=16)] = None
    """Huge pages that nobody has taken; absent if there are none."""


class SocketUsage(Wire):
    """CPU time that is used on a socket, by everything that runs there."""

    id: int
    cpu_millicores: Annotated[int, Field(ge=0)]
    """The mean of the last minutes, in thousandths of a CPU."""


class Usage(Wire):
    """Coarse use of the node; rewritten only when memory moved by 5 % or CPU by 10 %."""

    model_config = ConfigDict(json_schema_extra=ATOMIC_MAP)

    sockets: Annotated[list[SocketUsage] | None, Field(max_length=1024)] = None
    """Absent until it was watched for a minute."""
    nodes: list[NumaNodeUsage] = []


class Signal(Wire):
    """A kernel signal and how it is had."""

    name: str
    level: Level
    reason: str | None = None
    """Why the level is ``none``, or lower than the best."""


class Capabilities(Wire):
    """What was really probed on this node."""

    model_config = ConfigDict(json_schema_extra=ATOMIC_MAP)

    kernel: str
    cgroup_version: Literal[1, 2]
    cgroup_driver: Literal["systemd", "cgroupfs", "unknown"]
    numa_balancing: bool
    """Whether the kernel's NUMA balancing is on (kernel.numa_balancing)."""
    signals: list[Signal] = []
    devices_unknown: Annotated[str | None, Field(max_length=1024)] = None
    """Why the kubelet could not be asked which pods hold devices; absent if it could.

    Meanwhile devices are as they were up to ten minutes ago, then absent."""


class PodDevices(Wire):
    """A pod that holds devices, and where they are."""

    namespace: Annotated[str, Field(max_length=253)]
    name: Annotated[str, Field(max_length=253)]
    pod_uid: Annotated[str | None, Field(alias="podUID", max_length=64)] = None
    """UID of the pod that had the name when the kubelet was asked; its successor of the same name
    may hold others."""
    numa_nodes: Annotated[list[int], Field(max_length=1024)] = []
    """NUMA nodes that the devices' plugins named; empty if none of them said so."""


class Neighbour(Wire):
    """Another tool on the node that decides about CPUs of pods."""

    name: Annotated[str, Field(max_length=253)]
    stand_down: bool
    """Whether it writes the cpusets of all pods, so that nothing should be pinned here."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What it was known by."""


class Summary(Wire):
    """For the printer columns."""

    model_config = ConfigDict(json_schema_extra=ATOMIC_MAP)

    sockets: int
    numa_nodes: int
    cpus: CpuList


class NumaNodeStatus(Wire):
    """All by the agent, by server-side apply."""

    topology: TopologyStatus | None = None
    summary: Summary | None = None
    usage: Usage | None = None
    reserved_cpus: CpuList = ""
    """CPUs that the kubelet keeps for the system; never given to pods."""
    exclusive_cpus: CpuList = ""
    """CPUs that the kubelet's CPU manager gave to single containers; of no use to other pods."""
    devices: Annotated[list[PodDevices] | None, Field(max_length=4096)] = None
    """The pods that hold devices; absent if the agent can't know."""
    neighbours: Annotated[list[Neighbour], Field(max_length=32)] = []
    """Other tools that pin."""
    capabilities: Capabilities | None = None
    agent_version: str | None = None
    conditions: Conditions = []


class NumaNode(Resource):
    """What a node is made of and what its agent can do."""

    KIND: ClassVar[str] = "NumaNode"
    PLURAL: ClassVar[str] = "numanodes"
    api_version: Literal["numapin.io/v1alpha1"] = "numapin.io/v1alpha1"
    kind: Literal["NumaNode"] = "NumaNode"
    status: NumaNodeStatus | None = None
