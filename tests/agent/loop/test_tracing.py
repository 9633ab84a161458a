"""Who loads, checks and reloads, with tracers that die when told to."""

import threading

import pytest
from support.tracing_stage import DEAD, Stage, Tracer
from support.wait import until

from numapin_agent import tracing
from numapin_agent.counters.pulse import Fault
from numapin_agent.tracing import BEAT_SECONDS, CHECK_SECONDS, NAMED_SECONDS, SWEEP_SECONDS
from numapin_agent.trust import Trust
from numapin_api.errors import CounterError


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("dies_after", [0.0, 0.5, 15.0, CHECK_SECONDS - 0.5, CHECK_SECONDS])
@pytest.mark.parametrize("check_takes", [0.0, 1.0, 10.0])
def test_a_dead_program_is_told_of_within_a_minute_whenever_it_dies(
    stage: Stage, dies_after: float, check_takes: float
) -> None:
    """However a check that takes long shifts the next beats, and if no reload is due."""
    tracer = Tracer()
    stage.next = tracer
    stage.tracing.start()
    stage.next = CounterError("no memory")
    tracer.dead = (DEAD,)
    stage.beat()  # found and not mended: for five minutes nothing is loaded anew
    tracer.dead = ()
    stage.beat()

    def faults() -> tuple[Fault, ...]:
        stage.now += check_takes
        return tracer.dead

    tracer.faults = faults  # type: ignore[method-assign]
    died = stage.now + dies_after
    while not stage.trusts[-1].faults:
        stage.now += BEAT_SECONDS
        if stage.now > died:
            tracer.dead = (DEAD,)
        stage.tracing.beat(late=0.0)
    assert len(stage.tried) == 2
    assert 0 < stage.now - died <= 60


def test_a_dead_program_is_told_of_while_loading_it_anew_takes_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "NAMED_SECONDS", 0.01)
    assert CHECK_SECONDS + 2 * BEAT_SECONDS + NAMED_SECONDS < 60
    old, new = Tracer(), Tracer()
    stage.next = old
    stage.tracing.start()
    old.dead = (DEAD,)
    stage.next = new
    told: list[tuple[Fault, ...]] = []

    def load() -> Tracer:
        told.append(until(lambda: stage.trusts[-1].faults, what="it is told meanwhile"))
        return new

    monkeypatch.setattr(stage.tracing, "_load", load)
    stage.trusts.append(Trust())
    stage.beat()
    assert told == [(DEAD,)]
    # And then no more: the last word is that of the new programs.
    assert stage.trusts[-1].faults == ()
    assert stage.reasons == {"TracerReloaded"}


def test_what_is_mended_at_once_is_not_told_of_as_dead(stage: Stage) -> None:
    """Each verdict of the node would change for two seconds."""
    old = Tracer()
    stage.next = old
    stage.tracing.start()
    old.dead = (DEAD,)
    stage.next = Tracer()
    stage.beat()
    assert [trust.faults for trust in stage.trusts] == [()]


def test_a_dead_program_is_loaded_anew_and_totals_stay(stage: Stage) -> None:
    old, new = Tracer(counts={1: 40}), Tracer(counts={1: 50})
    stage.next = old
    assert stage.tracing.start()
    assert stage.hops() == 40
    since = stage.tracing.since
    old.counts[1] = 44  # after the last look, before it died
    old.dead, old.losses, old.lost_of_pairs = (DEAD,), 3, 7
    stage.next = new
    stage.beat()
    assert old.closed
    assert stage.attached == [old, new]
    assert stage.tracing.programs() == (("taskMigrations", "task_migrate", True),)
    assert stage.hops() == 44 + 50  # though the new map holds more than the old did
    assert stage.gaps == 1
    assert stage.reasons == {"TracerReloaded", "EventsLost"}
    assert stage.tracing.reloads == 1
    assert stage.tracing.since is not None
    assert since is not None
    assert stage.tracing.since > since
    new.losses, new.lost_of_pairs = 2, 1
    assert (stage.tracing.lost(), stage.tracing.lost_pairs()) == (5, 8)


def test_a_program_that_can_not_be_loaded_anew_stays_named(stage: Stage) -> None:
    old = Tracer(dead=(DEAD,))
    stage.next = old
    stage.tracing.start()
    for failure in (CounterError("no memory"), Tracer("none")):
        stage.next = failure
        stage.beat(seconds=3600)
        assert not old.closed
        assert stage.trusts[-1].faults == (DEAD,)
        assert stage.tracing.programs() == (("taskMigrations", "task_migrate", False),)
        assert len(stage.errors) >= 1
    assert stage.loaded[-1].closed
    assert stage.gaps == 0
    assert stage.tracing.reloads == 2


