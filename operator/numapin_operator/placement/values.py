"""The planner's nouns: a node, the pins on it, a pod to be placed, and what comes of it.

Frozen values without behaviour; what is left of a node is counted in ``room``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import Topology
from numapin_operator.requests import NOTHING, Requests

NO_CPUS: Final = CpuSet()
NOWHERE: Final = NodeSet()
PageCounts = Mapping[int, Mapping[int, int]]
"""Huge pages by NUMA node, then by bytes of one page."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Kubernetes node as the planner sees it.

    Attributes:
        name: its name.
        topology: sockets and NUMA nodes.
        reserved: CPUs that pods never get.
        available: bytes that can still be had per NUMA node, where reported.
        exclusive: CPUs that the kubelet's CPU manager has given to single containers.
        hugepages: pages that are set up.
        hugepages_free: of those, pages that nobody holds, where reported.
        busy: millicores in use on each socket by everything, where reported.
        devices: NUMA nodes of each pod's devices, by namespace, name and UID (empty where an
            agent of before does not say); None while unknown.
        taken_by: other tools that pin here and to which numapin leaves the node, in words.
        static_cpu_manager: the kubelet gives whole CPUs of Guaranteed pods to them alone, also
            when it has not given any yet.
    """

    name: str
    topology: Topology
    reserved: CpuSet = NO_CPUS
    available: Mapping[int, int] = field(default_factory=dict)
    exclusive: CpuSet = NO_CPUS
    hugepages: PageCounts = field(default_factory=dict)
    hugepages_free: PageCounts = field(default_factory=dict)
    busy: Mapping[int, int] = field(default_factory=dict)
    devices: Mapping[tuple[str, str, str], NodeSet] | None = None
    taken_by: tuple[str, ...] = ()
    static_cpu_manager: bool = False


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a pin is.

    Attributes:
        socket: id of the socket; of several, the first.
        numa_node: id of the NUMA node; None for the whole socket.
        memory: whether memory is bound there, not only CPUs.
        also: further sockets of a pod that one doesn't hold.
        lenient: its memory is let go of in time (Preferred), so it keeps no other pod from its own.
    """

    socket: int
    numa_node: int | None = None
    memory: bool = True
    also: tuple[int, ...] = ()
    lenient: bool = False

    @property
    def sockets(self) -> tuple[int, ...]:
        """All its sockets."""
        return (self.socket, *self.also)


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pin of another pod on the same node, and what that pod asks for.

    Attributes:
        spot: where it is.
        requests: of its pod.
        workload: what its pod is a replica of; empty for none.
        namespace: of its pod.
        labels: of its pod.
    """

    spot: Spot
    requests: Requests
    workload: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The pod to be placed.

    Attributes:
        requests: as the scheduler counts.
        resident: bytes that it holds per NUMA node now, where known.
        current: where it is pinned already.
        cpu_limit_millis: most CPU it may use; None without limit.
        workload: what it is a replica of; empty for none.
        namespace: its namespace.
        labels: its labels.
        devices: NUMA nodes of its devices; empty without, or without hint.
    """

    requests: Requests = NOTHING
    resident: Mapping[int, int] = field(default_factory=dict)
    current: Spot | None = None
    cpu_limit_millis: int | None = None
    workload: str = ""
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    devices: NodeSet = NOWHERE

    @property
    def memory_need(self) -> int:
        """Bytes that must fit: what it asks for, or what it already uses if that is more."""
        return max(self.requests.memory_bytes, sum(self.resident.values()))

    def at(self, mems: NodeSet) -> int:
        """Bytes that it holds on those NUMA nodes."""
        return sum(self.resident.get(n, 0) for n in mems)


@dataclass(frozen=True, slots=True)
class Placement:
    """The pod goes here.

    Attributes:
        socket: id of the socket; of several, the first.
        numa_node: the NUMA node, where the policy asks for one and one holds it.
        cpus: all CPUs it may use.
        mems: NUMA nodes of its memory; None when only CPUs are pinned.
        message: where and why, for people.
        also: further sockets (onUnplaceable Split).
        lenient: memory is let go of in time.
        crowded: in the place that the pod had, all together ask for more than there is.
    """

    socket: int
    numa_node: int | None
    cpus: CpuSet
    mems: NodeSet | None
    message: str
    also: tuple[int, ...] = ()
    lenient: bool = False
    crowded: bool = False

    @property
    def spot(self) -> Spot:
        """The room that it takes."""
        bound = self.mems is not None
        return Spot(self.socket, self.numa_node, memory=bound, also=self.also, lenient=self.lenient)


@dataclass(frozen=True, slots=True)
class Unplaceable:
    """No place: ``reason`` is a condition reason, ``message`` has the numbers."""

    reason: str
    message: str
