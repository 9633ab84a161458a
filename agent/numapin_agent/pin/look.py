"""Gathers what a decision about a pod needs from its cgroup and its node. Reads only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import sysconf
from pathlib import Path

from numapin_agent.cgroup.footprint import Footprint
from numapin_agent.cgroup.pod import Container, PodCgroup, Read
from numapin_agent.pin.values import ContainerCpuset, View
from numapin_api.errors import CgroupError


@dataclass(frozen=True, slots=True)
class Eyes:
    """Where to look.

    Attributes:
        proc: the host's /proc.
        available: free and reclaimable bytes per NUMA node.
        capacity: bytes per NUMA node.
    """

    proc: Path
    available: Callable[[], Mapping[int, int]]
    capacity: Mapping[int, int]

    def view(
        self, pod: PodCgroup, names: Mapping[str, str], *, aged: bool, footprint: Footprint
    ) -> View:
        """The pod and its node now.

        Args:
            pod: whom to look at.
            names: container names by id.
            aged: whether its age matters; finding out takes a read for each process.
            footprint: what is seen of cpusets is remembered there.

        Raises:
            CgroupError: the pod is gone, or a file is malformed.
        """
        pids = pod.processes() if aged else ()
        footprint.count(str(pod.path))
        return View(
            effective=pod.effective(footprint.read),
            parent=pod.parent_effective(footprint.read),
            guaranteed=pod.qos == "Guaranteed",
            containers=_containers(pod, names, footprint.read),
            memory=pod.memory(),
            age_seconds=self._age(pids) if aged else float("inf"),
            processes=len(pids),
            available=self.available(),
            capacity=self.capacity,
        )

    def _age(self, pids: tuple[int, ...]) -> float:
        starts = [start for pid in pids if (start := self._start(pid)) is not None]
        if not starts:
            # Processes that can't be looked at may be of any age.
            return float("inf") if pids else 0.0
        uptime = float((self.proc / "uptime").read_text(encoding="ascii").split()[0])
        return max(0.0, uptime - min(starts))

    def _start(self, pid: int) -> float | None:
        try:
            stat = (self.proc / str(pid) / "stat").read_bytes()
        except OSError:
            return None
        # proc(5): field 22, after a command name that may itself hold spaces and ")".
        return int(stat.rpartition(b")")[2].split()[19]) / sysconf("SC_CLK_TCK")


def _containers(
    pod: PodCgroup, names: Mapping[str, str], read: Read
) -> tuple[ContainerCpuset, ...]:
    """The containers' cpusets; one that ends meanwhile is left out."""
    seen = (_container(pod, c, names.get(c.id, ""), read) for c in pod.containers())
    return tuple(c for c in seen if c is not None)


def _container(
    pod: PodCgroup, container: Container, name: str, read: Read
) -> ContainerCpuset | None:
    try:
        return ContainerCpuset(
            id=container.id,
            name=name,
            own=pod.own(container.path, read),
            effective=pod.effective_of(container.path, read),
        )
    except CgroupError:
        if container.path.is_dir():
            raise
        return None
