"""What an agent's page says, and how fast its counters grow."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.exposition import page
from numapin_agent.glance import Glance
from numapin_agent.metrics import Figures
from numapin_agent.scraped import NodeFigures, PodFigures
from numapin_api.node import Signal
from numapin_cli.live.exposition import read
from numapin_cli.live.rates import between, growth, local_percent, restarted
from numapin_cli.live.values import AgentReading, Counts, PairCounts, PodReading

KEY = ("shop", "redis-0")


def text(*pods: PodFigures, alive: bool | None = True, lost: int = 3) -> str:
    """A page as the agent writes it."""
    node = NodeFigures(
        pages_migrated=5,
        pages_counted=5,
        signals=(Signal(name="numaMigrations", level="fentry"),),
        lost=lost,
        tracer_alive=alive,
        loop_silent_seconds=0.1,
        writes_pending=0,
    )
    registry = CollectorRegistry()
    registry.register(Figures(pods=lambda: pods, node=lambda: node))
    return page(registry).decode()


def test_reads_what_the_agent_writes():
    pod = PodFigures(
        namespace="shop",
        name="redis-0",
        totals=CgroupCounters(
            migrated_pages=100,
            cross_socket_migrated_pages=80,
            migration_nanoseconds=2_500_000_000,
            hint_fault_pages_local=7,
            hint_fault_pages_remote=5,
            cross_socket_task_migrations=3,
        ),
        memory={0: 4096, 1: 1 << 33},
        socket=1,
        pinned=True,
        moved_pages=9,
        cpu_nanoseconds=1_500_000_000,
        glance=Glance(threads=4),
    )
    found = read(text(pod), at=12.5)
    assert (found.at, found.alive, found.lost, found.since) == (12.5, True, 3, None)
    assert found.pods == {
        KEY: PodReading(
            counts=Counts(100, 80, 2.5, 7, 5, 3, cpu_seconds=1.5),
            memory={0: 4096, 1: 1 << 33},
            pinned=True,
            socket=1,
            threads=4,
        )
    }


def test_a_pod_of_which_little_is_known():
    bare = PodFigures("shop", "a", totals=None, memory={0: 1})
    kept = PodFigures("shop", "b", CgroupCounters(), {}, glance=Glance(1, confined=(0, 1)))
    waiting = PodFigures("shop", "c", CgroupCounters(), {}, pinned=False)
    found = read(text(bare, kept, waiting, alive=None), at=1)
    assert found.alive is None
    a, b, c = (found.pods["shop", name] for name in "abc")
    assert (a.counts, a.pinned, a.threads, a.resident) == (None, None, None, 1)
    assert (b.counts, b.confined, b.threads) == (Counts(), (0, 1), 1)
    assert (c.pinned, c.socket) == (False, None)


def test_what_an_agent_does_not_count_is_not_zero():
    """As an agent does that has only memory.stat: pages, but neither where to nor how long."""
    files = PodFigures(
        *KEY, CgroupCounters(migrated_pages=9), {}, counted=frozenset({"migrated_pages"})
    )
    assert read(text(files), at=0).pods[KEY].counts == Counts(9, None, None, None, None, None)


PAIRS = """\
# TYPE numapin_pod_numa_migrated_pages_total counter
numapin_pod_numa_migrated_pages_total{namespace="shop",pod="redis-0"} 9
# TYPE numapin_pod_node_pair_migrated_pages_total counter
numapin_pod_node_pair_migrated_pages_total{PODfrom_numa_node="0",to_numa_node="1"} 7
numapin_pod_node_pair_migrated_pages_total{PODfrom_numa_node="unknown",to_numa_node="1"} 2
# TYPE numapin_pod_node_pair_migration_seconds_total counter
numapin_pod_node_pair_migration_seconds_total{PODfrom_numa_node="0",to_numa_node="1"} 0.5
# TYPE numapin_pod_node_pair_hint_fault_pages_total counter
numapin_pod_node_pair_hint_fault_pages_total{PODcpu_numa_node="1",memory_numa_node="0"} 11
# TYPE numapin_agent_counting_since_timestamp_seconds gauge
numapin_agent_counting_since_timestamp_seconds 1.7e9
# TYPE something_else gauge
something_else{x="y"} 1
""".replace("POD", 'namespace="shop",pod="redis-0",')


def test_pairs_of_numa_nodes_and_since_when_counts_go():
    found = read(PAIRS, at=0)
    assert found.since == 1.7e9
    counts = found.pods[KEY].counts
    assert counts is not None
    # A hint fault is filed under the way that its page would go.
    assert counts.pairs == {(0, 1): PairCounts(7, 0.5, 11), (None, 1): PairCounts(2)}


@pytest.mark.parametrize(
    "line",
    [
        'numapin_pod_numa_migrated_pages_total{pod="a"} 1',
        'numapin_pod_numa_migrated_pages_total{namespace="n",pod="a"} x',
        'numapin_pod_memory_resident_bytes{namespace="n",pod="a",numa_node="x"} 1',
    ],
)
def test_what_is_no_page_of_an_agent_is_refused(line):
    with pytest.raises(ValueError, match=r".+"):
        read(line, at=0)


def test_a_page_of_something_else_has_no_pods():
    assert read("<html>hello</html>", at=0).pods == {}


def reading(at: float, counts: Counts | None, **change: object) -> AgentReading:
    return replace(AgentReading(at=at, pods={KEY: PodReading(counts)}), **change)


amounts = st.floats(0, 1e12, allow_nan=False)
counts = st.builds(
    Counts,
    *[amounts] * 6,
    cpu_seconds=st.none() | amounts,
    pairs=st.dictionaries(
        st.tuples(*[st.none() | st.integers(0, 3)] * 2), st.builds(PairCounts, *[amounts] * 3)
    ),
)


@given(counts, counts, st.floats(0.1, 1e4))
def test_a_rate_is_the_growth_or_nothing(first, last, seconds):
    rates = between(reading(10, first), reading(10 + seconds, last))
    if KEY not in rates:
        assert growth(first, last) is None
        return
    grown = rates[KEY].counts
    assert min(grown.pages, grown.cross_pages, grown.seconds, grown.hints, grown.tasks) >= 0
    assert all(min(p.pages, p.seconds, p.hint_pages) >= 0 for p in grown.pairs.values())
    assert rates[KEY].per_second(grown.pages) * rates[KEY].seconds == pytest.approx(
        last.pages - first.pages
    )


@given(counts)
def test_what_stands_still_has_grown_by_nothing(same):
    grown = growth(same, same)
    assert grown is not None
    assert (grown.pages, grown.seconds, grown.hints, grown.cpu_seconds or 0) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        (None, reading(2, Counts(1)), "there is no first"),
        (reading(2, Counts(1)), reading(2, Counts(2)), "no time has passed"),
        (reading(1, Counts(5)), reading(2, Counts(4)), "another pod of that name, or agent"),
        (reading(1, None), reading(2, Counts(4)), "was not counted"),
        (reading(1, Counts(4)), reading(2, None), "is not counted any more"),
        (reading(1, Counts(1), pods={}), reading(2, Counts(4)), "was not there"),
        (reading(1, Counts(1), since=5.0), reading(2, Counts(9), since=6.0), "a gap"),
        (reading(1, Counts(cpu_seconds=2)), reading(2, Counts(cpu_seconds=1)), "another pod"),
        (
            reading(1, Counts(pairs={(0, 1): PairCounts(1)})),
            reading(2, Counts(pairs={})),
            "a pair that is gone",
        ),
    ],
)
def test_no_rate_where_counting_was_not_whole(first, last, why):
    assert between(first, last) == {}, why


def test_an_agent_that_was_started_anew_is_told_from_a_pod_that_was():
    other = ("shop", "redis-1")
    first = AgentReading(1, pods={KEY: PodReading(Counts(5)), other: PodReading(Counts(5))})
    pod_anew = replace(first, pods={KEY: PodReading(Counts(1)), other: PodReading(Counts(6))})
    all_anew = replace(first, pods={KEY: PodReading(Counts(1)), other: PodReading(Counts(0))})
    assert not restarted(None, first)
    assert not restarted(first, first)
    assert not restarted(first, pod_anew)
    assert restarted(first, all_anew)
    assert restarted(replace(first, since=1.0), replace(first, since=2.0))


@pytest.mark.parametrize(
    ("local", "remote", "threads", "share"),
    [
        (75, 25, 2, 75.0),
        (75, 25, 1, None),
        (75, 25, None, None),
        (74, 25, 8, None),
        (0, 0, 8, None),
    ],
)
def test_a_share_only_where_it_means_something(local, remote, threads, share):
    assert local_percent(Counts(hint_local=local, hint_remote=remote), threads) == share
