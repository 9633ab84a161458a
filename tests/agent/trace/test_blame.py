"""Who made a system call slow."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.trace.blame import COVERS, Culprit, culprit, culprits, overlap
from numapin_agent.trace.records import (
    HARDIRQ,
    NETFILTER,
    OFF,
    QUEUED,
    SOFTIRQ,
    SYSCALL,
    TIMER,
    Event,
)

MS = 1_000_000


def event(kind: int, start: float, length: float, **more: int) -> Event:
    fields = {"id": 0, "extra": 0, "cpu": 0, "tid": 7, "tgid": 7, **more}
    return Event(start=round(start * MS), length=round(length * MS), kind=kind, **fields)


CALL = event(SYSCALL, 100, 20)


@pytest.mark.parametrize(
    ("others", "blamed"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([event(SOFTIRQ, 101, 18, id=1)], SOFTIRQ, id="softirq on its CPU"),
        pytest.param([event(SOFTIRQ, 101, 18, id=1, cpu=1)], None, id="softirq elsewhere"),
        pytest.param(
            [event(SOFTIRQ, 101, 18, id=1), event(TIMER, 101, 17, id=99)],
            TIMER,
            id="the timer in it",
        ),
        pytest.param(
            [event(SOFTIRQ, 101, 18, id=1), event(TIMER, 101, 1, id=99)],
            SOFTIRQ,
            id="a short timer is not to blame",
        ),
        pytest.param(
            [event(SOFTIRQ, 101, 18, id=3), event(NETFILTER, 101, 16, id=0x202)],
            NETFILTER,
            id="the hook in it",
        ),
        pytest.param([event(NETFILTER, 101, 16, id=0x202, cpu=1)], None, id="hook elsewhere"),
        pytest.param([event(QUEUED, 100, 19, id=7)], QUEUED, id="waited for a CPU"),
        pytest.param([event(QUEUED, 100, 19, id=8)], None, id="another thread waited"),
        pytest.param(
            [event(QUEUED, 100, 19, id=7, cpu=3), event(TIMER, 101, 17, id=9, cpu=3)],
            TIMER,
            id="waited behind a timer on another CPU",
        ),
        pytest.param([event(OFF, 100, 19, id=7, cpu=5)], OFF, id="slept"),
        pytest.param([event(HARDIRQ, 100, 4, id=24)], None, id="too short"),
        pytest.param(
            [event(HARDIRQ, 100 + i, 0.9, id=24) for i in range(15)], HARDIRQ, id="a storm adds up"
        ),
    ],
)
def test_the_innermost_that_covers_enough_is_named(others, blamed):
    assert culprit(CALL, others).kind == blamed


def test_the_talks_case():
    """A read that took 20 ms behind 19 ms of estimation_timer."""
    timer = event(TIMER, 100.5, 19, id=0xFFFF, tid=0)
    softirq = event(SOFTIRQ, 100.4, 19.2, id=1, tid=0)
    queued = event(QUEUED, 100.1, 19.6, id=7)
    assert culprit(CALL, [queued, softirq, timer]) == Culprit(TIMER, 0xFFFF, 19 * MS, 0)


events = st.builds(
    event,
    st.sampled_from([TIMER, SOFTIRQ, HARDIRQ, QUEUED, OFF, SYSCALL]),
    st.integers(0, 50),
    st.integers(1, 50),
    id=st.integers(0, 9),
    cpu=st.integers(0, 1),
)


@given(events, events)
def test_overlap_is_symmetric_and_no_longer_than_either(a, b):
    assert overlap(a, b) == overlap(b, a)
    assert 0 <= overlap(a, b) <= min(a.length, b.length)


@given(st.lists(events, max_size=12))
def test_whoever_is_named_covers_a_good_part(found):
    told = culprits(found)
    assert [moment.length for moment, _ in told] == sorted(
        (e.length for e in found if e.kind == SYSCALL), reverse=True
    )
    others = [e for e in found if e.kind != SYSCALL]
    for moment, blamed in told:
        whole = culprit(moment, others)
        assert (blamed.kind, blamed.nanoseconds) == (whole.kind, whole.nanoseconds)
        assert blamed.kind != SYSCALL
        assert blamed.nanoseconds <= moment.length
        if blamed.kind is not None:
            assert blamed.nanoseconds >= COVERS * moment.length


def test_a_call_is_compared_with_what_is_near_it():
    """A spike's answer has hundreds of calls and thousands of other events."""
    calls = [event(SYSCALL, 20 * i, 20) for i in range(200)]
    others = [event(SOFTIRQ, i / 5, 0.1, id=1) for i in range(20_000)]
    began = time.process_time()
    assert {blamed.kind for _, blamed in culprits([*calls, *others])} == {SOFTIRQ}
    assert time.process_time() - began < 1
