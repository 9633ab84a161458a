"""Pairs of NUMA nodes per pod survive restarts of containers and of the kernel's maps."""

from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.pairs import PairCounters, Pairs
from numapin_agent.pairs import PairLedger

POD, APP, SIDECAR, RESTARTED = 10, 11, 12, 13


def from_0(pages: int, to: int = 1) -> Pairs:
    return {(0, to): PairCounters(migrated_pages=pages)}


def pages(ledger: PairLedger, to: int = 1) -> int:
    return ledger.pods["pod"].totals.get((0, to), PairCounters()).migrated_pages


def test_a_pod_is_the_sum_of_its_cgroups_pair_by_pair() -> None:
    readings = {APP: {**from_0(3), **from_0(1, to=2)}, SIDECAR: from_0(4), 99: from_0(100)}
    ledger = PairLedger().fold(readings, {"pod": {POD, APP, SIDECAR}})
    assert ledger.pods["pod"].totals == {**from_0(7), **from_0(1, to=2)}


def test_a_dead_container_stays_in_the_total() -> None:
    ledger = PairLedger().fold({APP: from_0(3)}, {"pod": {POD, APP}})
    # It counted once more after the last look, and died.
    ledger = ledger.fold({APP: from_0(5), RESTARTED: from_0(1)}, {"pod": {POD, RESTARTED}})
    assert pages(ledger) == 6
    ledger = ledger.fold({RESTARTED: from_0(1)}, {"pod": {POD, RESTARTED}})
    assert pages(ledger) == 6


def test_a_pod_that_is_gone_is_forgotten() -> None:
    ledger = PairLedger().fold({APP: from_0(3)}, {"pod": {APP}})
    assert ledger.fold({APP: from_0(3)}, {}).pods == {}


def test_a_kernel_map_made_anew_takes_nothing_away() -> None:
    ledger = PairLedger().fold({APP: from_0(100)}, {"pod": {APP}})
    ledger = ledger.fold({}, {"pod": {APP}})
    assert pages(ledger) == 100
    ledger = ledger.fold({APP: from_0(2, to=2)}, {"pod": {APP}})
    ledger = ledger.fold({APP: {**from_0(2, to=2), **from_0(5)}}, {"pod": {APP}})
    assert (pages(ledger), pages(ledger, to=2)) == (105, 2)


STEP = st.tuples(
    st.dictionaries(st.sampled_from([APP, SIDECAR]), st.builds(from_0, st.integers(0, 50))),
    st.sets(st.sampled_from([APP, SIDECAR])),
)


@given(st.lists(STEP, max_size=8))
def test_whatever_is_read_totals_only_grow(steps: list[tuple[dict[int, Pairs], set[int]]]) -> None:
    ledger, before = PairLedger(), 0
    for readings, members in steps:
        ledger = ledger.fold(readings, {"pod": members})
        assert pages(ledger) >= before
        before = pages(ledger)
