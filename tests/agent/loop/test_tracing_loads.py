"""Loading that broke off is tried again; loading that came to its end is not."""

import pytest
from support.tracing_stage import DEAD, Stage, Tracer

from numapin_agent.counters.pulse import Fault
from numapin_agent.tracing import BEAT_SECONDS, CHECK_SECONDS
from numapin_api.errors import CounterError
from numapin_api.node import Signal


@pytest.fixture
def stage() -> Stage:
    return Stage()


def unlike(*signals: str, broke_off: bool = False) -> Tracer:
    """A tracer with so many programs."""
    tracer = Tracer(broke_off=broke_off)
    tracer.levels = lambda: tuple(Signal(name=s, level="fentry") for s in signals)  # type: ignore[method-assign]
    tracer.roster = lambda: tuple((s, f"of {s}") for s in signals)  # type: ignore[method-assign]
    return tracer


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(CounterError("no list of CPUs"), id="not-even-begun"),
        pytest.param(Tracer("none", broke_off=True), id="killed"),
        pytest.param(Tracer("cgroup", broke_off=True), id="killed-with-a-fallback"),
        pytest.param(unlike("pinMoves", broke_off=True), id="killed-half-way"),
    ],
)
def test_a_first_load_that_broke_off_is_tried_again(
    stage: Stage, failure: Tracer | CounterError
) -> None:
    stage.next = failure
    stage.tracing.start()
    stage.beat(seconds=BEAT_SECONDS)
    assert len(stage.tried) == 1
    waits = []
    for tries in (2, 3, 4):
        begun = stage.now
        while len(stage.tried) < tries:
            stage.beat()
        waits.append(stage.now - begun)
    assert waits == [CHECK_SECONDS, 300, 600]
    stage.next = unlike("pinMoves", "taskMigrations")
    stage.next.counts[1] = 7
    stage.beat(seconds=3600)
    assert stage.attached[-1] is stage.next
    assert stage.hops() == 7
    assert stage.tracing.since == stage.now + 1e9
    assert not stage.census.hopeless
    assert stage.reasons == set()  # nothing that counted was lost
    assert stage.tracing.reloads == 0
    stage.beat(seconds=3600)
    assert len(stage.tried) == 5


def test_a_first_load_that_gave_nothing_to_the_end_is_final(stage: Stage) -> None:
    stage.next = Tracer("none")
    assert not stage.tracing.start()
    for _ in range(5):
        stage.beat(seconds=3600)
    assert len(stage.tried) == 1
    assert stage.census.hopeless


def test_what_old_and_new_programs_counted_side_by_side_counts_once(stage: Stage) -> None:
    """Both are attached until the old ones are closed, and only one of the two signals was dead."""
    both = "hintFaults", "taskMigrations"
    stage.next = old = unlike(*both)
    old.counts[1] = 40
    stage.tracing.start()
    assert stage.hops() == 40
    stage.next = new = unlike(*both)
    old.dead = (Fault("of hintFaults", ("hintFaults",), "is blind"),)
    old.counts[1], new.counts[1] = 47, 7  # while the new ones were being attached
    stage.beat()
    assert stage.attached == [old, new]
    assert stage.hops() == 47
    new.counts[1] += 10
    assert stage.hops() == 57


def test_new_programs_whose_loading_broke_off_are_completed(stage: Stage) -> None:
    dead = Tracer(dead=(DEAD,))
    stage.next = dead
    stage.tracing.start()
    stage.next = half = unlike("pinMoves", broke_off=True)
    stage.beat()
    assert stage.attached == [dead, half]
    stage.next = unlike("pinMoves", "taskMigrations")
    stage.beat(seconds=3600)
    assert stage.attached == [dead, half, stage.next]
    assert stage.tracing.reloads == 1
