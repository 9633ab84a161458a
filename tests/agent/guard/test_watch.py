"""The guard's thread: who is looked at when, without a kernel and without a clock."""

import os
import threading
from dataclasses import dataclass, field

import pytest
from support.wait import until

from numapin_agent.guard import rules
from numapin_agent.guard.free import FreeMemory, outdated
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
    is_short: bool = False
    looks: int = 0
    widened: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guard = Guard(
            self, memory=self, widened=self.widened.append, failed=self.errors.append
        )

    def bind(self, uid: str, mems: str = "1", least: int = GIB) -> None:
        self.pods[uid] = Exposed(uid, NodeSet.parse(mems), least)
        self.guard.changed()

    def exposed(self) -> tuple[Exposed, ...]:
        return tuple(self.pods.values())

    def short(self) -> bool:
        return self.is_short

    def __call__(self, nodes: NodeSet):
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


def test_while_free_memory_is_short_it_looks_often_however_much_cache_there_is(node):
    """Within the moment that kswapd takes to find out that none of it can be reclaimed."""
    node.bind("a")
    node.is_short = True
    assert node.guard.look() == (rules.DEAF_SECONDS, rules.DEAF_SECONDS)
    node.is_short = False
    assert node.guard.look() == (rules.LONGEST_SECONDS, rules.DEAF_LONGEST_SECONDS)


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


class FullOfCache:
    """Node 1, all of it page cache; its files, and the clock."""

    def __init__(self, root) -> None:
        self.paths = HostPaths(root)
        self.now = 0.0
        (root / "proc").mkdir()
        self.meminfo = root / "sys/devices/system/node/node1/meminfo"
        self.meminfo.parent.mkdir(parents=True)
        self.cgroups = root / "sys/fs/cgroup/kubepods"
        self.cgroups.mkdir(parents=True)
        self.given_up(yes=False)
        self.free(pages=25)
        self.memory = FreeMemory(self.paths, clock=self.clock)

    def clock(self) -> float:
        return self.now

    def given_up(self, *, yes: bool) -> None:
        (self.paths.proc / "zoneinfo").write_text(
            "Node 1, zone   Normal\n  pages free 100\n        min      10\n"
            "        low      20\n        high     30\n        managed  9000\n"
            f"        protection: (0, 0)\n  node_unreclaimable:  {yes:d}\n"
        )

    def free(self, *, pages: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE") >> 10
        self.meminfo.write_text(
            f"Node 1 MemFree: {pages * page} kB\nNode 1 Active(file): {8000 * page} kB\n"
        )

    def minimum(self, pages: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        (self.cgroups / "memory.min").write_text(f"{pages * page}\n")
        (self.cgroups / "memory.current").write_text(f"{8000 * page}\n")
        (self.cgroups / "memory.numa_stat").write_text(f"active_file N0=0 N1={8000 * page}\n")

    def look(self, after: float = 0.05) -> tuple[int, bool]:
        """Pages that are available, and whether that is in doubt."""
        self.now += after
        found = self.memory(NodeSet({1}))
        return found[1] // os.sysconf("SC_PAGE_SIZE"), self.memory.short()


def test_cache_is_believed_until_kswapd_has_given_the_numa_node_up(tmp_path):
    node = FullOfCache(tmp_path)
    assert node.look() == (8000 - 20 + 25 - 30, False)
    # It churns: kswapd is woken at each of these looks, and catches up between them.
    node.given_up(yes=False)
    for free in (20, 29, 15, 11, 29, 18):
        node.free(pages=free)
        assert node.look() == (8000 - 20 + free - 30, free <= 20)
    # From now on it fails. It is woken once more and gives up within milliseconds.
    node.free(pages=20)
    assert node.look()[0] > 7000
    node.given_up(yes=True)
    node.free(pages=16)
    assert node.look() == (0, True)


@pytest.mark.parametrize("seen", [True, False])
def test_that_kswapd_gave_the_numa_node_up_some_time_ago_says_nothing_of_its_cache(tmp_path, seen):
    """What filled it was freed, so nobody had to reclaim since; now it is full of cache."""
    node = FullOfCache(tmp_path)
    if seen:
        node.free(pages=20)
        node.look()
        node.given_up(yes=True)
        assert node.look() == (0, True)
    else:
        node.given_up(yes=True)
    node.free(pages=500)
    assert node.look() == (8000 - 20 + 500 - 30, False)
    for free in (20, 15, 11):
        node.free(pages=free)
        assert node.look() == (8000 - 20 + free - 30, True)
    # It reclaims, and fails later on.
    node.given_up(yes=False)
    assert node.look()[0] > 7000
    node.given_up(yes=True)
    assert node.look() == (0, True)


def test_an_agent_that_is_started_while_memory_is_short_believes_kswapd(tmp_path):
    node = FullOfCache(tmp_path)
    node.given_up(yes=True)
    node.free(pages=15)
    assert node.look() == (0, True)


@pytest.mark.parametrize(
    ("before", "given_up", "at_ease", "found"),
    [
        ("", "", "0-1", ""),
        ("", "1", "0", ""),  # now, while memory is short
        ("", "1", "1", "1"),
        ("1", "1", "0", "1"),  # short again, and not heard otherwise of
        ("1", "", "0", ""),
        ("0-1", "0", "", "0"),
    ],
)
def test_when_it_was_given_up_counts(before, given_up, at_ease, found):
    sets = {"given_up": NodeSet.parse(given_up), "at_ease": NodeSet.parse(at_ease)}
    assert outdated(NodeSet.parse(before), **sets) == NodeSet.parse(found)


def test_zones_that_take_long_to_read_are_not_read_at_each_look(tmp_path):
    node = FullOfCache(tmp_path)

    def clock() -> float:
        node.now += 0.0025
        return node.now

    node.free(pages=15)
    node.memory = FreeMemory(node.paths, clock=clock)
    assert node.look()[0] > 7000
    node.given_up(yes=True)
    # It took 2.5 ms: not again before a hundred times that is over.
    begun = node.now
    assert node.look()[0] > 7000
    while node.look()[0]:
        pass
    assert 0.25 <= node.now - begun < 0.35


def test_cache_that_memory_min_keeps_is_not_waited_for(tmp_path):
    node = FullOfCache(tmp_path)
    node.minimum(7000)
    node.free(pages=500)
    assert node.look() == (1000 - 20 + 500 - 30, False)
    node.minimum(9000)
    assert node.look() == (500 - 30, False)


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
