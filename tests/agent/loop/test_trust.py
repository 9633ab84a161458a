"""What one check after the other makes of faults, losses and stalls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.pulse import Fault
from numapin_agent.trust import (
    RELOAD_MOST_SECONDS,
    RELOAD_SECONDS,
    SHOWN_SECONDS,
    STALL_SECONDS,
    Trust,
    without_dead,
)
from numapin_api.node import Signal

DEAD = (Fault("hint_fentry", ("hintFaults",), "is not attached any more"),)


def check(trust: Trust, at: float, *, faults=(), lost: int = 0, full=()) -> Trust:
    return trust.checked(at, faults=faults, lost=lost, full=full)


def said(trust: Trust) -> dict[str, str]:
    return {reason.reason: reason.message for reason in trust.reasons()}


def test_nothing_wrong_says_nothing() -> None:
    assert said(check(Trust(), 1)) == {}


def test_a_dead_program_is_named() -> None:
    assert said(check(Trust(), 1, faults=DEAD)) == {
        "TracerDead": "program hint_fentry of hintFaults is not attached any more; "
        "what it counts means nothing"
    }
    assert not any(reason.fatal for reason in check(Trust(), 1, faults=DEAD).reasons())


def test_lost_events_are_summed_and_shown_until_it_is_long_over() -> None:
    trust = check(Trust(), 0, lost=5, full=("hintFaults",))
    assert said(trust)["EventsLost"] == (
        "5 events were not counted: no room in the table of hintFaults"
    )
    trust = check(trust, 30, lost=7)
    assert said(trust)["EventsLost"] == "7 events were not counted"
    trust = check(trust, 30 + SHOWN_SECONDS - 1, lost=7)
    assert "EventsLost" in said(trust)
    assert said(check(trust, 30 + SHOWN_SECONDS, lost=7)) == {}
    assert said(check(trust, 30 + SHOWN_SECONDS, lost=8)) == {
        "EventsLost": "1 events were not counted"
    }


def test_events_without_room_for_their_pair_are_told_apart() -> None:
    trust = Trust().checked(0, faults=(), lost=0, full=(), lost_pairs=4)
    message = (
        "{} events were counted for their pod, but not for their pair of NUMA nodes: no room in "
        "the table of pairs"
    )
    assert said(trust) == {"EventsLost": message.format(4)}
    trust = trust.checked(30, faults=(), lost=0, full=(), lost_pairs=6)
    assert said(trust) == {"EventsLost": message.format(6)}
    assert trust.loss is None
    # New tables have lost none yet.
    trust = trust.reloaded(40, anew=True).checked(41, faults=(), lost=0, full=(), lost_pairs=1)
    assert said(trust) == {"EventsLost": message.format(7)}
    over = trust.checked(41 + SHOWN_SECONDS, faults=(), lost=0, full=(), lost_pairs=1)
    assert said(over) == {}


def test_events_lost_before_a_reload_are_not_taken_for_new_ones() -> None:
    trust = check(Trust(), 0, lost=100).reloaded(10, anew=True)
    assert trust.loss is not None
    assert check(trust, 11, lost=2).loss.events == 102  # type: ignore[union-attr]
    kept = check(Trust(), 0, lost=100).reloaded(10, anew=False)
    assert check(kept, 11, lost=100).loss == kept.loss


@pytest.mark.parametrize(("late", "shown"), [(STALL_SECONDS - 0.1, False), (10.0, True)])
def test_a_stall_is_shown_for_a_while(late: float, shown: bool) -> None:
    trust = Trust().beat(100, late=late)
    assert ("Stalled" in said(trust)) == shown
    if shown:
        assert said(trust)["Stalled"].startswith("the agent stood still for 10 s")
    assert said(check(trust, 100 + SHOWN_SECONDS)) == {}


@pytest.mark.parametrize(("faults", "broke_off"), [(DEAD, False), ((), True)])
def test_reloads_wait_longer_each_time_they_do_not_help(
    faults: tuple[Fault, ...], broke_off: bool
) -> None:
    trust, now, waits = Trust().loaded(broke_off=broke_off), 0.0, []
    for _ in range(7):
        trust = check(trust, now, faults=faults)
        begun = now
        while not trust.reload_due(now):
            now += 30
            trust = check(trust, now, faults=faults)
        waits.append(now - begun)
        trust = trust.reloaded(now, anew=False)
    assert waits == [0, 300, 600, 1200, 2400, RELOAD_MOST_SECONDS, RELOAD_MOST_SECONDS]


def test_a_reload_that_helped_for_a_while_is_tried_at_once_again() -> None:
    trust = check(Trust(), 0, faults=DEAD).reloaded(0, anew=True)
    trust = check(trust, RELOAD_SECONDS - 1)
    assert not check(trust, RELOAD_SECONDS - 1, faults=DEAD).reload_due(RELOAD_SECONDS - 1)
    trust = check(trust, RELOAD_SECONDS)
    assert check(trust, RELOAD_SECONDS + 1, faults=DEAD).reload_due(RELOAD_SECONDS + 1)


def test_what_was_mended_is_shown_for_a_while() -> None:
    trust = check(check(Trust(), 0, faults=DEAD).reloaded(10, anew=True), 10)
    assert said(trust) == {
        "TracerReloaded": "program hint_fentry of hintFaults is not attached any more; it was "
        "loaded anew and measuring began anew"
    }
    assert said(check(trust, 10 + SHOWN_SECONDS)) == {}
    in_vain = check(Trust(), 0, faults=DEAD).reloaded(10, anew=False)
    assert set(said(in_vain)) == {"TracerDead"}


def test_what_was_not_there_before_was_not_mended() -> None:
    trust = Trust().loaded(broke_off=True).reloaded(10, anew=True).loaded(broke_off=False)
    assert said(check(trust, 10)) == {}
    assert not trust.reload_due(10**6)


def test_nothing_is_reloaded_without_a_fault() -> None:
    assert not check(Trust(), 0, lost=10**6).reload_due(10**6)


@given(st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 50)), max_size=20))
def test_no_lost_event_is_ever_silent(steps: list[tuple[float, int]]) -> None:
    trust, now, total = Trust(), 0.0, 0
    for pause, more in steps:
        now, total = now + pause, total + more
        trust = check(trust, now, lost=total)
        assert ("EventsLost" in said(trust)) or more == 0


def test_signals_of_a_dead_program_are_none_and_say_why() -> None:
    signals = (
        Signal(name="numaMigrations", level="rawTracepoint", reason="a caveat"),
        Signal(name="hintFaults", level="fentry"),
    )
    left, gone = without_dead(signals, DEAD)
    assert left == signals[0]
    assert (gone.level, gone.reason) == (
        "none",
        "program hint_fentry of hintFaults is not attached any more",
    )
    assert without_dead(signals, ()) == signals
