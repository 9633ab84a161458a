"""The guard's thread: who is looked at when, without a kernel and without a clock."""

import os
import threading
from dataclasses import dataclass, field

import pytest
from support.wait import until

from numapin_agent.guard import rules
from numapin_agent.guard.free import FreeMemory
from numapin_agent.guard.rules import Exposed
from numapin_agent.guard.watch import NEVER, Guard
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import NodeSet
from numapin_api.errors import CgroupError, TopologyError

GIB = 1 << 30


class Bell:
    """An alarm that tests ring."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0)
        self.taken = 0
        self.without_room = 0
        self.wanted: list[bool] = []

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def listen(self, *, on: bool) -> None:
        if self.wanted[-1:] != [on]:
            self.wanted.append(on)

    def lost(self) -> int:
        return self.without_room

    def take(self) -> NodeSet:
        os.eventfd_read(self.fd)
        self.taken += 1
        return NodeSet()


@dataclass
class Node:
    """Pods and memory of a node, and what the guard did."""

    pods: dict[str, Exposed] = field(default_factory=dict)
    free: dict[int, int] = field(default_factory=lambda: {0: 500 * GIB, 1: 500 * GIB})
    busy: set[str] = field(default_factory=set)
    refuses: dict[str, Exception] = field(default_factory=dict)
    broken: Exception | None = None
    looks: int = 0
    widened: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guard = Guard(
            self, available=self.available, widened=self.widened.append, failed=self.errors.append
        )

    def bind(self, uid: str, mems: str = "1", least: int = GIB) -> None:
        self.pods[uid] = Exposed(uid, NodeSet.parse(mems), least)
        self.guard.changed()

    def exposed(self) -> tuple[Exposed, ...]:
        return tuple(self.pods.values())

    def available(self, nodes: NodeSet):
        self.looks += 1
        if self.broken:
            raise self.broken
        return {n: self.free[n] for n in nodes}

    def widen(self, uid: str) -> bool:
        if uid in self.refuses:
            raise self.refuses[uid]
        if uid in self.busy:
            return False
        return self.pods.pop(uid, None) is not None


@pytest.fixture
def node():
    made = Node()
    yield made
    made.guard.close()


def test_without_pods_it_sleeps_and_reads_nothing(node):
    assert node.guard.look()[0] == NEVER
    assert node.looks == 0


def test_who_runs_low_is_widened_and_told_of(node):
    node.bind("a", "1", 2 * GIB)
    node.bind("b", "0", 2 * GIB)
    node.free[1] = GIB
    node.guard.look()
    assert node.widened == ["a"]
    assert list(node.pods) == ["b"]


def test_a_pod_that_the_loop_is_at_is_tried_again_soon(node):
    node.bind("a")
    node.free[1] = 0
    node.busy = {"a"}
    assert node.guard.look()[0] == rules.DEAF_SECONDS
    assert node.widened == []
    node.busy = set()
    node.guard.look()
    assert node.widened == ["a"]


def test_the_alarm_makes_it_look_long_before_its_time(node):
    alarm = Bell()
    node.bind("a")  # half a terabyte is free: the clock alone would let ten seconds pass
    node.guard.start(alarm)
    until(lambda: node.looks == 1, what="the first look")
    node.free[1] = 0
    alarm.ring()
    until(lambda: node.widened == ["a"], what="a is widened", seconds=5)
    assert alarm.taken == 1


def test_alarms_are_wanted_only_while_there_are_pods(node):
    alarm = Bell()
    node.guard.start(alarm)
    until(lambda: alarm.wanted == [True, False], what="nobody is to be guarded")
    node.bind("a")
    until(lambda: node.looks == 1, what="the first look")
    assert alarm.wanted == [True, False, True]
    node.pods.clear()
    node.guard.changed()
    until(lambda: alarm.wanted == [True, False, True, False], what="nobody is any more")


def test_lost_alarms_are_told_with_their_number_and_without_an_alarm_there_are_none(node, caplog):
    assert (node.guard.lost(), node.guard.problems()) == (None, ())
    alarm = Bell()
    node.guard.start(alarm)
    assert (node.guard.lost(), node.guard.problems()) == (0, ())
    alarm.without_room = 9
    (problem,) = node.guard.problems()
    assert (problem.reason, problem.fatal) == ("AlarmsLost", False)
    assert problem.message.startswith("9 alarms of kswapd found no room")
    assert node.guard.lost() == 9
    assert "9 alarms of kswapd were lost" in caplog.text


def test_after_an_alarm_it_looks_often_although_kswapd_runs_and_is_not_woken_again(
    node, monkeypatch
):
    monkeypatch.setattr(rules, "SHORTEST_SECONDS", 3600.0)
    alarm = Bell()
    node.free[1] = GIB  # as little as it may be
    node.bind("a")
    node.guard.start(alarm)
    until(lambda: node.looks == 1, what="the first look")
    alarm.ring()
    until(lambda: node.looks >= 4, what="three looks for one alarm", seconds=5)
    assert alarm.taken == 1


def test_a_pod_that_is_bound_from_now_on_is_looked_at_at_once(node):
    node.guard.start(None)
    node.free[1] = 0
    node.bind("a")
    until(lambda: node.widened == ["a"], what="a is widened", seconds=5)


@pytest.mark.parametrize("error", [CgroupError("EBUSY"), RuntimeError("a bug")])
def test_what_fails_is_counted_and_tried_again(node, error, monkeypatch):
    monkeypatch.setattr(rules, "DEAF_LONGEST_SECONDS", 0.01)
    node.refuses = {"a": error}
    node.free[1] = 0
    node.bind("a")
    node.guard.start(None)
    until(lambda: len(node.errors) >= 2, what="two errors")
    node.refuses = {}
    until(lambda: node.widened == ["a"], what="a is widened")
    assert node.guard.alive()


def test_one_pod_that_can_not_be_widened_does_not_cost_the_others_theirs(node):
    node.bind("gone", least=9 * GIB)
    node.bind("a")
    node.free[1] = 0
    node.refuses = {"gone": CgroupError("the cgroup is gone")}
    assert node.guard.look()[0] == rules.DEAF_SECONDS
    assert node.widened == ["a"]
    assert [str(e) for e in node.errors] == ["the cgroup is gone"]


def test_memory_that_can_not_be_read_widens_nobody(node):
    node.bind("a")
    node.broken = TopologyError("no meminfo")
    with pytest.raises(TopologyError):
        node.guard.look()
    assert node.widened == []


def test_close_ends_the_thread(node):
    node.guard.start(None)
    node.guard.close()
    assert not node.guard.alive()
    assert "memory-guard" not in {t.name for t in threading.enumerate()}


def test_free_memory_is_that_of_all_other_decisions(tmp_path):
    """Less what the kernel keeps for itself; zones are read anew once a minute only."""
    paths = HostPaths(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/zoneinfo").write_text(
        "Node 1, zone   Normal\n  pages free 100\n        min      10\n"
        "        low      20\n        high     30\n        managed  1000\n"
        "        protection: (0, 0)\n"
    )
    meminfo = tmp_path / "sys/devices/system/node/node1/meminfo"
    meminfo.parent.mkdir(parents=True)
    meminfo.write_text("Node 1 MemTotal: 4000 kB\nNode 1 MemFree: 1000 kB\n")
    now = [0.0]
    free = FreeMemory(paths, clock=lambda: now[0])
    page = os.sysconf("SC_PAGE_SIZE")
    assert free(NodeSet({1})) == {1: 1000 * 1024 - 30 * page}
    (tmp_path / "proc/zoneinfo").write_text("")
    assert free(NodeSet({1})) == {1: 1000 * 1024 - 30 * page}
    now[0] = 60.0
    assert free(NodeSet({1})) == {1: 1000 * 1024}
    with pytest.raises(TopologyError, match="node7"):
        free(NodeSet({7}))
