"""A real pinner on a fake cgroup tree, with writes and page moves that fail when told to."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from support.fake_cgroups import UID, FakeKernel, container

from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.write import FileCpusets
from numapin_agent.pin import Pinner, PinOrder
from numapin_agent.pin.attempt import Tools
from numapin_agent.pin.checkpoint import Checkpoint
from numapin_agent.pin.look import Eyes
from numapin_agent.pin.worker import Moves
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import MoveError, SystemdError

MIB = 1 << 20
GIB = 1 << 30
POD = f"kubepods/burstable/pod{UID}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Writer(FileCpusets):
    """Writes files, after which the fake kernel computes the effective sets."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.calls: list[str] = []
        self.die_before = self.die_after = None
        self.refuse = False

    def apply(self, pod, *, cpus=None, mems=None):
        self.calls.append(
            f"cpus={'' if cpus is None else cpus} mems={'' if mems is None else mems}"
        )
        if self.refuse:
            raise SystemdError("PID 1 says no")
        if self.die_before == len(self.calls):
            raise KeyboardInterrupt
        super().apply(pod, cpus=cpus, mems=mems)
        self.kernel.settle()
        if self.die_after == len(self.calls):
            raise KeyboardInterrupt

    def widen_mems(self, pod, mems):
        self.calls.append(f"mems={mems} in a hurry")
        if self.die_before == len(self.calls):
            raise KeyboardInterrupt
        super().widen_mems(pod, mems)
        self.kernel.settle()
        if self.die_after == len(self.calls):
            raise KeyboardInterrupt

    def release(self, pod):
        super().release(pod)
        self.kernel.settle()


class Mover:
    """Moves when told to; says what it is told to."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.go = threading.Event()
        self.left: int = 0
        self.error: str | None = None
        self.reason: str | None = None
        self.runs = 0

    def immovable(self):
        return self.reason

    def run(self, job):
        self.runs += 1
        while not self.go.wait(0.005):
            if job.cancelled.is_set():
                return
        if self.error:
            raise MoveError(self.error)
        far = job.pod.memory().off(job.mems)
        job.bytes_left = min(far, self.left)
        job.moved_pages = (far - job.bytes_left) // 4096
        (target,) = job.mems
        memory = {f"N{n}": job.bytes_left for n in (0, 1)} | {f"N{target}": GIB}
        self.kernel.memory(job.pod.path, **memory)


class Bench:
    """A pinner and the world around it."""

    def __init__(self, root, *, cpus: str = "0-3") -> None:
        self.kernel = FakeKernel.make(root / "host", "kubepods", cpus=cpus)
        self.kernel.mkdir("kubepods/burstable")
        (self.kernel.paths.proc / "uptime").write_text("5000.0 1.0\n")
        self.state = root / "state"
        self.available: Mapping[int, int] = {0: 3 * GIB, 1: 3 * GIB}
        self.writer = Writer(self.kernel)
        self.mover = Mover(self.kernel)
        self.time = 0.0
        self.moved = threading.Event()
        self.pinners: list[Pinner] = []
        self.restart()

    def restart(self) -> None:
        """A new agent, with nothing in memory."""
        if self.pinners:
            self.pinners[-1].close()
        paths = self.kernel.paths
        self.pinner = Pinner(
            CgroupHost.discover(paths),
            Tools(
                writer=self.writer,
                eyes=Eyes(
                    proc=paths.proc,
                    available=lambda: self.available,
                    capacity={0: 4 * GIB, 1: 4 * GIB},
                ),
                moves=Moves(self.mover, done=lambda _: self.moved.set(), clock=lambda: self.time),
                checkpoint=Checkpoint(self.state),
                now=lambda: NOW + timedelta(seconds=self.time),
                clock=lambda: self.time,
            ),
        )
        self.pinners.append(self.pinner)

    def close(self) -> None:
        for pinner in self.pinners:
            pinner.close()

    def pod(self, far: int = 0, *, running: bool = True):
        path = self.kernel.mkdir(POD)
        app = self.kernel.mkdir(f"{POD}/{container('a')}")
        self.kernel.mkdir(f"{POD}/{container('b')}")
        if running:
            (app / "cgroup.procs").write_text("70\n71\n")
            for pid in (70, 71):
                directory = self.kernel.paths.proc / str(pid)
                (directory / "task" / str(pid)).mkdir(parents=True)
                fields = " ".join("0" for _ in range(30))
                (directory / "stat").write_text(f"{pid} (a (b) c) S {fields}\n")
        self.kernel.memory(path, N0=far, N1=0)
        return path

    def reconcile(self, wanted=None, history=60.0):
        return self.pinner.reconcile(wanted or order(), history_seconds=history)

    def reconcile_twice(self):
        self.reconcile()
        assert self.moved.wait(10)
        self.reconcile()

    def finish_move(self):
        self.mover.go.set()
        assert self.moved.wait(10)
        self.moved.clear()

    def set(self, path, cpus, mems):
        (path / "cpuset.cpus").write_text(cpus)
        (path / "cpuset.mems").write_text(mems)
        self.kernel.settle()


def order(**more):
    return replace(
        PinOrder(
            namespace="default",
            name="web",
            uid=UID,
            generation=1,
            mode="Enforce",
            cpus=CpuSet.parse("2-3"),
            mems=NodeSet.parse("1"),
            memory="Strict",
            headroom_percent=10,
            container_names={container("a"): "app"},
        ),
        **more,
    )
