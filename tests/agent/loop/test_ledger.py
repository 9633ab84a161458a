"""Totals survive container restarts, and windows are differences of them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.ledger import (
    HISTORY_SECONDS,
    ZERO,
    Ledger,
    PodLedger,
    Refaults,
    Sample,
    difference,
    window,
)

POD, APP, SIDECAR, RESTARTED = 10, 11, 12, 13


def pages(n: int) -> CgroupCounters:
    return CgroupCounters(migrations=n, migrated_pages=n)


def totals(ledger: Ledger, uid: str = "pod") -> int:
    return ledger.pods[uid].totals().migrated_pages


def test_a_pod_is_the_sum_of_its_cgroups() -> None:
    ledger, dead = Ledger().fold({APP: pages(3), SIDECAR: pages(4)}, {"pod": {POD, APP, SIDECAR}})
    assert totals(ledger) == 7
    assert not dead


def test_a_dead_container_stays_in_the_total_and_may_be_forgotten() -> None:
    ledger, _ = Ledger().fold({APP: pages(3)}, {"pod": {POD, APP}})
    # It counted once more after the last look, and died.
    ledger, dead = ledger.fold({APP: pages(5), RESTARTED: pages(1)}, {"pod": {POD, RESTARTED}})
    assert (totals(ledger), dead) == (6, {APP})
    # The kernel has forgotten it: nothing changes.
    ledger, dead = ledger.fold({RESTARTED: pages(1)}, {"pod": {POD, RESTARTED}})
    assert (totals(ledger), dead) == (6, frozenset())


def test_a_pod_that_is_gone_is_forgotten_with_its_cgroups() -> None:
    ledger, _ = Ledger().fold({APP: pages(3)}, {"pod": {POD, APP}})
    ledger, dead = ledger.fold({APP: pages(3)}, {})
    assert ledger.pods == {}
    assert dead == {POD, APP}


def test_counters_of_other_cgroups_are_left_alone() -> None:
    ledger, dead = Ledger().fold({99: pages(9)}, {"pod": {POD}})
    assert totals(ledger) == 0
    assert not dead


def test_the_node_is_the_sum_of_all_cgroups_that_ever_counted() -> None:
    ledger, _ = Ledger().fold({APP: pages(3), 99: pages(9)}, {"pod": {POD, APP}})
    assert ledger.node.totals().migrated_pages == 12
    # The pod is gone and its cgroup forgotten; 99, which is no pod's, counts on.
    ledger, _ = ledger.fold({99: pages(10)}, {})
    assert ledger.node.totals().migrated_pages == 13


def test_a_kernel_map_made_anew_takes_nothing_away() -> None:
    ledger, _ = Ledger().fold({APP: pages(100)}, {"pod": {APP}})
    ledger, _ = ledger.fold({APP: pages(2)}, {"pod": {APP}})
    assert totals(ledger) == 102


def test_a_look_at_one_pod_leaves_the_dead_for_a_look_at_all() -> None:
    everyone = {"pod": {APP, SIDECAR}, "other": {99}}
    ledger, _ = Ledger().fold({APP: pages(3), SIDECAR: pages(4), 99: pages(9)}, everyone)
    # The sidecar died after one more page, which only a look at all cgroups finds.
    ledger = ledger.fold_pod("pod", {APP: pages(5), RESTARTED: pages(1)}, {APP, RESTARTED})
    assert (totals(ledger), totals(ledger, "other")) == (10, 9)
    readings = {APP: pages(5), SIDECAR: pages(5), RESTARTED: pages(1), 99: pages(9)}
    ledger, dead = ledger.fold(readings, {"pod": {APP, RESTARTED}, "other": {99}})
    assert (totals(ledger), dead) == (11, {SIDECAR})


counts = st.integers(min_value=0, max_value=50)
steps = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 5), counts), st.frozensets(st.integers(0, 5), max_size=6)
    ),
    max_size=12,
)


@given(steps)
def test_totals_equal_what_was_counted_while_a_cgroup_was_ours(
    history: list[tuple[dict[int, int], frozenset[int]]],
) -> None:
    """Cgroups grow by the first, live when in the second; a dead one's id never comes back."""
    kernel: dict[int, int] = {}
    ledger, ever_dead, before, owned = Ledger(), set[int](), 0, dict[int, int]()
    for growth, members in history:
        live = members - ever_dead
        for cgroup, more in growth.items():
            if cgroup not in ever_dead:
                kernel[cgroup] = kernel.get(cgroup, 0) + more
        previous = set(owned) - ever_dead
        ledger, dead = ledger.fold({c: pages(n) for c, n in kernel.items()}, {"pod": live})
        assert dead == previous - live
        for cgroup in live | dead:
            owned[cgroup] = kernel.get(cgroup, 0)
        ever_dead |= dead
        for cgroup in dead:
            kernel.pop(cgroup, None)
        now = totals(ledger)
        assert now == sum(owned.values())
        assert now >= before
        before = now


