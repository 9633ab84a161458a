"""What the agent looks at of pods that have no pin, and how often."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import agent_objects, sysfs_tree
from support.counted import QuietTracer
from support.fake_cgroups import FakeKernel, container

from numapin_agent.census import Census
from numapin_agent.cgroup import CgroupHost
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.figures import pod_figures
from numapin_agent.glance import GLANCE_SECONDS, Glance, Glances, confined, touched
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pin.values import PinReport
from numapin_agent.sysfs import read_topology
from numapin_api.cpulist import CpuSet
from numapin_api.node import Signal
from numapin_api.topology import Topology

UID = "0c2b8caf-0000-4000-8000-000000000001"
POD = f"kubepods/burstable/pod{UID}"


class World:
    """Two sockets of two CPUs, and a pod with a container and its sandbox."""

    def __init__(self, root: Path) -> None:
        self.kernel = FakeKernel.make(root, "kubepods")
        sysfs_tree.write(sysfs_tree.machine(sockets=2, cpus=2), root)
        self.kernel.mkdir("kubepods/burstable")
        self.kernel.mkdir(POD)
        self.paths = [self.kernel.mkdir(f"{POD}/{container(c)}") for c in "ab"]
        self.now = 100.0
        self.topology: Topology | None = read_topology(HostPaths(root))
        self.glances = Glances(topology=lambda: self.topology, clock=lambda: self.now)
        self.threads(7, 3)
        self.paths[0].joinpath("cgroup.procs").write_text("7\n")

    def threads(self, pid: int, count: int) -> None:
        for tid in range(count):
            (self.kernel.paths.proc / f"{pid}/task/{tid}").mkdir(parents=True, exist_ok=True)

    def keep(self, cpus: str) -> None:
        self.paths[0].joinpath("cpuset.cpus").write_text(f"{cpus}\n")
        self.kernel.settle()

    def look(self) -> Glance | None:
        found = CgroupHost.discover(HostPaths(self.kernel.paths.root)).find_pod(UID)
        assert found is not None
        return self.glances.of(found)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_threads_and_no_cpuset(world: World) -> None:
    assert world.look() == Glance(threads=3)


@pytest.mark.parametrize(
    ("cpus", "sockets"), [("0", (0,)), ("2-3", (1,)), ("1-2", ()), ("0-3", ())]
)
def test_a_container_that_others_keep_on_a_socket(
    world: World, cpus: str, sockets: tuple[int, ...]
) -> None:
    world.keep(cpus)
    assert world.look() == Glance(3, sockets)


def test_a_look_lasts_a_while(world: World) -> None:
    world.look()
    world.threads(7, 5)
    world.keep("0")
    world.now += GLANCE_SECONDS - 1
    assert world.look() == Glance(3)
    world.now += 1
    assert world.look() == Glance(5, (0,))


def test_a_pod_without_processes_and_a_machine_that_is_not_known(world: World) -> None:
    world.topology = None
    world.keep("0")
    assert world.look() == Glance(3)
    world.paths[0].joinpath("cgroup.procs").write_text("")
    world.now += GLANCE_SECONDS
    assert world.look() is None


def test_of_a_single_socket_nothing_is_said(world: World) -> None:
    assert world.topology is not None
    one = Topology(world.topology.sockets[:1], world.topology.nodes[:1], ())
    assert confined(one, [CpuSet([0])]) == ()
    assert confined(world.topology, [CpuSet([0]), CpuSet([3]), CpuSet()]) == (0, 1)


@pytest.mark.parametrize(
    ("totals", "is_touched"),
    [
        (CgroupCounters(), False),
        (CgroupCounters(cross_socket_task_migrations=9), False),
        (CgroupCounters(migrated_pages=1), True),
        (CgroupCounters(hint_fault_pages_local=1), True),
        (CgroupCounters(hint_fault_pages_remote=1), True),
    ],
)
def test_only_pods_that_numa_balancing_touched(totals: CgroupCounters, is_touched: bool) -> None:
    assert touched(totals) is is_touched


class Counted(QuietTracer):
    """A tracer of one cgroup, and the API objects of its pod."""

    def __init__(self, world: World, faults: int, *, pinned: bool = False) -> None:
        found = CgroupHost.discover(HostPaths(world.kernel.paths.root)).find_pod(UID)
        assert found is not None
        self.id = found.cgroup_id()
        self.local = faults
        self.pinned = pinned
        self.census = Census(clock=lambda: world.now)
        self.census.replace([found])
        self.census.attach(self)

    def levels(self) -> tuple[Signal, ...]:
        return (Signal(name="hintFaults", level="fentry"),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        assert self.id is not None
        return {self.id: CgroupCounters(hint_fault_pages_local=self.local)}

    def pods(self) -> Mapping[Any, Any]:
        return {("default", "hopper"): agent_objects.pod()}

    def pins(self) -> Mapping[Any, Any]:
        return {("default", "hopper"): agent_objects.pin()} if self.pinned else {}


@pytest.mark.parametrize(
    ("faults", "pinned", "report", "cpu", "glance"),
    [
        (0, False, None, None, None),
        (1, False, None, 9_000_000, Glance(3, (1,))),
        # Of a pinned pod the pinner has looked already, and its cpuset is numapin's own.
        (0, True, PinReport("Pinned", threads=5), 9_000_000, Glance(5)),
        (0, True, PinReport("Waiting"), 9_000_000, None),
    ],
)
def test_who_is_looked_at_in_a_scrape(
    world: World,
    *,
    faults: int,
    pinned: bool,
    report: PinReport | None,
    cpu: int | None,
    glance: Glance | None,
) -> None:
    world.keep("2-3")
    (world.kernel.paths.cgroup / POD / "cpu.stat").write_text("usage_usec 9000\n")
    counted: Any = Counted(world, faults, pinned=pinned)
    reports = {} if report is None else {("default", "hopper"): report}
    (found,) = pod_figures(counted.census, counted, reports, world.glances)
    assert (found.cpu_nanoseconds, found.glance) == (cpu, glance)