def test_a_program_that_counts_again_by_itself_is_a_gap_all_the_same(stage: Stage) -> None:
    tracer = Tracer(dead=(DEAD,), counts={1: 7})
    stage.next = tracer
    stage.tracing.start()
    stage.next = CounterError("no memory")
    stage.beat()
    tracer.dead = ()
    stage.beat()
    assert stage.gaps == 1
    assert stage.hops() == 7
    assert stage.census.read().epoch == 1
    assert not tracer.closed


def test_a_tracer_that_can_not_be_asked_is_dead(stage: Stage) -> None:
    tracer = Tracer()
    stage.next = tracer
    stage.tracing.start()
    tracer.unreadable = True
    stage.next = CounterError("no")
    stage.beat()
    assert "can't be asked" in stage.trusts[-1].faults[0].why
    assert (stage.tracing.lost(), stage.tracing.lost_pairs()) == (None, None)


def test_losses_are_reported(stage: Stage) -> None:
    tracer = Tracer(losses=4, room=False)
    stage.next = tracer
    stage.tracing.start()
    stage.beat()
    assert stage.reasons == {"EventsLost"}
    assert stage.trusts[-1].loss is not None
    assert stage.trusts[-1].loss.full == ("taskMigrations",)
    assert stage.gaps == 0


def test_full_tables_are_swept_at_the_next_check_and_totals_stay(stage: Stage) -> None:
    tracer = Tracer(counts={1: 5, 2: 6, 3: 7}, room=False)
    stage.next = tracer
    stage.tracing.start()
    before = stage.census.read().node.totals()
    stage.beat()
    assert tracer.forgotten == set()
    stage.beat()
    assert tracer.forgotten == {3}
    assert stage.census.read().node.totals() == before


def test_cgroups_that_are_gone_are_forgotten_in_time(stage: Stage) -> None:
    tracer = Tracer(counts={1: 5, 4: 1})
    stage.next = tracer
    stage.tracing.start()
    stage.beat(seconds=SWEEP_SECONDS - 1)
    assert tracer.forgotten == set()
    stage.beat()
    assert tracer.forgotten == {4}


def test_a_cgroup_of_a_pod_is_left_to_the_look_at_the_pod(stage: Stage) -> None:
    tracer = Tracer(counts={1: 5})
    stage.next = tracer
    stage.tracing.start()
    stage.cgroups = set()
    stage.beat(seconds=SWEEP_SECONDS)
    assert tracer.forgotten == set()
    assert stage.hops() == 5


def test_a_stall_is_counted_and_reported(stage: Stage) -> None:
    stage.next = Tracer(counts={1: 5})
    stage.tracing.start()
    stage.beat(seconds=BEAT_SECONDS + 10, late=10.0)
    assert stage.tracing.stalled_seconds == 10
    assert stage.reasons == {"Stalled"}
    assert stage.gaps == 0  # nothing was missed
    stage.beat(late=0.5)
    assert stage.tracing.stalled_seconds == 10


def test_without_counters_a_stall_is_noticed_all_the_same(stage: Stage) -> None:
    stage.next = CounterError("switched off")
    assert not stage.tracing.start()
    assert stage.gone is not None
    assert stage.census.hopeless
    assert stage.tracing.since is None
    stage.beat(late=10.0)
    assert stage.tracing.stalled_seconds == 10
    assert (stage.tracing.lost(), stage.tracing.lost_pairs()) == (0, 0)
    stage.next = Tracer("none")
    assert not stage.tracing.start()
    assert stage.tracing.since is None
    stage.beat()
    assert stage.tracing.reloads == 0


def test_a_surprise_does_not_end_the_watch(stage: Stage, monkeypatch) -> None:
    tracer = Tracer()
    stage.next = tracer
    stage.tracing.start()
    monkeypatch.setattr(tracer, "faults", lambda: 1 / 0)
    stage.beat()
    assert isinstance(stage.errors[-1], ZeroDivisionError)


def test_the_thread_ends_when_told(stage: Stage) -> None:
    thread = threading.Thread(target=stage.tracing.run)
    thread.start()
    stage.tracing.stop()
    thread.join(10)
    assert not thread.is_alive()
