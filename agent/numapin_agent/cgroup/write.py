"""Writing a pod's cpuset, by systemd or by file, and giving it back.

Only the pod-level cgroup is ever written; containers inherit. Whether the kernel took it is
the caller's to check: it reads the effective sets anyway. What to write, and when, is decided
in ``numapin_agent.pin``.
"""

import errno
from pathlib import Path
from typing import Protocol

from numapin_agent.cgroup import files
from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.cgroup.systemd import SystemdBus
from numapin_agent.cgroup.values import Cpuset
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CgroupError, SystemdError


class CpusetWriter(Protocol):
    """How pods' cpusets are written on this node."""

    def apply(
        self, pod: PodCgroup, *, cpus: CpuSet | None = None, mems: NodeSet | None = None
    ) -> None:
        """Set either or both in one go.

        Raises:
            CgroupError: the kernel refused, or the pod is gone.
            SystemdError: PID 1 refused, or holds something else afterwards.
        """

    def narrow_mems(self, pod: PodCgroup, mems: NodeSet) -> None:
        """Set cpuset.mems of a pod whose pages have been moved, without tying up PID 1.

        Raises:
            CgroupError: see ``apply``.
            SystemdError: see ``apply``.
        """

    def widen_mems(self, pod: PodCgroup, mems: NodeSet) -> None:
        """Add memory nodes at once, from any thread; systemd is not told and must be later.

        Raises:
            CgroupError: see ``apply``.
        """

    def release(self, pod: PodCgroup) -> None:
        """Give the pod its parent's effective cpuset back and forget ours.

        Raises:
            CgroupError: see ``apply``.
            SystemdError: see ``apply``.
        """


class FileCpusets:
    """Writes cpuset files: the cgroupfs driver."""

    def apply(
        self, pod: PodCgroup, *, cpus: CpuSet | None = None, mems: NodeSet | None = None
    ) -> None:
        """See ``CpusetWriter.apply``; CPUs first, so that new memory is local already."""
        if cpus is not None:
            files.write(pod.root, pod.path / "cpuset.cpus", str(cpus))
        if mems is not None:
            files.write(pod.root, pod.path / "cpuset.mems", str(mems))

    def narrow_mems(self, pod: PodCgroup, mems: NodeSet) -> None:
        """See ``CpusetWriter.narrow_mems``."""
        self.apply(pod, mems=mems)

    def widen_mems(self, pod: PodCgroup, mems: NodeSet) -> None:
        """See ``CpusetWriter.widen_mems``: nodes that are there already keep their pages.

        mm/mempolicy.c ``do_migrate_pages`` leaves out source nodes that are targets as well.
        """
        files.write(pod.root, pod.path / "cpuset.mems", str(mems))

    def release(self, pod: PodCgroup) -> None:
        """See ``CpusetWriter.release``.

        The parent's effective set first: an empty write, which alone would inherit for
        good, is refused with ENOSPC on a populated cgroup up to Linux 6.19
        (kernel/cgroup/cpuset.c ``validate_change``).
        """
        parent = pod.parent_effective()
        self.apply(pod, cpus=parent.cpus, mems=parent.mems)
        for name in ("cpuset.mems", "cpuset.cpus"):
            try:
                files.write(pod.root, pod.path / name, "")
            except CgroupError as e:
                if not (isinstance(e.__cause__, OSError) and e.__cause__.errno == errno.ENOSPC):
                    raise


class SystemdCpusets:
    """Asks systemd to set the pod's slice: the systemd driver.

    systemd owns a slice's attributes and puts back what it holds at every change of the
    unit, so a value that only the file knows would be lost sooner or later.

    Args:
        bus: the connection to PID 1.
        cgroup_mount: the host's /sys/fs/cgroup: what systemd calls ``/``.
    """

    def __init__(self, bus: SystemdBus, cgroup_mount: Path) -> None:
        self._bus = bus
        self._mount = cgroup_mount
        self._files = FileCpusets()

    def apply(
        self, pod: PodCgroup, *, cpus: CpuSet | None = None, mems: NodeSet | None = None
    ) -> None:
        """See ``CpusetWriter.apply``."""
        held = self._bus.set_cpuset(pod.name, self._cgroup(pod), cpus=cpus, mems=mems)
        wanted = Cpuset(held.cpus if cpus is None else cpus, held.mems if mems is None else mems)
        if held != wanted:
            raise SystemdError(f"{pod.name}: systemd holds {held} after being told {wanted}")

    def narrow_mems(self, pod: PodCgroup, mems: NodeSet) -> None:
        """See ``CpusetWriter.narrow_mems``.

        The file first: what is left to move is waited for in this thread. Then systemd is
        told the same value, which the kernel finds already there, so PID 1 waits for nothing.
        """
        self._files.narrow_mems(pod, mems)
        self.apply(pod, mems=mems)

    def widen_mems(self, pod: PodCgroup, mems: NodeSet) -> None:
        """See ``CpusetWriter.widen_mems``: PID 1 may take seconds, and the pod has none."""
        self._files.widen_mems(pod, mems)

    def release(self, pod: PodCgroup) -> None:
        """See ``CpusetWriter.release``.

        Clearing the property makes systemd write an empty set, which kernels up to 6.19
        refuse for a populated cgroup: so the parent's effective set is written before.
        """
        parent = pod.parent_effective()
        self.apply(pod, cpus=parent.cpus, mems=parent.mems)
        self.apply(pod, cpus=CpuSet(), mems=NodeSet())

    def _cgroup(self, pod: PodCgroup) -> str:
        return f"/{pod.path.relative_to(self._mount)}"
