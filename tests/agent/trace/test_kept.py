"""Which single events are kept when there are too many."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.trace.blame import culprits
from numapin_agent.trace.kept import Hunt, Kept, LeftOut, Slowest
from numapin_agent.trace.records import OFF, QUEUED, SOFTIRQ, SYSCALL, TIMER, Event

MS = 1_000_000


def event(kind: int, start: float, length: float, **more: int) -> Event:
    fields = {"id": 0, "extra": 0, "cpu": 0, "tid": 7, "tgid": 7, **more}
    return Event(start=round(start * MS), length=round(length * MS), kind=kind, **fields)


def fed(kept: Kept, events: Iterable[Event]) -> Kept:
    for one in events:
        kept.add(one, lambda named: named)
    return kept


@given(st.lists(st.integers(1, 30), max_size=40))
def test_the_longest_are_kept_and_only_those_are_named(lengths):
    kept, named = Slowest(5), []

    def name(one: Event) -> Event:
        named.append(one)
        return one

    for at, length in enumerate(lengths):
        kept.add(event(TIMER, at, length), name)
    told = sorted(one.length // MS for one in kept.events())
    assert told == sorted(lengths)[-5:]
    assert set(kept.events()) <= set(named)
    assert kept.left_out() == LeftOut()


def test_few_are_named_of_many():
    named = []

    def name(one: Event) -> Event:
        named.append(one)
        return one

    kept = Slowest(5)
    for at in range(1000):
        kept.add(event(SYSCALL, at, 1000 - at), name)
    assert len(named) == 5


def sleeper(at: float, length: float, tid: int) -> list[Event]:
    """A blocking read: it slept all the time."""
    return [
        event(OFF, at, length, id=tid, tid=0),
        event(SYSCALL, at, length, tid=tid),
    ]


def test_a_victim_is_kept_among_thousands_that_slept_longer():
    timer = event(TIMER, 500.1, 19, id=1, tid=0)
    call = event(SYSCALL, 500, 20, tid=99)
    asleep = [one for i in range(3000) for one in sleeper(i, 900, 1000 + i % 50)]
    kept = fed(Hunt(calls=200), [*asleep[:2000], timer, call, *asleep[2000:]])
    found = culprits(kept.events())
    assert [culprit.kind for moment, culprit in found if moment.tid == 99] == [TIMER]
    assert len(found) == 200
    assert kept.left_out().slow_calls == 3001


def test_a_call_that_slept_and_was_then_held_up_counts_by_the_latter():
    slept = [one for i in range(9) for one in sleeper(100 * i, 90, 8)]
    held_up = [event(OFF, 0, 50, id=7), event(QUEUED, 50, 30, id=7), event(SYSCALL, 0, 80, tid=7)]
    kept = fed(Hunt(calls=1), [*slept, *held_up])
    assert [one.tid for one in kept.events() if one.kind == SYSCALL] == [7]


def test_a_hunt_sees_its_end_and_remembers_what_explains_its_begin():
    """Ten minutes on a busy machine, with a victim in the first second and one in the last."""
    noise = [event(SOFTIRQ, 10 + at * 10, 0.2, id=9) for at in range(60_000)]
    first = [event(TIMER, 1, 19, id=1), event(SYSCALL, 0, 20, tid=1)]
    last = [event(TIMER, 600_001, 19, id=2), event(SYSCALL, 600_000, 20, tid=2)]
    kept = fed(Hunt(calls=5, others=1000), [*first, *noise, *last])
    assert [(c.kind, c.id) for _, c in culprits(kept.events())] == [(TIMER, 1), (TIMER, 2)]
    assert len(kept.events()) <= 1000 + 5
    assert kept.left_out() == LeftOut(slow_calls=2)


def test_calls_whose_begin_is_forgotten_are_told():
    noise = [event(SOFTIRQ, at, 0.2, id=9) for at in range(3000)]
    old = event(SYSCALL, 10, 2990, tid=1)
    young = event(SYSCALL, 2990, 5, tid=2)
    assert fed(Hunt(calls=5, others=1000), [*noise, young]).left_out().blurred == 0
    kept = fed(Hunt(calls=5, others=1000), [*noise, old, young])
    assert kept.left_out() == LeftOut(slow_calls=2, blurred=1)
    longer = [event(SYSCALL, 4000, 3000 + i, tid=3 + i) for i in range(5)]
    assert fed(kept, longer).left_out() == LeftOut(slow_calls=7), "of those that stay"


def test_where_all_explain_something_the_shortest_go_and_are_counted():
    call = event(SYSCALL, 0, 100_000, tid=1)
    storm = [event(SOFTIRQ, at, 0.1 + at % 7, id=9) for at in range(2000)]
    kept = fed(Hunt(calls=5, others=1000), [call, *storm])
    stay = [one for one in kept.events() if one.kind == SOFTIRQ]
    assert len(stay) + kept.left_out().dropped == 2000
    assert len(stay) <= 1000
    assert kept.left_out().blurred == 0


@pytest.mark.parametrize(("tid", "kept"), [(7, True), (8, False)])
def test_of_waits_only_those_of_a_kept_calls_thread_explain_it(tid, kept):
    wait, call = event(QUEUED, 0, 19, id=tid), event(SYSCALL, 0, 20, tid=7)
    noise = [event(SOFTIRQ, 100 + at, 0.2, id=9) for at in range(3000)]
    hunt = fed(Hunt(calls=5, others=1000), [wait, call, *noise])
    assert (wait in hunt.events()) is kept


@given(
    st.lists(
        st.builds(
            event,
            st.sampled_from([TIMER, SOFTIRQ, QUEUED, OFF, SYSCALL]),
            st.integers(0, 50),
            st.integers(1, 50),
            id=st.integers(0, 9),
            tid=st.integers(0, 9),
        ),
        max_size=60,
    )
)
def test_a_hunt_is_bounded_and_counts_what_it_leaves_out(events):
    hunt = fed(Hunt(calls=3, others=8), events)
    calls = [one for one in hunt.events() if one.kind == SYSCALL]
    slow = sum(one.kind == SYSCALL for one in events)
    assert len(calls) == min(3, slow)
    assert len(hunt.events()) - len(calls) <= 8
    assert hunt.left_out().slow_calls == slow
    assert hunt.left_out().blurred <= len(calls)
