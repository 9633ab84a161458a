"""What the node reporter tells the kernel programs."""

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import sysfs_tree
from support.agent_process import FakeNode

from numapin_agent.cgroup import CgroupHost
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.hostpaths import HostPaths
from numapin_agent.node import SLOW_SECONDS, NodeReporter
from numapin_api.errors import CounterError
from numapin_api.node import Signal
from numapin_api.topology import Topology


@dataclass
class Tracer:
    """Remembers the CPUs that it was told of."""

    told: list[str] = field(default_factory=list)
    refuses: bool = False

    def levels(self) -> tuple[Signal, ...]:
        return (Signal(name="numaMigrations", level="fentry"),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        return {}

    def forget(self, cgroup_ids: Iterable[int]) -> None: ...

    def lost(self) -> int:
        return 0

    def alive(self) -> bool:
        return True

    def follow(self, topology: Topology) -> None:
        if self.refuses:
            raise CounterError("map cpu_socket")
        self.told.append(" ".join(str(s.cpus) for s in topology.sockets))


class Written:
    """A publisher that keeps nothing."""

    def submit(self, key: str, write: object) -> None: ...


def test_cpus_that_come_are_told_to_the_kernel_programs_once(tmp_path: Path) -> None:
    FakeNode.make(tmp_path)
    paths = HostPaths(tmp_path)
    now = 0.0
    parts: dict[str, Any] = {"api": None, "publisher": Written()}
    reporter = NodeReporter(
        paths=paths,
        cgroups=CgroupHost.discover(paths),
        problems=lambda: (),
        agent_version="1",
        clock=lambda: now,
        **parts,
    )
    tracer = Tracer()
    reporter.attach(tracer)
    now += SLOW_SECONDS
    reporter.refresh()
    assert tracer.told == ["0-1 2-3"]
    shutil.rmtree(tmp_path / "sys/devices")
    sysfs_tree.write(sysfs_tree.machine(sockets=2, cpus=3), tmp_path)
    tracer.refuses = True
    now += SLOW_SECONDS
    reporter.refresh()
    tracer.refuses = False
    now += SLOW_SECONDS
    reporter.refresh()
    now += SLOW_SECONDS
    reporter.refresh()
    assert tracer.told == ["0-1 2-3", "0-2 3-5"]
