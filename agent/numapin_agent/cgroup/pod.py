"""One pod's cgroup: reading its cpusets, memory, CPU time and processes.

Reading only. Every method tolerates that the pod vanishes meanwhile: then it returns what
an empty cgroup would (or raises CgroupError where an empty answer would be a lie).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from numapin_agent.cgroup import files, hugetlb
from numapin_agent.cgroup.activity import Activity, activity
from numapin_agent.cgroup.names import Qos, container_id
from numapin_agent.cgroup.values import Cpuset, Residency, parse_flat_keyed, parse_numa_stat
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CgroupError

Read = Callable[[str], str | None]
"""Reads a cgroup file; ``files.read`` is one such."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container's cgroup; the sandbox is one too.

    Attributes:
        id: as the container runtime names it.
        path: its directory.
    """

    id: str
    path: Path


def walk(top: str) -> Iterator[tuple[str, int]]:
    """Path and inode of a cgroup and all below; symbolic links not followed."""
    left = [top]
    while left:
        path = left.pop()
        try:
            found = os.stat(path)  # noqa: PTH116 -- a Path costs more than the call
            yield path, found.st_ino
            # Two links and one for each subdirectory (fs/kernfs/inode.c), so a leaf with
            # its sixty files need not be read.
            if found.st_nlink != 2:
                with os.scandir(path) as entries:
                    left += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            continue


@dataclass(frozen=True, slots=True)
class PodCgroup:
    """A pod's cgroup directory on a v2 host.

    Attributes:
        uid: the pod's UID.
        qos: from the directory that it was found in.
        path: its directory.
        root: the kubepods root that it lies below.
        proc: the host's /proc.
        hugetlb: sizes of huge pages that the node has, as ``hugetlb.pools`` names them.
    """

    uid: str
    qos: Qos
    path: Path
    root: Path
    proc: Path
    hugetlb: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The directory's name: with the systemd driver the slice's unit name."""
        return self.path.name

    def exists(self) -> bool:
        """Whether the cgroup is still there."""
        return self.path.is_dir()

    def cgroup_id(self) -> int | None:
        """The kernel's id of the pod's cgroup (its inode number on v2), None when gone."""
        try:
            return self.path.stat().st_ino
        except OSError:
            return None

    def cgroup_ids(self) -> frozenset[int]:
        """Ids of the pod's cgroup and all below: what bpf_get_current_cgroup_id() returns."""
        return frozenset(number for _, number in self.walk())

    def walk(self) -> Iterator[tuple[str, int]]:
        """Path and inode of the pod's directory and all below; symbolic links not followed."""
        return walk(str(self.path))

    def containers(self) -> tuple[Container, ...]:
        """The containers, the sandbox among them, by id."""
        try:
            entries = [e for e in os.scandir(self.path) if e.is_dir(follow_symlinks=False)]
        except OSError:
            return ()
        found = ((container_id(e.name), Path(e.path)) for e in entries)
        return tuple(sorted((Container(i, p) for i, p in found if i is not None), key=_by_id))

    def effective(self, read: Read = files.read) -> Cpuset:
        """The kernel's view of the pod's cpuset.

        Args:
            read: reads a cgroup file, as ``files.read``.

        Raises:
            CgroupError: the cgroup is gone or has no cpuset anywhere above it.
        """
        return self.effective_of(self.path, read)

    def parent_effective(self, read: Read = files.read) -> Cpuset:
        """The most that the pod can be given: its parent's effective cpuset.

        Args:
            read: see ``effective``.

        Raises:
            CgroupError: see ``effective``.
        """
        return self.effective_of(self.path.parent, read)

    def effective_of(self, path: Path, read: Read = files.read) -> Cpuset:
        """The effective cpuset of a cgroup in the kubepods tree.

        A cgroup whose parent has not enabled the cpuset controller has no such file: its
        tasks are under the nearest ancestor that has one.

        Args:
            path: the cgroup's directory.
            read: see ``effective``.

        Raises:
            CgroupError: the cgroup is gone, or no ancestor has the file.
        """
        return Cpuset(
            CpuSet.parse(self._nearest(path, "cpuset.cpus.effective", read)),
            NodeSet.parse(self._nearest(path, "cpuset.mems.effective", read)),
        )

    def own(self, path: Path, read: Read = files.read) -> Cpuset:
        """The configured cpuset of a cgroup; empty sets inherit."""
        return Cpuset(
            CpuSet.parse(read(f"{path}/cpuset.cpus") or ""),
            NodeSet.parse(read(f"{path}/cpuset.mems") or ""),
        )

    def _nearest(self, path: Path, name: str, read: Read) -> str:
        text = read(f"{path}/{name}")
        if text is not None:
            return text
        if not path.is_dir():
            raise CgroupError(f"{path}: the cgroup is gone")
        # Up to the parent of the kubepods root: kubepods itself may lack the controller.
        for directory in path.parents:
            text = read(f"{directory}/{name}")
            if text is not None:
                return text
            if directory == self.root.parent:
                break
        raise CgroupError(f"{path}: neither it nor an ancestor has {name}")

    def memory(self) -> Residency:
        """Where the pod's memory lies; empty when the memory controller says nothing.

        Raises:
            CgroupError: a numa_stat file is malformed.
        """
        memory = parse_numa_stat(files.read(f"{self.path}/memory.numa_stat") or "")
        return hugetlb.with_huge_pages(memory, self.huge_pages())

    def huge_pages(self) -> dict[int, int]:
        """Bytes of hugetlbfs per NUMA node; empty on a node that has none.

        Raises:
            CgroupError: a numa_stat file is malformed.
        """
        texts = (files.read(f"{self.path}/hugetlb.{size}.numa_stat") for size in self.hugetlb)
        return hugetlb.summed(hugetlb.parse_numa_stat(text or "") for text in texts)

    def residency(self) -> dict[int, int]:
        """Resident bytes per NUMA node: anonymous, file, kernel and huge pages, once each."""
        return dict(self.memory().resident)

    def activity(self) -> Activity:
        """Faults, refaults and stalls since the cgroup was made.

        Raises:
            CgroupError: a file of the memory controller is malformed.
        """
        return activity(
            files.read(f"{self.path}/memory.stat") or "",
            _pressure(f"{self.path}/memory.pressure"),
        )

    def numa_pages_migrated(self) -> int | None:
        """Pages that NUMA balancing migrated for this pod; None on kernels without (6.8)."""
        return parse_flat_keyed(files.read(f"{self.path}/memory.stat") or "", "numa_pages_migrated")

    def page_cache_refaults(self) -> int | None:
        """Pages of page cache that were read again shortly after they had been reclaimed.

        workingset_refault_file of memory.stat; None where the kernel does not count them.
        """
        stat = files.read(f"{self.path}/memory.stat") or ""
        return parse_flat_keyed(stat, "workingset_refault_file")

    def cpu_nanoseconds(self) -> int:
        """CPU time used since the cgroup was made; 0 when it is gone."""
        usage = parse_flat_keyed(files.read(f"{self.path}/cpu.stat") or "", "usage_usec")
        return (usage or 0) * 1000

    def processes(self) -> tuple[int, ...]:
        """Process ids in the pod and all cgroups below, ascending, in the agent's PID namespace.

        A process that the agent's PID namespace doesn't hold reads as 0 and is kept, once:
        whoever needs the ids must see that the agent lacks hostPID.
        """
        pids: set[int] = set()
        for path, _ in self.walk():
            pids.update(map(int, (files.read(f"{path}/cgroup.procs") or "").split()))
        return tuple(sorted(pids))

    def threads(self) -> int:
        """Threads of the process with the most resident memory; 0 when there is no process.

        Most of the pod's pages are that process's, and so most of its hint faults. Of all
        processes together it would tell nothing: the sandbox's, idle, may have many threads.
        """
        largest = max(((self._resident(pid), pid) for pid in self.processes() if pid), default=None)
        return 0 if largest is None else self._threads(largest[1])

    def _resident(self, pid: int) -> int:
        """Pages, by /proc/PID/statm; 0 when the process has ended."""
        try:
            return int(Path(f"{self.proc}/{pid}/statm").read_text().split()[1])
        except OSError:
            return 0

    def _threads(self, pid: int) -> int:
        try:
            # procfs: a link for ".", one for "..", one for each task.
            return Path(f"{self.proc}/{pid}/task").stat().st_nlink - 2
        except OSError:
            return 0


def _pressure(path: str) -> str:
    """A pressure file; empty where the kernel was booted with psi=0, which refuses to read it."""
    try:
        return files.read(path) or ""
    except CgroupError:
        return ""


def _by_id(container: Container) -> str:
    return container.id
