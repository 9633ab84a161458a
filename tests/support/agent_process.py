"""The real agent as a process of its own, on a made-up node of plain files.

All of the agent is real but the kernel: after each write of a cpuset file the effective
sets are worked out as Linux would. Run as a program this is that agent, with its real
command line; ``AgentProcess`` starts and ends it for tests.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from support import sysfs_tree
from support.fake_cgroups import FakeKernel, FakePaths
from support.wait import until

from numapin_agent.__main__ import run
from numapin_agent.app import Agent
from numapin_agent.cgroup import CgroupHost, PodCgroup
from numapin_agent.cgroup.write import FileCpusets
from numapin_agent.config import AgentConfig
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pin.attempt import Tools
from numapin_agent.pin.checkpoint import Checkpoint
from numapin_agent.pin.look import Eyes
from numapin_agent.pin.mover import PageMover
from numapin_agent.pin.pinner import Pinner
from numapin_agent.pin.syscall import MovePages
from numapin_agent.pin.worker import Moves
from numapin_api.cpulist import CpuSet, NodeSet


@dataclass(frozen=True)
class FakeNode:
    """Two sockets of two CPUs and one NUMA node each; the cgroupfs driver."""

    kernel: FakeKernel

    @classmethod
    def make(cls, root: Path) -> "FakeNode":
        kernel = FakeKernel.make(root, "kubepods")
        sysfs_tree.write(sysfs_tree.machine(sockets=2, cpus=2), root)
        (root / "sys/devices/system/cpu/possible").write_text("0-3\n")
        kernel_dir = root / "proc/sys/kernel"
        kernel_dir.mkdir(parents=True)
        (kernel_dir / "osrelease").write_text("6.12.0-fake\n")
        (kernel_dir / "numa_balancing").write_text("1\n")
        (root / "proc/vmstat").write_text("nr_free_pages 5\nnuma_pages_migrated 42\n")
        for qos in ("burstable", "besteffort"):
            kernel.mkdir(f"kubepods/{qos}")
        return cls(kernel)

    @property
    def root(self) -> Path:
        return self.kernel.paths.root

    def pod(self, uid: str, *containers: str) -> Path:
        """Make a pod's cgroup, with containers in it."""
        path = f"kubepods/burstable/pod{uid}"
        found = self.kernel.mkdir(path)
        for container in containers:
            self.kernel.mkdir(f"{path}/{container}")
        return found

    def remove(self, uid: str) -> None:
        """The pod's cgroup goes."""
        shutil.rmtree(self.kernel.paths.cgroup / f"kubepods/burstable/pod{uid}")

    def free(self, node: int, kib: int) -> None:
        """So much memory of a NUMA node is free from now on, and nothing can be reclaimed."""
        file = self.root / f"sys/devices/system/node/node{node}/meminfo"
        (total,) = (x for x in file.read_text().splitlines() if "MemTotal" in x)
        file.write_text(f"{total}\nNode {node} MemFree: {kib:>15} kB\n")

    def effective(self, uid: str) -> tuple[str, str]:
        """The pod's effective CPUs and NUMA nodes."""
        pod = self.kernel.paths.cgroup / f"kubepods/burstable/pod{uid}"
        cpus, mems = (
            (pod / f"cpuset.{name}.effective").read_text().strip() for name in ("cpus", "mems")
        )
        return cpus, mems

    def write(self, uid: str, cpus: str) -> None:
        """Change a pod's cpuset as somebody else might."""
        pod = self.kernel.paths.cgroup / f"kubepods/burstable/pod{uid}"
        (pod / "cpuset.cpus").write_text(f"{cpus}\n")
        self.kernel.settle()


@dataclass
class AgentProcess:
    """An agent on a fake node."""

    node: FakeNode
    node_name: str
    kubeconfig: Path
    port: int
    arguments: Sequence[str] = ()
    process: "subprocess.Popen[bytes] | None" = None
    logs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        log = self.node.root / f"agent-{len(self.logs)}.log"
        self.logs.append(log)
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "support.agent_process"),
                    *("--node-name", self.node_name, "--host-root", str(self.node.root)),
                    *("--metrics-address", "127.0.0.1", "--metrics-port", str(self.port)),
                    *("--kubeconfig", str(self.kubeconfig), "--interval", "1s"),
                    *("--log-format", "text", *self.arguments),
                ],
                stderr=file,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages; 0 while nobody listens."""
        try:
            answer = urllib3.request(
                "GET", f"http://127.0.0.1:{self.port}{path}", timeout=5.0, retries=False
            )
        except urllib3.exceptions.HTTPError as e:
            return 0, str(e)
        return answer.status, answer.data.decode()

    def await_ready(self) -> None:
        until(
            lambda: self.get("/readyz")[0] == 200,
            what=f"the agent to be ready; its log:\n{self.log()}",
            seconds=60,
        )

    def terminate(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 10) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return self.logs[-1].read_text() if self.logs else ""


class _Settling(FileCpusets):
    """Cpuset files whose effective sets follow at once, as the kernel's do."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    def apply(
        self, pod: PodCgroup, *, cpus: CpuSet | None = None, mems: NodeSet | None = None
    ) -> None:
        super().apply(pod, cpus=cpus, mems=mems)
        self._kernel.settle(pod.path)

    def widen_mems(self, pod: PodCgroup, mems: NodeSet) -> None:
        super().widen_mems(pod, mems)
        self._kernel.settle(pod.path)

    def release(self, pod: PodCgroup) -> None:
        super().release(pod)
        self._kernel.settle(pod.path)


def _pinner(
    paths: HostPaths,
    host: CgroupHost,
    *,
    eyes: Eyes,
    moved: Callable[[str], None],
    exposure_changed: Callable[[], None],
    state_dir: Path,
) -> Pinner:
    mover = PageMover(proc=paths.proc, calls=MovePages(), available=eyes.available)
    tools = Tools(
        writer=_Settling(FakeKernel(FakePaths(paths.root))),
        eyes=eyes,
        moves=Moves(mover, done=moved),
        checkpoint=Checkpoint(state_dir / "pins"),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
    )
    return Pinner(host, tools, exposure_changed=exposure_changed)


def _make(config: AgentConfig) -> Agent:
    return Agent(config, make_pinner=_pinner)


if __name__ == "__main__":
    run(_make)
