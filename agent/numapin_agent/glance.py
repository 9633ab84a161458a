"""What is worth knowing of a pod that nobody has pinned: would a pin help, could it harm.

Only pods that NUMA balancing has touched since the agent counts are looked at, and each every
five minutes: thread counts and cpusets take a read for each process and container, which for all
pods of a node would cost more than all else that the agent does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client.core import Metric

from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.exposition import Rows
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CgroupError
from numapin_api.topology import Topology

GLANCE_SECONDS: Final = 300.0
POD: Final = ("namespace", "pod")


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen of a pod.

    Attributes:
        threads: of the process with the most memory.
        confined: sockets that the pod, or a container of it, is kept on by its cpuset.
    """

    threads: int
    confined: tuple[int, ...] = ()


def confined(topology: Topology, effective: Iterable[CpuSet]) -> tuple[int, ...]:
    """Sockets that hold all CPUs of at least one of these cpusets, ascending.

    Args:
        topology: of the machine; of one with a single socket nothing is said.
        effective: CPUs that a pod and each of its containers may use.
    """
    if len(topology.sockets) < 2:
        return ()
    found = set()
    for cpus in effective:
        on = [s.id for s in topology.sockets if s.cpus & cpus]
        if len(on) == 1:
            found.add(on[0])
    return tuple(sorted(found))


def touched(totals: CgroupCounters) -> bool:
    """Whether NUMA balancing has ever done anything with the pod's memory."""
    return bool(
        totals.migrated_pages or totals.hint_fault_pages_local or totals.hint_fault_pages_remote
    )


class Glances:
    """Looks, and remembers what it saw for a while.

    Args:
        topology: the machine's, as of the last look; None while unknown.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, topology: Callable[[], Topology | None], clock: Callable[[], float]
    ) -> None:
        self._topology = topology
        self._clock = clock
        self._seen: dict[str, tuple[float, Glance | None]] = {}

    def of(self, pod: PodCgroup) -> Glance | None:
        """What was seen of a pod at most five minutes ago; None when it is gone or hides.

        Args:
            pod: its cgroup.
        """
        now = self._clock()
        held = self._seen.get(pod.uid)
        if held is not None and now - held[0] < GLANCE_SECONDS:
            return held[1]
        self._seen = {u: s for u, s in self._seen.items() if now - s[0] < GLANCE_SECONDS}
        seen = self._look(pod)
        self._seen[pod.uid] = now, seen
        return seen

    def _look(self, pod: PodCgroup) -> Glance | None:
        threads = pod.threads()
        topology = self._topology()
        if not threads:
            return None
        if topology is None:
            return Glance(threads)
        try:
            cpus = [pod.effective().cpus]
            cpus += [pod.effective_of(c.path).cpus for c in pod.containers()]
        except CgroupError:
            return Glance(threads)  # a container has just ended
        return Glance(threads, confined(topology, cpus))


class Pod(Protocol):
    """What is said here of one pod; ``metrics.PodFigures`` is one such."""

    @property
    def namespace(self) -> str:
        """The pod's namespace."""

    @property
    def name(self) -> str:
        """The pod's name."""

    @property
    def glance(self) -> Glance | None:
        """What was seen of it; None where nobody looked."""

    @property
    def cpu_nanoseconds(self) -> int | None:
        """CPU time; None where nobody looked."""


def glance_families(pods: Iterable[Pod]) -> Iterator[Metric]:
    """Metrics of pods that have a pin, or that NUMA balancing has touched."""
    cpu = Rows(
        "numapin_pod_cpu_seconds",
        "CPU time of the pod, in seconds. Only pods that have a NumaPin, or that NUMA balancing "
        "has touched.",
        "counter",
        labels=POD,
    )
    threads = Rows(
        "numapin_pod_threads",
        "Threads of the pod's process with the most memory, looked at every five minutes. With one "
        "thread, hint faults do not tell local from remote. Only pods that have a NumaPin, or that "
        "NUMA balancing has touched.",
        "gauge",
        labels=POD,
    )
    kept = Rows(
        "numapin_pod_confined",
        "1 for a socket that the pod, or a container of it, is kept on by a cpuset that is not "
        "numapin's (CPU manager, NRI plugin), looked at every five minutes. Only pods without a "
        "NumaPin that NUMA balancing has touched.",
        "gauge",
        labels=(*POD, "socket"),
    )
    for pod in pods:
        key = (pod.namespace, pod.name)
        if pod.cpu_nanoseconds is not None:
            cpu.add(*key, pod.cpu_nanoseconds * 1e-9)
        if pod.glance is not None:
            threads.add(*key, pod.glance.threads)
            for socket in pod.glance.confined:
                kept.add(*key, socket, 1)
    yield from (cpu, threads, kept)
