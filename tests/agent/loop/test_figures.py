"""What a scrape reads of each pod: pairs of all, faults and stalls of those with a pin."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest
from support.counted import QuietCgroup, QuietTracer

from numapin_agent.census import Census
from numapin_agent.cgroup.activity import Activity
from numapin_agent.cluster import Cluster
from numapin_agent.counters.pairs import PairCounters, Pairs
from numapin_agent.counters.signals import FIELDS, CgroupCounters
from numapin_agent.figures import numa_moves, pages_counted, pod_figures
from numapin_agent.glance import Glances
from numapin_agent.pin.values import Drift, PinReport
from numapin_agent.scraped import NumaMoves, PodFigures
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CgroupError, CounterError
from numapin_api.node import Level, Signal


@dataclass
class Tracer(QuietTracer):
    counted: dict[int, CgroupCounters] = field(default_factory=dict)
    by_pair: dict[int, Pairs] = field(default_factory=dict)
    forgotten: list[int] = field(default_factory=list)
    broken: bool = False

    level: Level = "rawTracepoint"

    def levels(self) -> tuple[Signal, ...]:
        return (
            Signal(name="numaMigrations", level=self.level),
            Signal(name="hintFaults", level="fentry"),
        )

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        return self.counted

    def pairs(self) -> Mapping[int, Pairs]:
        if self.broken:
            raise CounterError("map nodePairs can't be read")
        return self.by_pair

    def forget(self, cgroup_ids: Iterable[int]) -> None:
        for cgroup in cgroup_ids:
            self.forgotten.append(cgroup)
            self.counted.pop(cgroup, None)
            self.by_pair.pop(cgroup, None)


@dataclass
class Cgroup(QuietCgroup):
    malformed: bool = False
    looks: int = 0

    def cpu_nanoseconds(self) -> int:
        return 0

    def residency(self) -> dict[int, int]:
        if self.malformed:
            raise CgroupError("memory.numa_stat")
        return {0: 4096}

    def huge_pages(self) -> dict[int, int]:
        return {0: 2048}

    def activity(self) -> Activity:
        self.looks += 1
        return Activity(page_faults=7)


PINNED, PLAIN = ("shop", "db"), ("shop", "web")
FROM_0 = {(0, 1): PairCounters(1, 10, 100, 0)}


class Scraped:
    """Two pods, the first of which has a pin."""

    def __init__(self, level: Level = "rawTracepoint") -> None:
        self.db, self.web = Cgroup("a", frozenset({1, 2})), Cgroup("b", frozenset({3}))
        self.tracer = Tracer(
            {
                1: CgroupCounters(1, 10, 10, 100),
                3: CgroupCounters(),
                9: CgroupCounters(2, 5, 5, 50),
            },
            {1: FROM_0, 9: FROM_0},
            level=level,
        )
        self.census = Census(clock=lambda: 0.0)
        self.census.replace([self.db, self.web])
        self.census.attach(self.tracer)
        pod = SimpleNamespace
        self.cluster: Any = SimpleNamespace(
            pods=lambda: {PINNED: pod(cgroup_uid="a"), PLAIN: pod(cgroup_uid="b")},
            pins=lambda: {PINNED: SimpleNamespace(spec=SimpleNamespace(socket=1))},
        )

    def figures(self, reports=MappingProxyType({})):
        glances = Glances(topology=lambda: None, clock=lambda: 0.0)
        found = pod_figures(self.census, cast(Cluster, self.cluster), reports, glances)
        return {(f.namespace, f.name): f for f in found}


def test_pairs_are_told_of_each_pod_and_files_are_read_of_those_with_a_pin():
    scraped = Scraped()
    found = scraped.figures()
    assert found[PINNED].pairs == FROM_0
    assert found[PLAIN].pairs == {}
    assert found[PINNED].activity == Activity(page_faults=7)
    assert found[PLAIN].activity is None
    assert (scraped.db.looks, scraped.web.looks) == (1, 0)
    assert found[PLAIN].huge_pages == {0: 2048}


@pytest.mark.parametrize(
    ("level", "counted"),
    [
        ("fentry", FIELDS["numaMigrations"]),
        ("cgroup", ("migrated_pages",)),
        ("none", ()),
    ],
)
def test_only_what_is_counted_is_told(level: Level, counted: tuple[str, ...]):
    found = Scraped(level).figures()[PINNED]
    assert found.counted == {*counted, *FIELDS["hintFaults"]}


def recorded(found: PodFigures) -> tuple[bool | None, int | None, int | None]:
    return found.pinned, found.moved_pages, found.drifts


def test_what_stands_in_a_pods_record_is_told_once_that_was_read():
    """An agent that is started anew would else tell of counters that fall to 0 and jump."""
    scraped = Scraped()
    assert recorded(scraped.figures()[PINNED]) == (False, None, None)
    drift = Drift(CpuSet({1}), NodeSet({0}), 3, datetime.now(UTC))
    reports = {PINNED: PinReport(phase="Pinned", moved_pages=512, drift=drift)}
    assert recorded(scraped.figures(reports)[PINNED]) == (True, 512, 3)
    reports = {PINNED: PinReport(phase="Moving")}
    assert recorded(scraped.figures(reports)[PINNED]) == (False, 0, 0)
    assert recorded(scraped.figures(reports)[PLAIN]) == (None, None, None)


def test_a_container_that_is_gone_stays_in_the_pairs_of_its_pod():
    scraped = Scraped()
    scraped.figures()
    # It moved once more after that, and was restarted in another cgroup.
    scraped.tracer.by_pair[1] = {(0, 1): PairCounters(2, 30, 200, 0)}
    scraped.tracer.by_pair[4] = {(1, 0): PairCounters(1, 1, 1, 0)}
    scraped.db.ids = frozenset({2, 4})
    scraped.census.look(scraped.db)
    expected = {(0, 1): PairCounters(2, 30, 200, 0), (1, 0): PairCounters(1, 1, 1, 0)}
    assert scraped.figures()[PINNED].pairs == expected
    assert scraped.tracer.forgotten == [1]
    assert scraped.figures()[PINNED].pairs == expected


def test_a_container_that_no_scrape_saw_alive_stays_in_the_pairs_of_its_pod():
    """As where nothing scrapes for a while and a container crashes again and again."""
    scraped = Scraped()
    for cgroup in (4, 5, 6):
        scraped.census.read()
        scraped.db.ids = frozenset({2, cgroup})
        scraped.census.look(scraped.db)
        scraped.tracer.by_pair[cgroup] = FROM_0
    scraped.census.read()
    assert scraped.tracer.forgotten == [1, 4, 5]
    expected = {(0, 1): PairCounters(4, 40, 400, 0)}
    assert scraped.figures()[PINNED].pairs == expected
    scraped.census.gone("a")
    assert PINNED not in scraped.figures()
    assert scraped.census.pairs().pods.keys() == {"b"}


def test_pairs_that_cannot_be_read_are_absent_with_all_counters():
    scraped = Scraped()
    scraped.tracer.broken = True
    found = scraped.figures()[PINNED]
    assert (found.totals, found.pairs) == (None, {})


def test_a_malformed_file_costs_only_what_is_in_files():
    scraped = Scraped()
    scraped.db.malformed = True
    found = scraped.figures()[PINNED]
    assert (found.memory, found.activity, found.huge_pages) == ({}, None, {})
    assert found.pairs == FROM_0


def test_compatible_names_count_all_cgroups_of_the_node():
    scraped = Scraped()
    assert numa_moves(scraped.census) == NumaMoves(3, 150)
    assert numa_moves(Census(clock=lambda: 0.0)) is None


@pytest.mark.parametrize(
    ("level", "pages"), [("rawTracepoint", 15), ("cgroup", None), ("none", None)]
)
def test_the_node_is_told_only_where_all_its_cgroups_are_counted(
    level: Level, pages: int | None
) -> None:
    """From files only pods are, so the sum would never agree with the kernel's own."""
    scraped = Scraped(level)
    assert scraped.figures()[PINNED].totals is not None
    assert pages_counted(scraped.census) == pages
    assert (numa_moves(scraped.census) is None) == (pages is None)
