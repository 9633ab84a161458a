"""Who loads, checks and reloads, with tracers that die when told to."""

import threading
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field

import pytest
from support.counted import QuietCgroup, QuietTracer
from support.wait import until

from numapin_agent import tracing
from numapin_agent.census import Census
from numapin_agent.counters.pulse import Fault
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.tracing import (
    BEAT_SECONDS,
    CHECK_SECONDS,
    NAMED_SECONDS,
    SWEEP_SECONDS,
    Tracing,
)
from numapin_agent.trust import Trust
from numapin_api.errors import CounterError
from numapin_api.node import Level, Signal

DEAD = Fault("task_migrate", ("taskMigrations",), "is not attached any more")


@dataclass
class Tracer(QuietTracer):
    level: Level = "rawTracepoint"
    dead: tuple[Fault, ...] = ()
    broke_off: bool = False
    losses: int = 0
    lost_of_pairs: int = 0
    room: bool = True
    counts: dict[int, int] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    closed: bool = False
    unreadable: bool = False

    def levels(self) -> tuple[Signal, ...]:
        return (Signal(name="taskMigrations", level=self.level, reason="because"),)

    def roster(self) -> tuple[tuple[str, str], ...]:
        return () if self.level == "none" else (("taskMigrations", "task_migrate"),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        if self.unreadable:
            raise CounterError("map taskMigrations can't be read")
        return {
            cgroup: CgroupCounters(cross_socket_task_migrations=n)
            for cgroup, n in self.counts.items()
            if only is None or cgroup in only
        }

    def forget(self, cgroup_ids: Iterable[int]) -> None:
        for cgroup in cgroup_ids:
            self.forgotten.add(cgroup)
            self.counts.pop(cgroup, None)

    def lost(self) -> int:
        if self.unreadable:
            raise CounterError("lost events can't be read")
        return self.losses

    def lost_pairs(self) -> int:
        if self.unreadable:
            raise CounterError("lost pairs can't be read")
        return self.lost_of_pairs

    def full(self) -> tuple[str, ...]:
        return () if self.room else ("taskMigrations",)

    def faults(self) -> tuple[Fault, ...]:
        if self.unreadable:
            raise CounterError("no map")
        return self.dead

    def close(self) -> None:
        self.closed = True


class Stage:
    """A tracing with all around it made up; ``next`` is what the coming load gives."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.next: Tracer | CounterError = Tracer()
        self.tried: list[float] = []
        self.loaded: list[Tracer] = []
        self.trusts: list[Trust] = []
        self.attached: list[object] = []
        self.gone: CounterError | None = None
        self.errors: list[Exception] = []
        self.gaps = 0
        self.cgroups: Set[int] = {1, 2}
        self.census = Census(clock=lambda: self.now)
        self.census.replace([QuietCgroup("a", frozenset({1}))])
        self.tracing = Tracing(
            load=self.load,
            census=self.census,
            reporter=self,
            existing=lambda: self.cgroups,
            failed=self.errors.append,
            interrupted=self.interrupted,
            clock=lambda: self.now,
            wall=lambda: self.now + 1e9,
        )

    def load(self) -> Tracer:
        self.tried.append(self.now)
        if isinstance(self.next, CounterError):
            raise self.next
        self.loaded.append(self.next)
        return self.next

    def attach(self, tracer: object) -> None:
        self.attached.append(tracer)

    def counters_failed(self, error: CounterError) -> None:
        self.gone = error

    def trusted(self, trust: Trust) -> None:
        self.trusts.append(trust)

    def interrupted(self) -> None:
        self.gaps += 1

    def beat(self, *, seconds: float = CHECK_SECONDS, late: float = 0.0) -> None:
        self.now += seconds
        self.tracing.beat(late=late)

    def hops(self) -> int:
        pod = self.census.read().pods["a"]
        return pod.totals().cross_socket_task_migrations

    @property
    def reasons(self) -> set[str]:
        return {r.reason for r in self.tracing.trust.reasons()}


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
