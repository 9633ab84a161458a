"""How much of the kernel's counters is read, and how often."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from numapin_agent.census import Census
from numapin_agent.counters.signals import CgroupCounters
from numapin_api.node import Signal
from numapin_api.topology import Topology

KERNEL = {1: 10, 2: 20, 3: 30}


@dataclass
class Tracer:
    """One page more in each cgroup at each reading, and what was asked for."""

    asked: list[set[int] | None] = field(default_factory=list)

    def levels(self) -> tuple[Signal, ...]:
        return (Signal(name="numaMigrations", level="fentry"),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        self.asked.append(None if only is None else set(only))
        return {
            cgroup: CgroupCounters(migrated_pages=pages + len(self.asked))
            for cgroup, pages in KERNEL.items()
            if only is None or cgroup in only
        }

    def forget(self, cgroup_ids: Iterable[int]) -> None: ...

    def lost(self) -> int:
        return 0

    def alive(self) -> bool:
        return True

    def follow(self, topology: Topology) -> None: ...


@dataclass
class Cgroup:
    uid: str
    ids: frozenset[int]

    def cgroup_ids(self) -> frozenset[int]:
        return self.ids

    def cpu_nanoseconds(self) -> int:
        return 5

    def numa_pages_migrated(self) -> int | None:
        return None

    def residency(self) -> dict[int, int]:
        return {}


class Counted:
    def __init__(self) -> None:
        self.now = 100.0
        self.census = Census(clock=lambda: self.now)
        self.census.replace([Cgroup("a", frozenset({1, 2})), Cgroup("b", frozenset({3}))])
        self.tracer = Tracer()
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
