"""How much of the kernel's counters is read, and how often."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pytest
from support.counted import QuietCgroup, QuietTracer

from numapin_agent.census import Census
from numapin_agent.counters.pairs import PairCounters, Pairs
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.ledger import Refaults
from numapin_api.errors import CgroupError, CounterError
from numapin_api.node import Level, Signal

KERNEL = {1: 10, 2: 20, 3: 30}


@dataclass
class Tracer(QuietTracer):
    """One page more in each cgroup at each reading, and what was asked for."""

    asked: list[set[int] | None] = field(default_factory=list)
    by_pair: dict[int, Pairs] = field(default_factory=dict)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        self.asked.append(None if only is None else set(only))
        return {
            cgroup: CgroupCounters(migrated_pages=pages + len(self.asked))
            for cgroup, pages in KERNEL.items()
            if only is None or cgroup in only
        }

    def pairs(self) -> Mapping[int, Pairs]:
        return self.by_pair


@dataclass
class Cgroup(QuietCgroup):
    refaulted: list[int | None] = field(default_factory=list)
    """What each look into its files finds; the last for ever."""
    looks: int = 0

    def page_cache_refaults(self) -> int | None:
        if not self.refaulted:
            raise CgroupError("memory.stat is malformed")
        self.looks += 1
        return self.refaulted[min(self.looks, len(self.refaulted)) - 1]


class Counted:
    def __init__(self, tracer: Tracer | None = None) -> None:
        self.now = 100.0
        self.census = Census(clock=lambda: self.now)
        self.census.replace([Cgroup("a", frozenset({1, 2})), Cgroup("b", frozenset({3}))])
        self.tracer = tracer or Tracer()
        self.census.attach(self.tracer)

    def pages(self, uid: str) -> int:
        pod = self.census.pod(uid)
        return pod.totals().migrated_pages if pod else 0


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_a_sample_of_one_pod_reads_no_other_cgroup(counted: Counted) -> None:
    counted.census.sample()
    assert (counted.pages("a"), counted.pages("b")) == (32, 31)
    counted.now += 1
    assert counted.census.sample_pod("a") == 101.0
    assert counted.tracer.asked == [None, {1, 2}]
    assert (counted.pages("a"), counted.pages("b")) == (34, 31)
    last = counted.census.last_sample("a")
    assert last is not None
    assert (last.at, last.totals.migrated_pages) == (101.0, 34)


def test_files_are_looked_into_once_for_each_whole_look_at_pods(counted: Counted) -> None:
    one, other = Cgroup("a", frozenset({1}), [7, 57, 64]), Cgroup("b", frozenset({3}))
    counted.census.replace([one, other])
    for seconds in (0, 10, 10):
        counted.now += seconds
        counted.census.sample()
    assert one.looks == 1
    pod = counted.census.pod("a")
    assert pod is not None
    assert [s.refaults for s in pod.history] == [Refaults(100.0, 7), None, None]
    counted.now += 5
    at = counted.census.sample_pod("a")
    pod = counted.census.pod("a")
    assert pod is not None
    past = pod.before(at)
    assert past is not None
    assert past.refaults_per_second == 50 / 25
    unreadable = counted.census.pod("b")
    assert unreadable is not None
    assert unreadable.history[0].refaults is None


def test_what_a_tick_left_out_is_added_to_its_sample(counted: Counted) -> None:
    one = Cgroup("a", frozenset({1}), [7, 9])
    counted.census.replace([one])
    counted.census.sample()
    counted.now += 10
    counted.census.sample()
    counted.now += 0.5
    counted.census.look_into_files("a")
    counted.census.look_into_files("nobody")
    last = counted.census.last_sample("a")
    assert last is not None
    assert (last.at, last.refaults) == (110.0, Refaults(110.5, 9))


def test_a_sample_of_a_pod_without_a_cgroup_reads_nothing(counted: Counted) -> None:
    counted.census.sample_pod("c")
    assert counted.tracer.asked == []
    assert counted.census.last_sample("c") is None


def test_what_was_just_read_is_not_read_again(counted: Counted) -> None:
    counted.census.read()
    counted.now += 0.5
    assert counted.census.recent(seconds=0.5).node.totals().migrated_pages == 63
    counted.now += 0.1
    assert counted.census.recent(seconds=0.5).node.totals().migrated_pages == 66
    assert counted.tracer.asked == [None, None]


@dataclass
class Fixed(Tracer):
    """What the kernel's maps hold, until told otherwise."""

    holds: dict[int, int] = field(default_factory=dict)
    level: Level = "fentry"

    def levels(self) -> tuple[Signal, ...]:
        return (Signal(name="numaMigrations", level=self.level),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        return {c: CgroupCounters(migrated_pages=n) for c, n in self.holds.items()}


def test_new_maps_add_to_what_the_old_ones_held() -> None:
    old = Fixed(holds={1: 10, 3: 5})
    counted = Counted(old)
    counted.census.sample()
    old.holds[1] = 12  # between the last look and the gap
    new = Fixed(holds={1: 7})  # counted since it was loaded, beside the old one
    counted.census.interrupted(new)
    assert counted.pages("a") == 12
    counted.census.read()
    assert counted.pages("a") == 12
    new.holds[1] += 100
    new.holds[9] = 3  # of a cgroup that the old one never saw
    counted.census.read()
    assert counted.pages("a") == 12 + 100
    assert counted.pages("b") == 5
    assert counted.census.read().node.totals().migrated_pages == 12 + 100 + 5 + 3
    counted.census.interrupted(Fixed())
    counted.census.read()
    assert counted.pages("a") == 12 + 100


def test_what_new_maps_held_counts_where_the_old_ones_can_not_be_read() -> None:
    old = Fixed(holds={1: 10})
    counted = Counted(old)
    counted.census.sample()

    def gone(only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        raise CounterError("map numaMigrations can't be read")

    old.read = gone  # type: ignore[method-assign]
    counted.census.interrupted(Fixed(holds={1: 7}))
    counted.census.read()
    assert counted.pages("a") == 10 + 7


def moved(pages: int) -> Pairs:
    return {(0, 1): PairCounters(migrated_pages=pages)}


def test_new_maps_add_to_the_pairs_that_the_old_ones_held() -> None:
    old = Fixed(holds={1: 10}, by_pair={1: moved(10)})
    counted = Counted(old)
    counted.census.read()
    assert counted.census.pairs().pods["a"].totals == moved(10)
    old.by_pair[1] = moved(12)  # between the last scrape and the gap
    new = Fixed(holds={1: 7}, by_pair={1: moved(7)})
    counted.census.interrupted(new)
    counted.census.read()
    assert counted.census.pairs().pods["a"].totals == moved(12)
    new.holds[1], new.by_pair[1] = 107, moved(107)
    counted.census.read()
    assert counted.census.pairs().pods["a"].totals == moved(112)
    counted.census.interrupted(new)
    counted.census.read()
    assert counted.census.pairs().pods["a"].totals == moved(112)


def test_the_same_maps_are_not_added_twice() -> None:
    same = Fixed(holds={1: 10})
    counted = Counted(same)
    counted.census.read()
    counted.census.interrupted(same)
    same.holds[1] = 11
    counted.census.read()
    assert counted.pages("a") == 11


def test_what_memory_stat_says_is_the_kernels_and_outlives_new_maps() -> None:
    counted = Counted(Fixed(level="cgroup"))
    member = Cgroup("a", frozenset({1}))
    member.numa_pages_migrated = lambda: 30  # type: ignore[method-assign]
    counted.census.replace([member])
    counted.census.read()
    assert counted.pages("a") == 30
    counted.census.interrupted(Fixed(level="cgroup"))
    counted.census.read()
    assert counted.pages("a") == 30


def test_no_baseline_reaches_back_over_a_gap() -> None:
    counted = Counted()
    counted.census.sample()
    counted.now += 30
    counted.census.sample()
    pod = counted.census.pod("a")
    assert pod is not None
    assert pod.before(counted.now) is not None
    counted.census.interrupted(Fixed(holds={1: 1}))
    counted.now += 1
    counted.census.sample()
    pod = counted.census.pod("a")
    assert pod is not None
    assert pod.before(counted.now) is None
    assert [s.epoch for s in pod.history] == [1]
    counted.now += 5
    at = counted.census.sample_pod("a")
    pod = counted.census.pod("a")
    assert pod is not None
    window = pod.before(at)
    assert window is not None
    assert window.seconds == 5
