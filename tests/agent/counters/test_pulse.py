"""Which programs two readings show to be blind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.pulse import LEAST_EVENTS, Fault, Tally, blind, vmstat_hint_faults
from numapin_agent.counters.signals import CgroupCounters

HINTS = CgroupCounters(hint_fault_pages_local=3, hint_fault_pages_remote=4)
MORE = CgroupCounters(hint_fault_pages_local=3, hint_fault_pages_remote=5)
DRAM = CgroupCounters(dram_enabled_nanoseconds=5)


def names(before: Tally, after: Tally) -> list[str]:
    return [name for name, _ in blind(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        pytest.param(Tally(0), Tally(LEAST_EVENTS), ["hint_"], id="kernel-saw-we-did-not"),
        pytest.param(Tally(0), Tally(LEAST_EVENTS - 1), [], id="too-few-to-say"),
        pytest.param(Tally(0), Tally(900, {7: HINTS}), [], id="a-new-cgroup-counted"),
        pytest.param(Tally(0, {7: HINTS}), Tally(900, {7: MORE}), [], id="one-more-is-enough"),
        pytest.param(Tally(0, {7: HINTS}), Tally(900, {7: HINTS}), ["hint_"], id="stands-still"),
        pytest.param(
            Tally(0, {7: MORE, 8: HINTS}), Tally(900, {8: MORE}), [], id="a-cgroup-was-forgotten"
        ),
        pytest.param(Tally(0), Tally(900, {}, lost=1), [], id="lost-and-said-so"),
        pytest.param(Tally(None), Tally(None), [], id="kernel-without-numa-balancing"),
        pytest.param(Tally(0), Tally(None), [], id="vmstat-unreadable"),
        pytest.param(
            Tally(0),
            Tally(0, {7: CgroupCounters(migrated_pages=500)}),
            ["migrate_start"],
            id="pages-moved-in-no-time",
        ),
        pytest.param(
            Tally(0),
            Tally(0, {7: CgroupCounters(migrated_pages=500, migration_nanoseconds=1)}),
            [],
            id="pages-moved-in-some-time",
        ),
        pytest.param(Tally(0, {7: DRAM}), Tally(0, {7: DRAM}), ["dram_"], id="pmu-stands-still"),
        pytest.param(
            Tally(0, {7: DRAM}), Tally(0, {7: DRAM, 8: DRAM}), [], id="pmu-counted-somebody"
        ),
        pytest.param(Tally(0), Tally(0), [], id="no-pmu"),
    ],
)
def test_who_is_blind(before, after, found):
    assert names(before, after) == found


counters = st.builds(
    CgroupCounters,
    hint_fault_pages_local=st.integers(0, 1000),
    hint_fault_pages_remote=st.just(0),
    migrated_pages=st.integers(0, 1000),
    migration_nanoseconds=st.integers(0, 1000),
)


@given(
    st.dictionaries(st.integers(1, 4), counters),
    st.dictionaries(st.integers(1, 4), counters, min_size=1),
    st.integers(0, 10**6),
)
def test_a_hint_program_that_counted_anything_is_never_called_blind(before, after, kernels):
    """Whatever cgroups were forgotten or came meanwhile."""
    found = names(Tally(0, before), Tally(kernels, after))
    rose = any(
        new.hint_fault_pages_local > before.get(cgroup, CgroupCounters()).hint_fault_pages_local
        for cgroup, new in after.items()
    )
    assert ("hint_" in found) == (kernels >= LEAST_EVENTS and not rose)


def test_the_kernels_books():
    assert vmstat_hint_faults("nr_free 1\nnuma_hint_faults 42\nnuma_hint_faults_local 7\n") == 42
    assert vmstat_hint_faults("nr_free 1\n") is None


def test_a_fault_names_program_and_signals():
    fault = Fault("migrate_end", ("numaMigrations", "pinMoves"), "is not attached any more")
    assert str(fault) == (
        "program migrate_end of numaMigrations and pinMoves is not attached any more"
    )
