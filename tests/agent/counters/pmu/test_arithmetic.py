"""Counts over the whole time, from counters that ran for part of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.pmu.arithmetic import Fills, fills
from numapin_agent.counters.signals import CgroupCounters

COUNT = st.integers(0, 1 << 60)


def counted(local: int, remote: int, running: int, enabled: int) -> CgroupCounters:
    return CgroupCounters(
        dram_fills_local=local,
        dram_fills_remote=remote,
        dram_running_nanoseconds=running,
        dram_enabled_nanoseconds=enabled,
    )


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        pytest.param(counted(0, 0, 0, 0), None, id="nothing was to be counted"),
        pytest.param(counted(900, 100, 10**9, 10**9), Fills(900, 100, 100.0), id="all the time"),
        pytest.param(counted(900, 100, 10**9, 4 * 10**9), Fills(3600, 400, 25.0), id="in turns"),
        pytest.param(counted(0, 0, 0, 10**9), Fills(0, 0, 0.0), id="others had the counters"),
        pytest.param(counted(7, 0, 2, 3), Fills(10, 0, 66.6), id="rounded down"),
        pytest.param(counted(1, 0, 10**9 - 1, 10**9), Fills(1, 0, 99.9), id="never shown as all"),
        pytest.param(counted(5, 5, 3, 2), Fills(3, 3, 100.0), id="clocks apart by a hair"),
    ],
)
def test_examples(given_, expected):
    assert fills(given_) == expected


@given(local=COUNT, remote=COUNT, enabled=st.integers(1, 1 << 60), data=st.data())
def test_multiplexing_changes_totals_and_not_the_ratio(local, remote, enabled, data):
    running = data.draw(st.integers(1, enabled))
    found = fills(counted(local, remote, running, enabled))
    assert found is not None
    assert 0 <= found.counted_percent <= 100
    assert found.local >= local
    assert found.remote >= remote
    # Cross-multiplied, since quotients of such numbers are no floats; each is floored once.
    assert abs(found.local * remote - found.remote * local) <= max(local, remote)


@given(COUNT, COUNT, COUNT)
def test_what_ran_all_the_time_is_taken_as_it_is(local, remote, time):
    found = fills(counted(local, remote, time + 1, time + 1))
    assert found == Fills(local, remote, 100.0)
