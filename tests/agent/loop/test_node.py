"""What the node reporter tells the kernel programs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from support import sysfs_tree
from support.agent_process import FakeNode
from support.counted import QuietTracer

from numapin_agent.cgroup import CgroupHost
from numapin_agent.counters.pulse import Fault
from numapin_agent.hostpaths import HostPaths
from numapin_agent.kubelet.resources import Holder, Resources
from numapin_agent.load import FIRST_SECONDS
from numapin_agent.neighbours import HOLD_SECONDS
from numapin_agent.node import SLOW_SECONDS, NodeReporter
from numapin_agent.pods import PodView
from numapin_agent.trust import Trust
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CounterError
from numapin_api.node import NumaNodeStatus
from numapin_api.topology import Topology


@dataclass
class Tracer(QuietTracer):
    """Remembers the CPUs that it was told of."""

    told: list[str] = field(default_factory=list)
    refuses: bool = False

    def follow(self, topology: Topology) -> None:
        if self.refuses:
            raise CounterError("map cpu_socket")
        self.told.append(" ".join(str(s.cpus) for s in topology.sockets))


@dataclass
class Written:
    """A publisher and an API server that keep what was written last."""

    status: Any = None
    held: Any = None
    meanwhile: Callable[[], None] = lambda: None
    """What happens while the API server is asked."""
    all: list[NumaNodeStatus] = field(default_factory=list)

    def submit(self, key: str, write: Callable[[], None]) -> None:
        write()

    def numa_node(self) -> Any:
        self.meanwhile()
        return self.held

    def apply_numa_node(self, status: NumaNodeStatus) -> None:
        self.status = status
        self.all.append(status)


def make(root: Path, clock: Callable[[], float], written: Any) -> NodeReporter:
    FakeNode.make(root)
    paths = HostPaths(root)
    return NodeReporter(
        paths=paths,
        cgroups=CgroupHost.discover(paths),
        api=written,
        publisher=written,
        problems=lambda: (),
        agent_version="1",
        clock=clock,
    )


def test_cpus_that_come_are_told_to_the_kernel_programs_once(tmp_path: Path) -> None:
    now = 0.0
    reporter = make(tmp_path, lambda: now, Written())
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


def test_cpus_that_come_are_told_at_the_next_tick(tmp_path: Path) -> None:
    """Events on a CPU of no known socket are lost: no minute may pass."""
    reporter = make(tmp_path, lambda: 0.0, Written())
    tracer = Tracer()
    reporter.attach(tracer)
    reporter.refresh()
    shutil.rmtree(tmp_path / "sys/devices")
    sysfs_tree.write(sysfs_tree.machine(sockets=2, cpus=3), tmp_path)
    reporter.refresh()
    assert tracer.told == ["0-1 2-3", "0-2 3-5"]


def test_new_programs_are_told_of_the_cpus_too(tmp_path: Path) -> None:
    reporter = make(tmp_path, lambda: 0.0, Written())
    reporter.attach(Tracer())
    new = Tracer()
    reporter.attach(new)
    assert new.told == ["0-1 2-3"]


def test_a_dead_program_is_named_in_the_numanode_at_once(tmp_path: Path) -> None:
    written = Written()
    reporter = make(tmp_path, lambda: 0.0, written)
    reporter.attach(Tracer())
    assert reporter.tracer_alive is True
    assert [c.status for c in written.status.conditions] == ["True", "False"]
    fault = Fault("migrate_end", ("numaMigrations",), "is not attached any more")
    reporter.trusted(Trust(faults=(fault,)))
    degraded = written.status.conditions[1]
    assert (degraded.type, degraded.status, degraded.reason) == ("Degraded", "True", "TracerDead")
    assert "program migrate_end of numaMigrations is not attached" in degraded.message
    (signal,) = written.status.capabilities.signals
    assert (signal.level, signal.reason) == ("none", str(fault))
    assert reporter.tracer_alive is False
    assert reporter.signals == (signal,)
    reporter.trusted(Trust())
    assert written.status.conditions[1].status == "False"
    assert written.status.capabilities.signals[0].level == "fentry"


def test_without_programs_there_is_nothing_to_be_alive(tmp_path: Path) -> None:
    reporter = make(tmp_path, lambda: 0.0, Written())
    reporter.counters_failed(CounterError("no BTF"))
    assert reporter.tracer_alive is None


def test_counters_that_come_later_all_the_same_are_told(tmp_path: Path) -> None:
    written = Written()
    reporter = make(tmp_path, lambda: 0.0, written)
    reporter.counters_failed(CounterError("the list of possible CPUs can't be read"))
    reporter.attach(Tracer())
    assert written.status.conditions[1].status == "False"
    assert reporter.tracer_alive is True


def before_a_restart(tmp_path: Path) -> Any:
    """A NumaNode as an agent that counts leaves it."""
    written = Written()
    make(tmp_path / "before", lambda: 0.0, written).attach(Tracer())
    return SimpleNamespace(status=written.status)


def test_a_restarted_agent_keeps_the_signals_until_it_knows_its_own(tmp_path: Path) -> None:
    """Else the operator takes each restart for a node that has no counters."""
    held, now = before_a_restart(tmp_path), 0.0
    written = Written(held=held)
    reporter = make(tmp_path, lambda: now, written)
    reporter.refresh()
    before = held.status.capabilities.signals
    assert written.status.capabilities.signals == before != []
    assert reporter.signals == ()  # of its own: the metrics tell nothing yet
    now += SLOW_SECONDS
    reporter.trusted(Trust().beat(now, late=10.0))
    assert written.status.capabilities.signals == before
    assert len(written.all) == 2
    reporter.counters_failed(CounterError("no BTF"))
    assert {(s.level, s.reason) for s in written.status.capabilities.signals} == {
        ("none", "no BTF")
    }


def test_what_is_looked_at_while_the_predecessor_is_asked_keeps_its_signals_too(
    tmp_path: Path,
) -> None:
    written = Written(held=before_a_restart(tmp_path))
    reporter = make(tmp_path, lambda: 0.0, written)
    due: list[Callable[[], None]] = []
    written.submit = lambda key, write: due.append(write)  # type: ignore[method-assign]
    written.meanwhile = lambda: reporter.trusted(Trust().beat(0.0, late=10.0))
    reporter.refresh()
    due[0]()
    written.meanwhile = lambda: None
    due[1]()
    signals = [s.capabilities.signals if s.capabilities else None for s in written.all]
    assert signals == [written.held.status.capabilities.signals] * 2
    assert written.status.conditions[1].reason == "Stalled"


def test_what_else_is_on_the_node_is_told(tmp_path: Path) -> None:
    """Huge pages, exclusive CPUs, devices and neighbours, from where they are on a node."""
    FakeNode.make(tmp_path)
    pool = tmp_path / "sys/devices/system/node/node1/hugepages/hugepages-2048kB"
    pool.mkdir(parents=True)
    (pool / "nr_hugepages").write_text("8\n")
    (pool / "free_hugepages").write_text("3\n")
    kubelet = tmp_path / "var/lib/kubelet"
    kubelet.mkdir(parents=True)
    state = '{"policyName":"static","defaultCpuSet":"0-2","entries":{"uid":{"main":"3"}}}'
    (kubelet / "cpu_manager_state").write_text(state)
    (kubelet / "config.yaml").write_text("reservedSystemCPUs: 0\n")
    paths, written, now = HostPaths(tmp_path), Written(), 0.0
    koordlet: dict[str, Any] = {
        "metadata": {"name": "koordlet-x", "labels": {"koord-app": "koordlet"}},
        "spec": {"volumes": [{"hostPath": {"path": "/sys/fs/cgroup/"}}]},
        "status": {"phase": "Running"},
    }
    pods = [msgspec.convert(koordlet, PodView)]
    resources = Resources(holders=(Holder("shop", "camera", (1,)),), exclusive=CpuSet({2}))
    reporter = NodeReporter(
        paths=paths,
        cgroups=CgroupHost.discover(paths),
        api=cast(Any, written),
        publisher=cast(Any, written),
        problems=lambda: (),
        resources=lambda: resources,
        pods=lambda: pods,
        agent_version="1",
        clock=lambda: now,
    )
    reporter.refresh()
    status = written.status.wire()
    assert status["topology"]["nodes"][1]["hugepages"] == [{"size": "2Mi", "pages": 8}]
    assert status["usage"]["nodes"][1]["hugepagesFree"] == [{"size": "2Mi", "pages": 3}]
    assert (status["reservedCpus"], status["exclusiveCpus"]) == ("0", "2-3")
    assert status["devices"] == [{"namespace": "shop", "name": "camera", "numaNodes": [1]}]
    found = {n["name"]: n["standDown"] for n in status["neighbours"]}
    assert found == {"koordlet": True, "kubelet-static-cpu-manager": True}
    pods.clear()
    now += SLOW_SECONDS
    reporter.refresh()
    assert len(written.status.neighbours) == 2
    now += HOLD_SECONDS
    reporter.refresh()
    assert [n.name for n in written.status.neighbours] == ["kubelet-static-cpu-manager"]


def test_cpu_use_is_told_after_a_minute(tmp_path: Path) -> None:
    now, written = 0.0, Written()
    reporter = make(tmp_path, lambda: now, written)
    for second in range(0, 70, 10):
        now = float(second)
        # CPU 2 is of socket 1, and busy.
        lines = [f"cpu{c} {100 * second * (c == 2)} 0 0 0 0 0 0 0" for c in range(4)]
        (tmp_path / "proc/stat").write_text("\n".join(lines) + "\n")
        reporter.refresh()
        known = written.status.usage.sockets
        assert (known is not None) == (second >= FIRST_SECONDS)
    assert [(s.id, s.cpu_millicores) for s in written.status.usage.sockets] == [(0, 0), (1, 1000)]
