"""When a trace goes: one row for each way to end, or not to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.objects import example

from numapin_api.trace import NumaTrace
from numapin_operator.traces.due import LOST, due

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def trace(*, made=NOON, status=None, **spec):
    found = example("NumaTrace")
    found["metadata"]["creationTimestamp"] = made
    found["spec"] |= {"durationSeconds": 60, "ttlSecondsAfterFinished": 600} | spec
    found["status"] = status
    return NumaTrace.read(found)


def later(**how):
    return NOON + timedelta(**how)


@pytest.mark.parametrize(
    ("given", "seconds", "expected"),
    [
        ({"status": {"phase": "Done", "finishedAt": NOON}}, 599, False),
        ({"status": {"phase": "Done", "finishedAt": NOON}}, 600, True),
        ({"status": {"phase": "Failed", "finishedAt": NOON}}, 600, True),
        ({"status": {"phase": "Refused", "finishedAt": NOON}}, 600, True),
        (
            {"status": {"phase": "Done", "finishedAt": NOON}, "ttlSecondsAfterFinished": 0},
            0,
            True,
        ),
        # Somebody's agent forgot to say when: by its making, then.
        ({"status": {"phase": "Done"}}, 3659, False),
        ({"status": {"phase": "Done"}}, 3660, True),
        # Never begun: the node is gone, or nobody answers there.
        ({}, 3659, False),
        ({}, 3660, True),
        ({"status": {"phase": "Running", "startedAt": later(minutes=30)}}, 3660, False),
        ({"status": {"phase": "Running", "startedAt": later(minutes=30)}}, 5460, True),
        ({"made": None}, 10**6, False),
    ],
)
def test_each_way(given, seconds, expected):
    assert due(trace(**given), now=later(seconds=seconds)) is expected


@given(
    st.integers(1, 600),
    st.integers(0, 86400),
    st.integers(0, 7200),
    st.integers(0, 200_000),
)
def test_no_trace_stays_for_ever_and_none_goes_before_it_can_end(duration, ttl, ended, age):
    spec = {"durationSeconds": duration, "ttlSecondsAfterFinished": ttl}
    waits = trace(**spec)
    done = trace(status={"phase": "Done", "finishedAt": later(seconds=ended)}, **spec)
    assert due(waits, now=later(seconds=duration) + LOST)
    assert not due(waits, now=later(seconds=duration))
    assert due(done, now=later(seconds=age)) is (age >= ended + ttl)
