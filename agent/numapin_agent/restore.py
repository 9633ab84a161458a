"""Gives cpusets back on a node where no agent is left to do so; no Kubernetes needed.

Which pods are numapin's is on file below /run/numapin. Should that be lost, a pod-level
cpuset is still a sign, because the kubelet sets none, but it may be another tool's: such
pods are named, and touched only when asked for. What it deliberately leaves alone are
containers' own cpusets: numapin never writes those.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from numapin_agent.cgroup.host import CgroupHost
from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.cgroup.systemd import SystemdBus
from numapin_agent.cgroup.values import Cpuset
from numapin_agent.cgroup.write import CpusetWriter, FileCpusets, SystemdCpusets
from numapin_agent.claim import claimed
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pin.checkpoint import Checkpoint
from numapin_api.errors import CgroupError, NumapinError, StateError

Result = Literal["Restored", "WouldRestore", "NotOnFile", "Gone", "Failed"]
"""Restored: the parent's cpuset was read back. NotOnFile: it has a cpuset, but no record
says that numapin set it. Gone: on file, but the pod is not there any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pod that numapin pinned, or that has a cpuset of unknown origin.

    Attributes:
        uid: of the pod.
        namespace: of the pod; empty when no record tells.
        name: of the pod; empty when no record tells.
        pod: its cgroup; None when that is gone.
        on_file: whether there is a record of it.
    """

    uid: str
    namespace: str
    name: str
    pod: PodCgroup | None
    on_file: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one pod.

    Attributes:
        found: the pod.
        result: see ``Result``.
        before: the kernel's view of its cgroup before; None when it is gone.
        after: the same afterwards; equal to ``before`` when nothing was written.
        message: what failed; empty when nothing did.
    """

    found: Found
    result: Result
    before: Cpuset | None = None
    after: Cpuset | None = None
    message: str = ""


class Restorer:
    """Finds pods with a cpuset on this node, and gives it back.

    Args:
        host: the node's cgroups.
        writer: writes cpusets.
        checkpoint: what agents have written down.
    """

    def __init__(self, host: CgroupHost, writer: CpusetWriter, checkpoint: Checkpoint) -> None:
        self._host, self._writer, self._checkpoint = host, writer, checkpoint

    @classmethod
    def on_this_host(cls, paths: HostPaths, state_dir: Path, *, force: bool) -> "Restorer":
        """A restorer for the real host.

        Args:
            paths: the host's paths.
            state_dir: where agents keep their files.
            force: even while an agent runs.

        Raises:
            UnsupportedError: this host's cgroups can't be used.
            StateError: an agent is at work here, and would pin everything again.
        """
        host = CgroupHost.discover(paths)
        host.required_root()
        if not force and claimed(state_dir):
            raise StateError(
                "a numapin agent runs on this node and would pin the pods again: un-pin them by "
                "their label or with helm uninstall, or end the agent first (--force to go on)"
            )
        writer: CpusetWriter = FileCpusets()
        if host.driver == "systemd":
            writer = SystemdCpusets(SystemdBus(paths.dbus_socket), paths.cgroup)
        return cls(host, writer, Checkpoint(state_dir / "pins"))

    def find(self) -> Iterator[Found]:
        """All pods on file, then all others that a cpuset of their own narrows.

        Raises:
            NumapinError: records or cgroups can't be listed.
        """
        known = self._checkpoint.uids()
        for uid in known:
            namespace, name = self._name(uid)
            yield Found(uid, namespace, name, self._host.find_pod(uid), on_file=True)
        for pod in self._host.pods():
            if pod.uid not in known and _is_narrowed(pod):
                yield Found(pod.uid, "", "", pod, on_file=False)

    def restore(self, found: Found, *, dry_run: bool, all_pods: bool) -> Outcome:
        """Give one pod its parent's cpuset back, and compare with what the kernel says then.

        Args:
            found: the pod.
            dry_run: only say what would be done.
            all_pods: also one that is not on file.

        Returns:
            What was done. What the host refuses is in the outcome.

        Raises:
            StateError: the record of a pod that is gone can't be removed.
        """
        pod = found.pod
        if pod is None and not dry_run:
            self._checkpoint.forget(found.uid)
        if pod is None:
            return Outcome(found, "Gone")
        before: Cpuset | None = None
        try:
            before = pod.effective()
            if not (found.on_file or all_pods):
                return Outcome(found, "NotOnFile", before, before)
            if dry_run:
                return Outcome(found, "WouldRestore", before, before)
            after = self._give_back(pod)
        except NumapinError as e:
            if not pod.exists():
                return Outcome(found, "Gone")
            return Outcome(found, "Failed", before, before, str(e))
        return Outcome(found, "Restored", before, after)

    def _give_back(self, pod: PodCgroup) -> Cpuset:
        self._writer.release(pod)
        found, parent = pod.effective(), pod.parent_effective()
        if found != parent:
            raise CgroupError(f"its parent has {parent}, and it still has {found}")
        self._checkpoint.forget(pod.uid)
        return found

    def _name(self, uid: str) -> tuple[str, str]:
        try:
            record = self._checkpoint.load(uid)
        except StateError:
            return "", ""  # the file's name still says that the pod is ours
        return ("", "") if record is None else (record.namespace, record.name)


def _is_narrowed(pod: PodCgroup) -> bool:
    """Whether it has a cpuset of its own that leaves it less than its parent has.

    What was given back may still say the parent's set: a populated cgroup's file can't be
    emptied on kernels up to 6.19.
    """
    try:
        return any(pod.own(pod.path)) and pod.effective() != pod.parent_effective()
    except NumapinError:
        if pod.exists():
            raise
        return False
