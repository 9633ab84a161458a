"""Which programs two readings show to be blind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.pulse import LEAST_EVENTS, Fault, Silence, Tally, vmstat_hint_faults
from numapin_agent.counters.signals import CgroupCounters

HINTS = CgroupCounters(hint_fault_pages_local=3, hint_fault_pages_remote=4)
MORE = CgroupCounters(hint_fault_pages_local=3, hint_fault_pages_remote=5)
DRAM = CgroupCounters(dram_enabled_nanoseconds=5)


def names(first: Tally, *later: Tally) -> list[str]:
    silence = Silence(first)
    for tally in later:
        silence = silence.after(tally)
    return [name for name, _ in silence.blind()]


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
        pytest.param(Tally(0), Tally(900, {}, lost=900), [], id="lost-and-said-so"),
        pytest.param(Tally(0), Tally(900, {}, lost=801), [], id="lost-but-for-too-few"),
        pytest.param(Tally(0), Tally(900, {}, lost=800), ["hint_"], id="lost-but-for-enough"),
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
        pytest.param(
            Tally(0),
            Tally(0, {7: CgroupCounters(migrations=2, migrated_pages=1024)}, lost=2),
            [],
            id="starts-were-lost",
        ),
        pytest.param(
            Tally(0),
            Tally(0, {7: CgroupCounters(migrations=3, migrated_pages=1024)}, lost=2),
            ["migrate_start"],
            id="fewer-starts-were-lost",
        ),
        pytest.param(Tally(0, {7: DRAM}), Tally(0, {7: DRAM}), ["dram_"], id="pmu-stands-still"),
        pytest.param(
            Tally(0, {7: DRAM}), Tally(0, {7: DRAM, 8: DRAM}), [], id="pmu-counted-somebody"
        ),
        pytest.param(
            Tally(0, {7: DRAM}), Tally(0, {7: DRAM}, lost=1), [], id="pmu-has-no-room-for-anybody"
        ),
        pytest.param(Tally(0), Tally(0), [], id="no-pmu"),
    ],
)
def test_who_is_blind(before, after, found):
    assert names(before, after) == found


def at_each(*hint_faults: int | None, ours: tuple[int, ...] = (), lost: int = 0) -> list[Tally]:
    """Readings in a row: the kernel's faults, ours where they grow, so many lost at each."""
    return [
        Tally(
            kernels,
            {7: CgroupCounters(hint_fault_pages_local=sum(at <= i for at in ours))},
            lost * i,
        )
        for i, kernels in enumerate(hint_faults)
    ]


@pytest.mark.parametrize(
    ("readings", "found"),
    [
        pytest.param(at_each(0, 90), [], id="one-check-is-too-short"),
        pytest.param(at_each(0, 90, 180), ["hint_"], id="two-are-enough"),
        pytest.param(at_each(0, 10, *range(20, 101, 10)), ["hint_"], id="ten-are-enough"),
        pytest.param(at_each(0, 90, 180, 180), ["hint_"], id="nothing-since-is-no-sign-of-life"),
        pytest.param(at_each(0, 90, 180, ours=(2,)), [], id="counted-in-between"),
        pytest.param(at_each(0, 900, 990, ours=(2,)), [], id="counts-again"),
        pytest.param(at_each(0, 90, 180, 270, ours=(1,)), ["hint_"], id="counted-once"),
        pytest.param(at_each(0, 90, 180, lost=90), [], id="all-lost"),
        pytest.param(at_each(0, 90, 180, 270, lost=40), ["hint_"], id="some-lost-each-time"),
        pytest.param(at_each(0, 90, 180, 270, 360, lost=99), [], id="others-lost-more"),
        pytest.param(at_each(0, 90, None, 180, 270), ["hint_"], id="books-closed-for-once"),
    ],
)
def test_silence_is_summed_up_over_checks(readings: list[Tally], found: list[str]) -> None:
    assert names(*readings) == found


def test_what_is_said_of_a_blind_program_does_not_change_at_each_check() -> None:
    silence = Silence(Tally(0))
    said = set()
    for kernels in range(90, 900, 90):
        silence = silence.after(Tally(kernels))
        said |= set(silence.blind())
    assert said == {("hint_", "is blind: it saw none of 180 NUMA hint faults")}


def test_pages_that_move_in_no_time_are_summed_up_too() -> None:
    moved = [Tally(0, {7: CgroupCounters(migrations=n, migrated_pages=60 * n)}) for n in range(3)]
    assert names(*moved[:2]) == []
    assert names(*moved) == ["migrate_start"]


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
