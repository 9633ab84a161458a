"""CPU use of sockets: right, slow to change, and never out of range."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import sysfs_tree

from numapin_agent.load import CALM_SECONDS, FIRST_SECONDS, Load, Sample, Ticks, moved, ticks

TWO = sysfs_tree.expected(sysfs_tree.machine(sockets=2, cpus=2))
STAT = """\
cpu  1000 20 300 90000 50 6 7 8 0 0
cpu0 100 20 30 9000 5 6 7 8 50 0
cpu12 1 0 0 9 0 0 0
cpu3 5
intr 12345 0 0
cpuX 1 2 3
"""


def test_busy_is_all_but_idle_and_waiting() -> None:
    """user, nice, system, irq, softirq, steal; old kernels have fewer columns."""
    busy = 100 + 20 + 30 + 6 + 7 + 8
    assert ticks(STAT) == {0: (busy, busy + 9000 + 5), 12: (1, 10), 3: (5, 5)}


@pytest.mark.parametrize("text", ["", "no such file", "cpu 1 2 3"])
def test_what_is_no_proc_stat_has_no_cpus(text: str) -> None:
    assert ticks(text) == {}


def watched(
    rate: Mapping[int, float], seconds: float, *, start: Load | None = None, hertz: int = 100
) -> Load:
    """CPUs that are busy at a steady rate, looked at each 10 s."""
    found = start or Load()
    at = found.last.at if found.last else 0.0
    counted = dict(found.last.ticks) if found.last else dict.fromkeys(range(4), Ticks(1000, 9000))
    end = at + seconds
    if found.last is None:
        found = found.after(Sample(at, counted), TWO)
    while at < end:
        at += 10
        counted = {
            c: Ticks(t.busy + round(10 * hertz * rate.get(c, 0)), t.all + 10 * hertz)
            for c, t in counted.items()
        }
        found = found.after(Sample(at, counted), TWO)
    return found


def test_nothing_is_told_before_a_minute_has_passed() -> None:
    assert watched({0: 1}, FIRST_SECONDS - 10).millicores is None
    assert watched({0: 1}, FIRST_SECONDS).millicores == {0: 1000, 1: 0}


def test_a_steady_load_is_told_as_it_is() -> None:
    assert watched({0: 0.5, 1: 0.25, 3: 1}, 600).millicores == {0: 750, 1: 1000}


def test_ticks_that_a_hypervisor_swallows_are_neither_busy_nor_idle() -> None:
    """Seen on emulated nodes: 72 ticks counted in a second of 100."""
    found = watched({0: 0.5, 1: 0.25, 3: 1}, 600, hertz=72).millicores
    assert found == {0: 750, 1: 1000}


def test_a_change_is_followed_within_minutes_and_not_at_once() -> None:
    idle = watched({}, 3600)
    soon = watched({0: 1, 1: 1}, 30, start=idle).millicores
    later = watched({0: 1, 1: 1}, 1200, start=idle).millicores
    assert soon is not None
    assert later is not None
    assert soon[0] < 200
    assert later[0] > 1900
    assert not moved({0: 0, 1: 0}, soon, TWO, calm=False)


@pytest.mark.parametrize(("cpus", "most"), [(2, 160), (8, 120), (48, 24)])
def test_noise_is_no_news(cpus: int, most: int) -> None:
    """CPUs that are idle or busy by chance, 10 s each, for half a day.

    The smallest socket, which nothing averages out, is written each 4½ minutes at most.
    """
    chance = random.Random(1)
    topology = sysfs_tree.expected(sysfs_tree.machine(sockets=2, cpus=cpus))
    load, writes, last = Load(), 0, 0.0
    told: Mapping[int, int] = {}
    counted = dict.fromkeys(range(2 * cpus), Ticks(0, 0))
    for n in range(4320):
        load = load.after(Sample(10.0 * n, counted), topology)
        calm = 10.0 * n - last >= CALM_SECONDS
        if load.millicores is not None and moved(told, load.millicores, topology, calm=calm):
            told, writes, last = load.millicores, writes + 1, 10.0 * n
        counted = {
            c: Ticks(t.busy + chance.choice((0, 1000)), t.all + 1000) for c, t in counted.items()
        }
    assert writes <= most


def test_another_topology_begins_anew() -> None:
    busy = watched({0: 1}, 600)
    assert busy.last is not None
    other = sysfs_tree.expected(sysfs_tree.machine(sockets=2, cpus=3))
    assert busy.after(Sample(9999, busy.last.ticks), other).millicores is None


def test_a_clock_that_stands_still_counts_for_nothing() -> None:
    busy = watched({0: 1}, 600)
    assert busy.last is not None
    assert busy.after(Sample(busy.last.at, {0: Ticks(99999, 99999)}), TWO) is busy


@pytest.mark.parametrize(
    ("old", "new", "at_once", "when_calm"),
    [
        ({0: 0, 1: 0}, {0: 59, 1: 59}, False, False),
        ({0: 0, 1: 0}, {0: 0, 1: 60}, False, True),
        ({0: 0, 1: 0}, {0: 199, 1: 199}, False, True),
        ({0: 0, 1: 0}, {0: 0, 1: 200}, True, True),
        ({0: 2000, 1: 0}, {0: 1800, 1: 0}, True, True),
        ({}, {0: 0, 1: 0}, True, True),
        ({0: 0, 1: 0}, {0: 0}, True, True),
    ],
)
def test_moved_by_a_tenth_of_the_socket_or_by_less_when_it_is_calm(
    old: dict[int, int], new: dict[int, int], at_once: bool, when_calm: bool
) -> None:
    assert moved(old, new, TWO, calm=False) is at_once
    assert moved(old, new, TWO, calm=True) is when_calm


def test_a_pod_of_minimum_gain_that_leaves_shows_before_its_move_is_judged() -> None:
    """One that took 10 % of the socket: half of that must be published within ten minutes."""
    load = watched({0: 1, 1: 0.8}, 3600)
    assert load.millicores is not None
    told, last = load.millicores, 0.0
    for at in range(10, 601, 10):
        load = watched({0: 1, 1: 0.6}, 10, start=load)
        assert load.millicores is not None
        if moved(told, load.millicores, TWO, calm=at - last >= CALM_SECONDS):
            told, last = load.millicores, at
    assert told[0] <= 1800 - 100


samples = st.lists(
    st.tuples(
        st.floats(0, 1e5),
        st.dictionaries(
            st.integers(0, 5),
            st.builds(Ticks, st.integers(0, 1 << 40), st.integers(0, 1 << 40)),
            max_size=6,
        ),
    ),
    max_size=20,
)


@given(samples)
def test_use_is_never_more_than_the_socket_has_nor_less_than_nothing(
    found: list[tuple[float, dict[int, Ticks]]],
) -> None:
    load = Load()
    for at, busy in found:
        load = load.after(Sample(at, busy), TWO)
    for used in (load.millicores or {}).values():
        assert 0 <= used <= 2000
