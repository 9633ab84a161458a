"""Discovery of the node's cgroup version, kubepods root and driver; looking pods up.

Nothing is configured: the kubelet's root is searched for, so that kind, k0s, ``--cgroup-root``
and both drivers work alike. Only cgroup v2 is supported; on v1 and hybrid hosts pods can be
counted, but every lookup raises UnsupportedError and nothing is touched.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from numapin_agent.cgroup import files
from numapin_agent.cgroup.legacy import LegacyPod
from numapin_agent.cgroup.names import QOS_CLASSES, Driver, Naming, Qos, is_kubepods, valid_uid
from numapin_agent.cgroup.pod import PodCgroup
from numapin_api.errors import CgroupError, UnsupportedError

SEARCH_DEPTH = 6
"""Deep enough for /system.slice/docker-<id>.scope/kubelet.slice/kubelet-kubepods.slice."""


class Paths(Protocol):
    """The two host paths that are needed; HostPaths is one such."""

    @property
    def cgroup(self) -> Path:
        """The host's /sys/fs/cgroup."""

    @property
    def proc(self) -> Path:
        """The host's /proc."""


@dataclass(frozen=True, slots=True)
class CgroupHost:
    """The cgroup side of a node.

    Attributes:
        version: 2 for the unified hierarchy; 1 for v1 and for hybrid.
        driver: the kubelet's cgroup driver, by the naming of its directories.
        root: the kubepods directory; None when unsupported or not there.
        problem: why pods can't be looked up, for people; None when they can.
        proc: the host's /proc.
        hugetlb: tells which sizes of huge pages the node has now.
        memory: hierarchy of the v1 memory controller, where pods can be counted though not
            pinned; None on v2.
    """

    version: Literal[1, 2]
    driver: Driver
    root: Path | None
    problem: str | None
    proc: Path
    hugetlb: Callable[[], tuple[str, ...]] = field(default=tuple, compare=False)
    memory: Path | None = None

    @classmethod
    def discover(cls, paths: Paths) -> "CgroupHost":
        """Look at the host's cgroup mount.

        Args:
            paths: where the host's cgroup and proc file systems are.

        Returns:
            Always a value; ``problem`` says what is wrong, if anything.
        """
        top = paths.cgroup
        if not (top / "cgroup.controllers").is_file():
            if (top / "unified" / "cgroup.controllers").is_file():
                why = f"{top} is a hybrid of cgroup v1 and v2; only v2 is supported"
            elif (top / "cpuset").is_dir() or (top / "memory").is_dir():
                why = f"{top} is cgroup v1; only v2 is supported"
            else:
                why = f"{top} holds no cgroup file system"
            memory = top / "memory" if (top / "memory").is_dir() else None
            return cls(1, "unknown", root=None, problem=why, proc=paths.proc, memory=memory)
        roots = sorted(_roots(top, SEARCH_DEPTH), key=_preference)
        if not roots:
            why = f"no kubepods cgroup below {top}: does a kubelet run here?"
            return cls(version=2, driver="unknown", root=None, problem=why, proc=paths.proc)
        root = roots[0]
        if len(roots) > 1 and _preference(root)[:2] == _preference(roots[1])[:2]:
            names = " and ".join(str(r.relative_to(top)) for r in roots)
            why = f"several kubepods cgroups, can't tell whose: {names}"
            return cls(version=2, driver="unknown", root=None, problem=why, proc=paths.proc)
        driver = Naming.of(root.name).driver
        return cls(version=2, driver=driver, root=root, problem=None, proc=paths.proc)

    def required_root(self) -> Path:
        """The kubepods root.

        Raises:
            UnsupportedError: this host's cgroups can't be used; the message says why.
        """
        if self.root is None:
            raise UnsupportedError(self.problem or "no kubepods cgroup")
        return self.root

    def find_pod(self, uid: str) -> PodCgroup | None:
        """Look a pod up by its UID: at most three stats, no scan.

        Returns:
            None when it has no cgroup (yet).

        Raises:
            UnsupportedError: see ``required_root``.
            CgroupError: the UID is not one.
        """
        root = self.required_root()
        if not valid_uid(uid):
            raise CgroupError(f"pod UID {uid!r} may only hold letters, digits and -")
        naming = Naming.of(root.name)
        for qos in QOS_CLASSES:
            # As text: a Path costs more than the question, which a tick asks for each pod.
            path = f"{root}/{naming.qos_dir(qos)}/{naming.pod_dir(uid, qos)}"
            if _is_directory(path):
                return self._pod(uid, qos, Path(path), root)
        return None

    def pods(self) -> Iterator[PodCgroup]:
        """All pods that have a cgroup now.

        Raises:
            UnsupportedError: see ``required_root``.
        """
        root = self.required_root()
        for uid, qos, path in _pods_below(root):
            yield self._pod(uid, qos, path, root)

    def counted(self) -> Iterator[PodCgroup | LegacyPod]:
        """All pods that counters can be told apart for: on v1 and hybrid hosts as well.

        Raises:
            UnsupportedError: see ``required_root``.
        """
        if self.memory is None:
            yield from self.pods()
            return
        roots = sorted(_roots(self.memory, SEARCH_DEPTH), key=lambda root: len(root.parts))
        page_size = os.sysconf("SC_PAGE_SIZE")
        for uid, _, path in _pods_below(roots[0]) if roots else ():
            yield LegacyPod(uid=uid, path=path, memory=self.memory, page_size=page_size)

    def qos_dirs(self) -> tuple[tuple[Qos, Path], ...]:
        """The directories that pods appear in; those of a QoS class may not be there."""
        return _qos_dirs(self.required_root())

    def pod_uid(self, name: str, qos: Qos) -> str | None:
        """The UID in a directory name of a QoS class, or None."""
        return Naming.of(self.required_root().name).pod_uid(name, qos)

    def _pod(self, uid: str, qos: Qos, path: Path, root: Path) -> PodCgroup:
        return PodCgroup(
            uid=uid, qos=qos, path=path, root=root, proc=self.proc, hugetlb=self.hugetlb()
        )


def _qos_dirs(root: Path) -> tuple[tuple[Qos, Path], ...]:
    naming = Naming.of(root.name)
    return tuple((qos, root / naming.qos_dir(qos)) for qos in QOS_CLASSES)


def _pods_below(root: Path) -> Iterator[tuple[str, Qos, Path]]:
    naming = Naming.of(root.name)
    for qos, directory in _qos_dirs(root):
        for path in _subdirectories(directory):
            uid = naming.pod_uid(path.name, qos)
            if uid is not None:
                yield uid, qos, path


def _is_directory(path: str) -> bool:
    """Whether there is a directory of that name, which is no symbolic link."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _subdirectories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return sorted(Path(e.path) for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _roots(top: Path, depth: int) -> Iterator[Path]:
    for path in _subdirectories(top):
        if is_kubepods(path.name):
            yield path
        elif depth > 1:
            yield from _roots(path, depth - 1)


def _preference(root: Path) -> tuple[bool, int, str]:
    # After a change of the driver the old tree stays, empty, until reboot; nested clusters
    # (kind) lie deeper than the node's own.
    unpopulated = "populated 1" not in (files.read(root / "cgroup.events") or "")
    return (unpopulated, len(root.parts), str(root))
