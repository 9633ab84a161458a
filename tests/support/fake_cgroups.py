"""A cgroup v2 tree of plain files that behaves like the kernel's cpuset controller.

Writes through ``FakeKernel.settle`` get the effective sets that Linux would compute: own
AND parent's, and the parent's when nothing is left. It knows nothing of numapin's own code.
"""

import fcntl
from dataclasses import dataclass
from pathlib import Path

from numapin_api.cpulist import CpuSet, NodeSet

UID = "0c2b8caf-6b5e-4a55-9d3f-0a1b2c3d4e5f"


def container(letter: str) -> str:
    """A container id of 64 hex digits."""
    return letter * 64


@dataclass(frozen=True)
class FakePaths:
    """A host root below a temporary directory."""

    root: Path

    @property
    def cgroup(self) -> Path:
        return self.root / "sys/fs/cgroup"

    @property
    def proc(self) -> Path:
        return self.root / "proc"


@dataclass(frozen=True)
class FakeKernel:
    """The tree and the controller's arithmetic."""

    paths: FakePaths
    cpus: str = "0-3"
    mems: str = "0-1"

    @classmethod
    def make(cls, root: Path, kubepods: str = "kubepods.slice", **sets: str) -> "FakeKernel":
        kernel = cls(FakePaths(root), **sets)
        kernel.paths.proc.mkdir(parents=True)
        kernel.mkdir("")
        (kernel.paths.cgroup / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        path = Path()
        for part in Path(kubepods).parts:
            path /= part
            kernel.mkdir(str(path))
        return kernel

    def mkdir(self, relative: str, *, own: tuple[str, str] = ("", "")) -> Path:
        path = self.paths.cgroup / relative
        path.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("cpuset.cpus", own[0]),
            ("cpuset.mems", own[1]),
            ("cgroup.procs", ""),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
            ("memory.numa_stat", "anon N0=0 N1=0\nfile N0=0 N1=0\n"),
            ("cpu.stat", "usage_usec 0\n"),
        ):
            (path / name).write_text(text)
        self.settle(path)
        return path

    def settle(self, below: Path | None = None) -> None:
        """Work out effective sets, of all cgroups or of one and those below."""
        # A parent that is no cgroup of ours leaves the whole machine.
        # One at a time, also over processes: the last to settle has seen all that was written.
        with (self.paths.root / "settling").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            top = self.paths.cgroup if below is None else below
            cpus, mems = self.cpus, self.mems
            if (top.parent / "cpuset.cpus.effective").exists():
                cpus, mems = (
                    (top.parent / f"cpuset.{name}.effective").read_text()
                    for name in ("cpus", "mems")
                )
            self._settle(top, CpuSet.parse(cpus), NodeSet.parse(mems))

    def _settle(self, path: Path, cpus: CpuSet, mems: NodeSet) -> None:
        own_cpus = CpuSet.parse((path / "cpuset.cpus").read_text())
        own_mems = NodeSet.parse((path / "cpuset.mems").read_text())
        cpus = CpuSet(own_cpus & cpus) or cpus
        mems = NodeSet(own_mems & mems) or mems
        self._put(path / "cpuset.cpus.effective", f"{cpus}\n")
        self._put(path / "cpuset.mems.effective", f"{mems}\n")
        for child in path.iterdir():
            if child.is_dir() and (child / "cpuset.cpus").exists():
                self._settle(child, cpus, mems)

    def _put(self, path: Path, text: str) -> None:
        # In one go, as the kernel does: whoever reads meanwhile sees the old or the new.
        whole = self.paths.root / "settled"
        whole.write_text(text)
        whole.replace(path)

    def memory(self, path: Path, **nodes: int) -> None:
        fields = " ".join(f"{node}={size}" for node, size in nodes.items())
        (path / "memory.numa_stat").write_text(f"anon {fields}\nfile N0=0 N1=0\n")
