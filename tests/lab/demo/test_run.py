"""A whole demo on a made-up clock, with a cluster and counters that behave as told."""

from dataclasses import dataclass, field
from itertools import count

import pytest
from rich.console import Console

from numapin_api.errors import LabError
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_lab.demo.criteria import check
from numapin_lab.demo.live import LiveView
from numapin_lab.demo.run import Demo, Workload
from numapin_lab.demo.series import KERNEL, WHOLE_NODE, PodCounters, Second

MIB = 2**20
UID = "0c2b8caf-1111-4222-8333-444455556666"
HOPPER = Workload(namespace="demo", name="hopper", uid=UID, what="hops", worst_case=True)


@dataclass
class World:
    """Pages flow until the label has been on for some seconds; then memory is in place.

    Times in seconds after the label: None means never.
    """

    pages_per_second: int = 5000
    pinned_after: float | None = 4
    judged_after: float | None = 70
    agent_away: range = range(0)
    now: float = 1000.0
    pages: float = 0.0
    labelled_at: float | None = None
    readings: count = field(default_factory=lambda: count(1))

    # The clock

    def clock(self):
        return self.now

    def sleep(self, seconds):
        if not self.since(self.pinned_after):
            self.pages += self.pages_per_second * seconds
        self.now += seconds

    def since(self, seconds):
        if self.labelled_at is None or seconds is None:
            return False
        return self.now >= self.labelled_at + seconds

    # The meter

    def read(self):
        there = next(self.readings) not in self.agent_away
        moved = int(self.pages)
        counters = PodCounters(
            migrated_pages=moved,
            cross_socket_migrated_pages=moved,
            migration_nanoseconds=moved * 4000,
            hint_fault_pages_local=moved // 2,
            hint_fault_pages_remote=moved // 2,
            cross_socket_task_migrations=moved // 1000,
        )
        kernel = PodCounters(migrated_pages=moved + 77)
        placed = self.since(self.pinned_after)
        return Second(
            time=self.now,
            pods={HOPPER.key: counters, WHOLE_NODE: counters, KERNEL: kernel} if there else {},
            memory={UID: {0: 0 if placed else 100 * MIB, 1: 200 * MIB if placed else 100 * MIB}},
        )

    # The cluster

    def label(self, namespace, name, *, on):
        assert (namespace, name, on) == ("demo", "hopper", True)
        self.labelled_at = self.now

    def pin(self, namespace, name):
        if self.labelled_at is None:
            return None
        observed = {
            "generation": 1,
            "phase": "Pinned" if self.since(self.pinned_after) else "Moving",
            "effective": {"cpus": "2-3", "mems": "1"},
        }
        judged = self.since(self.judged_after)
        return NumaPin.read(
            {
                "apiVersion": "numapin.io/v1alpha1",
                "kind": "NumaPin",
                "metadata": {"name": "hopper", "namespace": "demo", "generation": 1},
                "spec": {"podUID": UID, "nodeName": "numa-0", "policy": "(default)"},
                "status": {
                    "observed": observed,
                    "verdict": "Verified" if judged else "Pending",
                    "evidence": "Measured" if judged else None,
                },
            }
        )

    def numa_node(self, name):
        capabilities = {
            "kernel": "6.12.1",
            "cgroupVersion": 2,
            "cgroupDriver": "systemd",
            "numaBalancing": True,
            "signals": [{"name": "numaMigrations", "level": "rawTracepoint"}],
        }
        return NumaNode.read(
            {
                "apiVersion": "numapin.io/v1alpha1",
                "kind": "NumaNode",
                "metadata": {"name": name},
                "status": {"capabilities": capabilities},
            }
        )


def run(world, seconds=60):
    with LiveView(Console(quiet=True), ("hopper",)) as view:
        return Demo(
            cluster=world,
            meter=world,
            view=view,
            workloads=[HOPPER],
            node="numa-0",
            seconds=seconds,
            clock=world.clock,
            sleep=world.sleep,
        ).run()


def test_before_and_after():
    outcome = run(World())
    (pod,) = outcome.pods
    assert pod.before.migrated_pages_per_second == pytest.approx(5000, rel=0.01)
    assert pod.before.migration_ms_per_second == pytest.approx(20, rel=0.01)
    assert pod.before.local_percent == pytest.approx(50, abs=0.1)
    assert pod.before.seconds >= 60
    assert [m.bytes for m in pod.before.memory] == [100 * MIB, 100 * MIB]
    assert pod.after.migrated_pages_per_second == 0
    assert pod.after.local_percent is None
    assert pod.after.seconds >= 60
    assert [m.bytes for m in pod.after.memory] == [0, 200 * MIB]
    assert (pod.verdict, pod.evidence) == ("Verified", "Measured")
    assert pod.levels == {"numaMigrations": "rawTracepoint"}
    assert outcome.node.before.numa_pages_migrated_per_second == pytest.approx(5000, rel=0.01)
    assert outcome.counted == (pytest.approx(5000, rel=0.01), 0)
    assert all(c.met for c in check(outcome.results[0]))
    assert outcome.labelled < outcome.pinned["hopper"] <= outcome.labelled + 6


def test_seconds_without_the_agent_are_bridged():
    outcome = run(World(agent_away=range(20, 50)))
    assert outcome.pods[0].before.migrated_pages_per_second == pytest.approx(5000, rel=0.01)


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (World(pages_per_second=100), "the worst case migrates pages"),
        (World(agent_away=range(1000)), "no reading of its counters"),
        (World(pinned_after=None), "all pods are pinned: not so after 240 s; .*phase Moving"),
        (World(judged_after=None), "every pod has a verdict: not so after 180 s; .*Pending"),
    ],
)
def test_what_does_not_come_is_named(world, said):
    with pytest.raises(LabError, match=said):
        run(world)


def test_a_pin_of_an_earlier_pod_of_that_name_does_not_count():
    world = World()
    stranger = Workload(
        namespace="demo", name="hopper", uid="ffffffff-0", what="hops", worst_case=True
    )
    with LiveView(Console(quiet=True), ("hopper",)) as view:
        demo = Demo(
            cluster=world,
            meter=world,
            view=view,
            workloads=[stranger],
            node="numa-0",
            seconds=10,
            clock=world.clock,
            sleep=world.sleep,
        )
        with pytest.raises(LabError, match="all pods are pinned"):
            demo.run()
