"""Batch sizes, rests and when to stop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.pin.pace import (
    CALL_SECONDS,
    DUTY,
    LEAST_BYTES,
    MOST_BYTES,
    Pace,
    another_round,
    rest_seconds,
)

MIB = 1 << 20


@given(st.floats(1e6, 1e11), st.floats(0, 0.004))
def test_batches_settle_near_the_wanted_time(bytes_per_second, fixed):
    pace = Pace()
    for _ in range(20):
        busy = fixed + pace.batch_bytes / bytes_per_second
        pace = pace.after(busy)
    busy = fixed + pace.batch_bytes / bytes_per_second
    assert LEAST_BYTES <= pace.batch_bytes <= MOST_BYTES
    assert busy <= 2 * CALL_SECONDS or pace.batch_bytes == LEAST_BYTES
    assert busy >= CALL_SECONDS / 4 or pace.batch_bytes == MOST_BYTES


@given(st.floats(0, 10))
def test_at_most_half_of_one_cpu(busy):
    assert busy <= DUTY * (busy + rest_seconds(busy)) + 1e-9


@pytest.mark.parametrize(
    ("left", "again"),
    [
        ([2000], True),
        ([2000, 900], True),
        ([2000, 900, 3], False),
        ([2000, 900, 60], True),  # from 900 to 60: one more may bring it to nothing
        ([2000, 60, 50], False),
        ([60], True),
        ([60, 30], True),
        ([60, 31], False),
        ([2000, 2000], True),
        ([2000, 2000, 2000], False),
        ([2000, 1900, 1700], True),
        ([2000, 2100, 1900], False),
        ([3], False),
    ],
)
def test_rounds(left, again):
    assert another_round([n * MIB for n in left]) is again


@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=30))
def test_rounds_end_when_nothing_is_gained(start):
    left = list(start)
    for _ in range(3):
        left.append(left[-1])
    assert not another_round(left)