def history(at_pages: Mapping[float, int]) -> PodLedger:
    pod = PodLedger()
    for at, n in at_pages.items():
        pod, _ = pod.fold({APP: pages(n)}, {APP})
        pod = pod.sampled(at, cpu_nanoseconds=int(at * 1e9))
    return pod


@pytest.mark.parametrize(
    ("samples", "at", "since", "seconds", "counted"),
    [
        # every 10 s; a baseline is at most a minute
        ({t: 5 * int(t) for t in range(0, 90, 10)}, 80, 20, 60, 300),
        # younger than a minute: what there is
        ({0: 0, 10: 7, 20: 9}, 20, 0, 20, 9),
        # samples after the pin don't count
        ({0: 0, 10: 7, 20: 9}, 15, 0, 10, 7),
        # ticks are late now and then
        ({0: 0, 13: 1, 25: 2, 61: 3, 73: 10}, 73, 13, 60, 9),
    ],
)
def test_a_baseline_ends_at_the_pin(
    samples: Mapping[float, int], at: float, since: float, seconds: float, counted: int
) -> None:
    window = history(samples).before(at)
    assert window is not None
    assert (window.since, window.seconds) == (since, seconds)
    assert window.counted == pages(counted)
    assert window.cpu_nanoseconds == seconds * 1e9


def test_refaults_before_the_pin_are_those_of_the_whole_history() -> None:
    """They are looked up once a minute, so a baseline of a minute may hold one look only."""
    pod = PodLedger()
    looked = {0: Refaults(0, 100), 60: Refaults(60, 400), 80: Refaults(80, 900)}
    for at in range(0, 90, 10):
        pod = pod.sampled(at, cpu_nanoseconds=0, refaults=looked.get(at))
    before = pod.before(80)
    assert before is not None
    assert (before.since, before.refaults_per_second) == (20, 10)
    earlier = pod.before(70)
    assert earlier is not None
    assert earlier.refaults_per_second == 5


@pytest.mark.parametrize(
    ("first", "last", "rate"),
    [
        (Refaults(0, 5), Refaults(10, 25), 2.0),
        (Refaults(0, 5), Refaults(10, 5), 0.0),
        (Refaults(0, 5), Refaults(10, 4), None),  # another cgroup of the same name
        (Refaults(3, 5), Refaults(3, 5), None),
        (None, Refaults(10, 4), None),
        (Refaults(0, 5), None, None),
    ],
)
def test_refaults_of_a_window(first: Refaults | None, last: Refaults | None, rate: float) -> None:
    found = window(Sample(0, ZERO, 0, refaults=first), Sample(60, ZERO, 0, refaults=last))
    assert found.refaults_per_second == rate


def test_refaults_are_noted_only_of_pods_with_a_sample() -> None:
    ledger, _ = Ledger().fold({}, {"a": {APP}})
    assert ledger.noted("a", Refaults(1, 1)) == ledger
    assert ledger.noted("b", Refaults(1, 1)) == ledger


@pytest.mark.parametrize("samples", [{}, {5: 1}])
def test_no_baseline_without_two_samples(samples: Mapping[float, int]) -> None:
    assert history(samples).before(5) is None


def test_history_is_bounded_in_time() -> None:
    pod = history(dict.fromkeys(range(0, 1000, 10), 0))
    assert [s.at for s in pod.history] == list(range(990 - int(HISTORY_SECONDS), 1000, 10))
    assert pod.history_seconds(995) == 995 - pod.history[0].at


def test_two_looks_at_one_moment_are_one_sample() -> None:
    pod = history({10: 1}).sampled(10, cpu_nanoseconds=3)
    assert [(s.at, s.cpu_nanoseconds) for s in pod.history] == [(10, 3)]


@given(counts, counts)
def test_difference_undoes_addition(a: int, b: int) -> None:
    assert difference(pages(a) + pages(b), pages(b)) == pages(a)


def test_samples_of_two_epochs_make_no_window() -> None:
    with pytest.raises(ValueError, match="epochs 0 and 1 make no window"):
        window(Sample(0, ZERO, 0), Sample(60, ZERO, 0, epoch=1))
