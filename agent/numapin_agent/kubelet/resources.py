"""From the kubelet's answers to what the NumaNode says of devices and CPUs.

Pure. Messages are those of k8s.io/kubelet/pkg/apis/podresources/v1/api.proto; fields that are of
no use here (device ids, memory blocks) are skipped without becoming objects.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from numapin_agent.kubelet.protobuf import MalformedError, fields, int64s, message, text
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CpuListError, KubeletError
from numapin_api.node import PodDevices

PodName = tuple[str, str]
"""Namespace and name."""

_NO_CPUS = CpuSet()
MAX_NODE = 1 << 16
"""NUMA nodes that a plugin may name; the kernel's MAX_NUMNODES is 1024 at most."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A pod that holds devices.

    Attributes:
        namespace: its namespace.
        name: its name.
        numa_nodes: ascending; empty when no plugin said where its devices are.
        uid: of the pod; None when it is not known which of that name was meant.
    """

    namespace: str
    name: str
    numa_nodes: tuple[int, ...]
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What the kubelet said, or why it did not.

    Attributes:
        holders: pods that hold devices, by name; None when that is not known.
        exclusive: CPUs that were given to single containers or pods.
        allocatable: CPUs that may be given so; empty unless the CPU manager is static.
        problem: why nothing is known; None when all is.
    """

    holders: tuple[Holder, ...] | None = None
    exclusive: CpuSet = _NO_CPUS
    allocatable: CpuSet = _NO_CPUS
    problem: str | None = None

    def reserved(self, online: CpuSet) -> CpuSet:
        """CPUs that the kubelet keeps from being given out exclusively.

        Args:
            online: of the node. Where the CPU manager is not static the kubelet names no CPU
                as allocatable, which says nothing of reserved ones.
        """
        return CpuSet(online - self.allocatable) if self.allocatable else _NO_CPUS

    def wire(self) -> list[PodDevices] | None:
        """The pods that hold devices, for the NumaNode."""
        if self.holders is None:
            return None
        return [
            PodDevices(
                namespace=h.namespace, name=h.name, pod_uid=h.uid, numa_nodes=list(h.numa_nodes)
            )
            for h in self.holders
        ]

    def of(self, uids: Mapping[PodName, str]) -> "Resources":
        """The same with the UIDs of pods, which the kubelet does not say.

        Args:
            uids: of the pods that were there before the kubelet was asked and still are.
        """
        if self.holders is None:
            return self
        named = (replace(h, uid=uids.get((h.namespace, h.name))) for h in self.holders)
        return replace(self, holders=tuple(h for h in named if h.uid is not None))


UNASKED = Resources(problem="the kubelet has not been asked yet")


def resources(listed: bytes, allocatable: bytes) -> Resources:
    """What two answers say.

    Args:
        listed: ListPodResourcesResponse.
        allocatable: AllocatableResourcesResponse.

    Raises:
        KubeletError: one of them is not what it should be.
    """
    try:
        holders: dict[tuple[str, str], set[int]] = {}
        exclusive: set[int] = set()
        for number, value in fields(memoryview(listed)):
            if number == 1:
                _pod(message(value), holders, exclusive)
        return Resources(
            holders=tuple(
                Holder(namespace, name, tuple(sorted(nodes)))
                for (namespace, name), nodes in sorted(holders.items())
            ),
            exclusive=CpuSet(exclusive),
            allocatable=CpuSet(
                cpu
                for number, value in fields(memoryview(allocatable))
                if number == 2
                for cpu in int64s(value)
            ),
        )
    except (MalformedError, CpuListError) as e:
        raise KubeletError(f"the kubelet's answer makes no sense: {e}") from e


def _pod(data: memoryview, holders: dict[tuple[str, str], set[int]], exclusive: set[int]) -> None:
    """PodResources: 1 name, 2 namespace, 3 containers, 4 cpu_ids (from 1.36)."""
    name = namespace = ""
    nodes: set[int] = set()
    holds = False
    for number, value in fields(data):
        match number:
            case 1:
                name = text(value)
            case 2:
                namespace = text(value)
            case 3:
                for found in _container(message(value), exclusive):
                    holds = True
                    nodes.update(found)
            case 4:
                exclusive.update(int64s(value))
            case _:
                pass
    if holds:
        holders.setdefault((namespace, name), set()).update(nodes)


def _container(data: memoryview, exclusive: set[int]) -> Iterator[tuple[int, ...]]:
    """ContainerResources: 2 devices, 3 cpu_ids, 5 dynamic_resources; NUMA nodes of each device.

    A device by a ResourceClaim (DRA) has no NUMA hint in this API.
    """
    for number, value in fields(data):
        match number:
            case 2:
                yield tuple(_numa_nodes(message(value)))
            case 3:
                exclusive.update(int64s(value))
            case 5:
                if any(n == 4 for n, _ in fields(message(value))):
                    yield ()
            case _:
                pass


def _numa_nodes(data: memoryview) -> Iterator[int]:
    """ContainerDevices: 3 topology; TopologyInfo: 1 nodes; NUMANode: 1 ID, absent when 0."""
    for number, value in fields(data):
        if number != 3:
            continue
        for inner, node in fields(message(value)):
            if inner != 1:
                continue
            found = 0
            for field, number_of_node in fields(message(node)):
                if field == 1:
                    (found,) = int64s(number_of_node)
            if not 0 <= found < MAX_NODE:
                raise MalformedError(f"NUMA node {found}; allowed are 0 to {MAX_NODE - 1}")
            yield found
