"""Rates from counters: what is counted, what a restart loses, what is never invented."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_lab.demo.series import (
    NAMES,
    WHOLE_NODE,
    PodCounters,
    Rates,
    Second,
    difference_percent,
    increase,
    mean,
    pages_per_second,
    per_interval,
)

POD = ("demo", "hopper")


def at(time, pages=None, **more):
    pods = {} if pages is None else {POD: PodCounters(migrated_pages=pages, **more)}
    return Second(time=time, pods=pods)


@pytest.mark.parametrize(
    ("name", "readings", "expected"),
    [
        ("steady", [at(0, 0), at(1, 100), at(2, 300)], [(1, 100), (2, 200)]),
        ("late reading", [at(0, 0), at(4, 100)], [(4, 25)]),
        ("agent restarted", [at(0, 900), at(1, 1000), at(2, 40)], [(1, 100), (2, 40)]),
        ("agent away for a while", [at(0, 10), at(1), at(3, 40)], [(3, 10)]),
        ("pod appears later", [at(0), at(1, 5), at(2, 6)], [(2, 1)]),
        ("one reading has no rate", [at(0, 7)], []),
        ("same moment twice", [at(0, 7), at(0, 9), at(1, 9)], [(1, 0)]),
        ("nothing", [], []),
    ],
)
def test_per_interval(name, readings, expected):
    assert [(r.time, r.pages_per_second) for r in per_interval(readings, POD)] == expected


def test_all_rates_of_one_interval():
    rates = Rates(
        time=2,
        seconds=2,
        counted=PodCounters(
            migrated_pages=2000,
            cross_socket_migrated_pages=1000,
            migration_nanoseconds=50_000_000,
            hint_fault_pages_local=300,
            hint_fault_pages_remote=100,
            cross_socket_task_migrations=4,
        ),
    )
    assert rates.pages_per_second == 1000
    assert rates.cross_socket_pages_per_second == 500
    assert rates.milliseconds_per_second == 25
    assert rates.task_migrations_per_second == 2
    assert rates.local_percent == 75


def test_no_hint_fault_is_not_a_hundred_percent():
    assert Rates(time=1, seconds=1, counted=PodCounters()).local_percent is None


def test_mean_weighs_by_time():
    readings = [at(0, 0), at(1, 100), at(11, 200)]
    found = mean(per_interval(readings, POD))
    assert found is not None
    assert (found.seconds, found.pages_per_second) == (11, pytest.approx(200 / 11))


def test_mean_of_nothing():
    assert mean([]) is None


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_interval_without_length(seconds):
    with pytest.raises(ValueError, match="has no rate"):
        Rates(time=1, seconds=seconds, counted=PodCounters())


def node(time, pages=None):
    pods = {("demo", "a"): PodCounters(migrated_pages=7 * int(time))}
    if pages is not None:
        pods[WHOLE_NODE] = PodCounters(migrated_pages=pages)
    return Second(time=time, pods=pods)


@pytest.mark.parametrize(
    ("name", "readings", "expected"),
    [
        ("steady", [node(0, 5), node(10, 105)], 10),
        ("a gap", [node(0, 0), node(5), node(10, 20)], 2),
        ("agent restarts", [node(0, 900), node(5, 10), node(10, 20)], 2),
        ("never read", [node(0), node(5)], None),
        ("read once", [node(0, 1)], None),
    ],
)
def test_the_whole_node(name, readings, expected):
    assert pages_per_second(readings, WHOLE_NODE) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(105, 100, 5), (95, 100, -5), (0, 0, 0), (1, 0, float("inf"))],
)
def test_difference(ours, theirs, expected):
    assert difference_percent(ours, theirs) == pytest.approx(expected)


counts = st.integers(min_value=0, max_value=2**63)


@given(st.lists(counts, min_size=2))
def test_never_negative_and_exact_without_restarts(values):
    grown = sorted(values)
    total = sum(increase(a, b) for a, b in itertools.pairwise(grown))
    assert total == grown[-1] - grown[0]
    assert all(increase(a, b) >= 0 for a, b in itertools.pairwise(values))


@given(st.lists(counts, min_size=len(NAMES), max_size=len(NAMES)))
def test_since_then_add_gives_the_later_reading(values):
    later = PodCounters(*values)
    earlier = PodCounters(*(v // 2 for v in values))
    assert earlier + later.since(earlier) == later
