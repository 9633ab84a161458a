"""The loop's behaviour in orders of events that a real cluster seldom shows.

What it works with is in memory, and the clock is the test's: only faults and timing are
looked at here; the real parts meet in test_agent.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from support.agent_objects import POD_UID, pin, pod
from support.counted import QuietCgroup, QuietTracer

from numapin_agent.census import Census
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.loop import GRACE_SECONDS, Loop
from numapin_agent.orders import wants_pin
from numapin_agent.pin.values import Applied, Drift, PinOrder, PinReport
from numapin_agent.pods import PodView
from numapin_agent.ports import Key, Surroundings
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CgroupError
from numapin_api.node import Signal
from numapin_api.pin import NumaPin, Observed

KEY = ("default", "hopper")
TIME = datetime(2026, 1, 2, tzinfo=UTC)
INTERVAL = 10.0


@dataclass
class Cgroup(QuietCgroup):
    uid: str = POD_UID
    ids: frozenset[int] = frozenset({1})
    refaulted: int | None = None

    def numa_pages_migrated(self) -> int | None:
        return 77

    def page_cache_refaults(self) -> int | None:
        return self.refaulted


@dataclass
class Cgroups:
    one: Cgroup | None = field(default_factory=Cgroup)

    def counted(self) -> Iterable[Cgroup]:
        return [self.one] if self.one else []

    def find_pod(self, uid: str) -> Cgroup | None:
        return self.one if self.one and self.one.uid == uid else None


@dataclass
class Tracer(QuietTracer):
    level: str = "fentry"
    pages: int = 0

    def levels(self) -> tuple[Signal, ...]:
        return (Signal.model_validate({"name": "numaMigrations", "level": self.level}),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        return {1: CgroupCounters(migrated_pages=self.pages)} if self.level == "fentry" else {}


@dataclass
class Node:
    """Everything around the loop, and what it did."""

    on_file: set[str] = field(default_factory=set)
    listed: bool = True
    trusted: bool = True
    its_pins: dict[Key, NumaPin] = field(default_factory=dict)
    its_pods: dict[Key, PodView] = field(default_factory=dict)
    cgroups: Cgroups = field(default_factory=Cgroups)
    surprise: Exception | None = None
    drifts: int = 0
    untouched: bool = False
    looks: int = 0
    spared: int = 0
    now: float = 1000.0
    released: list[str] = field(default_factory=list)
    published: list[Observed] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.census = Census(clock=lambda: self.now)
        self.loop = Loop(
            Surroundings(
                node_name="numa-0",
                interval_seconds=INTERVAL,
                objects=self,
                cgroups=self.cgroups,
                pinner=self,
                census=self.census,
                topology=lambda: None,
                writes=self,
                publisher=self,
                recorder=self,
                on_tick=lambda: None,
                clock=lambda: self.now,
                wall=lambda: self.now + 1e9,
                uniform=lambda _low, high: high,
            )
        )

    def have(self, its_pin: NumaPin | None, its_pod: PodView | None) -> "Node":
        """The API server has these now, and says so."""
        self.its_pins = {KEY: its_pin} if its_pin else {}
        self.its_pods = {KEY: its_pod} if its_pod else {}
        self.loop.dirty([KEY])
        return self

    def run(self, seconds: int = 0) -> "Node":
        """Do all that is due, and again after each second of these."""
        for second in range(seconds + 1):
            self.now += min(second, 1)
            while self.loop.step(wait=False):
                pass
        return self

    # Objects
    def pins(self) -> Mapping[Key, NumaPin]:
        return self.its_pins

    def pods(self) -> Mapping[Key, PodView]:
        return self.its_pods

    # Pins
    def taken(self) -> tuple[str, ...]:
        return tuple(self.on_file)

    def reconcile(self, order: PinOrder, *, history_seconds: float) -> PinReport:
        self.looks += 1
        self.history = history_seconds
        if self.surprise:
            raise self.surprise
        if not wants_pin(order):
            self.on_file.discard(order.uid)
            return PinReport(phase="Observing" if order.mode == "Observe" else "Unpinned")
        if self.cgroups.one is None:
            return PinReport(phase="Waiting")
        self.on_file.add(order.uid)
        assert order.cpus is not None
        return PinReport(
            phase="Pinned",
            applied=Applied(order.cpus, order.mems or NodeSet(), TIME),
            drift=Drift(CpuSet({0}), NodeSet(), self.drifts, TIME) if self.drifts else None,
        )

    def unchanged(self, uid: str) -> bool:
        self.spared += self.untouched
        return self.untouched

    def release(self, uid: str) -> PinReport:
        self.released.append(uid)
        self.on_file.discard(uid)
        return PinReport(phase="Unpinned")

    # Writes
    def apply_observed(self, its_pin: NumaPin, observed: Observed) -> None:
        self.published.append(observed)

    def submit(self, key: str, write: Callable[[], None]) -> None:
        write()

    def drop(self, key: str) -> None: ...

    # Recorder
    def pass_took(self, seconds: float) -> None: ...

    def error(self, kind: str) -> None:
        self.errors.append(kind)

    def pinned_after(self, seconds: float) -> None:
        self.latencies.append(seconds)

    @property
    def last(self) -> Observed:
        return self.published[-1]


def phases(node: Node) -> list[str]:
    return [o.phase for o in node.published]


# Releasing


@pytest.mark.parametrize("attribute", ["listed", "trusted"])
def test_nothing_is_released_before_all_pins_are_known(attribute: str) -> None:
    node = Node(on_file={"orphan"}, **{attribute: False})
    node.run(30)
    assert node.released == []
    setattr(node, attribute, True)
    node.run(10)
    assert node.released == ["orphan"]


def test_what_is_on_file_stays_when_its_numapin_is_there() -> None:
    node = Node(on_file={POD_UID}).have(pin(), pod()).run(60)
    assert node.released == []
    assert phases(node) == ["Pinned"]


def test_a_numapin_that_goes_releases_at_once() -> None:
    node = Node().have(pin(), pod()).run()
    node.have(None, pod()).run()
    assert node.released == [POD_UID]


def test_a_pod_that_is_missing_for_a_moment_costs_no_pin() -> None:
    node = Node().have(pin(), pod()).run()
    node.have(pin(), None).run(int(GRACE_SECONDS) - 1)
    node.have(pin(), pod()).run(20)
    assert node.released == []
    assert phases(node) == ["Pinned"]


def test_a_pod_that_is_gone_is_told_after_the_grace() -> None:
    node = Node().have(pin(), pod()).run()
    node.have(pin(), None).run(int(GRACE_SECONDS) + 1)
    assert node.released == [POD_UID]
    assert node.last.problem is not None
    assert (node.last.phase, node.last.problem.reason) == ("Refused", "PodNotFound")


def test_a_release_that_fails_is_tried_again() -> None:
    node = Node(on_file={"orphan"})
    tries = iter([PinReport(phase="Refused"), PinReport(phase="Refused")])
    release = node.release
    node.release = lambda uid: next(tries, None) or release(uid)  # type: ignore[method-assign]
    node.run(25)
    assert node.released == ["orphan"]


# Surprises


@pytest.mark.parametrize(
    ("surprise", "kind"),
    [(RuntimeError("a bug"), "InternalError"), (CgroupError("x"), "CgroupUnavailable")],
)
def test_a_surprise_is_counted_told_and_tried_again(surprise: Exception, kind: str) -> None:
    node = Node(surprise=surprise).have(pin(), pod()).run()
    assert node.errors == [kind]
    (problem,) = node.loop.problems()
    assert "default/hopper" in problem.message
    node.surprise = None
    node.run(2)
    assert phases(node)[-1] == "Pinned"
    assert node.loop.problems() == ()


def test_the_pause_after_failures_grows() -> None:
    node = Node(surprise=RuntimeError("a bug")).have(pin(), pod())
    node.run(9)  # before the next tick: after 0.5, 1, 2 and 4 s
    assert len(node.errors) == 5


def test_a_loop_that_lives_is_not_silent() -> None:
    node = Node().run()
    node.now += 5
    assert node.loop.silent_seconds() == 5
    node.run()
    assert node.loop.silent_seconds() == 0


# Measuring


def counting(node: Node, **tracer: object) -> Tracer:
    found = Tracer(**tracer)  # type: ignore[arg-type]
    node.census.attach(found)
    return found


def held_after(left: Observed) -> NumaPin:
    """The pin as the API server has it when an agent ends that published this last."""
    return NumaPin.read({**pin().wire(), "status": {"observed": left.wire()}})


def test_a_pod_that_ran_already_has_a_baseline_and_then_whole_windows() -> None:
    node = Node()
    tracer = counting(node)
    node.have(None, pod()).run()
    for _ in range(40):
        tracer.pages += 100  # a second
        node.run(1)
    node.have(pin(), pod()).run(65)
    first, last = node.published[0], node.last
    assert first.baseline is not None
    assert first.baseline.migrated_pages == 100 * first.baseline.seconds
    assert first.counters is None
    assert last.baseline == first.baseline
    assert last.counters is not None
    assert last.counters.migrated_pages == 0
    assert 60 <= last.counters.seconds < 62
    assert len(node.published) == 2


def test_page_cache_that_is_read_again_is_told_before_and_after() -> None:
    node = Node()
    counting(node)
    one = node.cgroups.one
    assert one is not None
    one.refaulted = 0
    node.have(None, pod()).run()
    for _ in range(65):
        one.refaulted += 10
        node.run(1)
    node.have(pin(), pod()).run(65)
    before, after = node.last.baseline, node.last.counters
    assert before is not None
    assert before.page_cache_refaults_per_second == pytest.approx(10, abs=1)
    assert after is not None
    assert after.page_cache_refaults_per_second == 0


def test_a_pod_that_starts_pinned_has_no_baseline() -> None:
    node = Node()
    counting(node)
    node.have(pin(), pod()).run(65)
    assert node.last.baseline is None
    assert node.last.counters is not None


def test_without_counters_there_are_no_windows_and_nobody_waits_for_a_baseline() -> None:
    node = Node()
    node.have(pin(), pod()).run()
    assert node.history == 0  # they may come yet
    node.census.give_up()
    node.run(90)
    assert node.history == float("inf")
    assert node.last.counters is None


def test_migrations_come_from_memory_stat_where_the_kernel_programs_have_none() -> None:
    node = Node()
    counting(node, level="cgroup")
    node.have(None, pod()).run()
    ledger = node.census.pod(POD_UID)
    assert ledger is not None
    assert ledger.totals().migrated_pages == 77


def test_a_restarted_agent_goes_on_with_what_its_predecessor_measured() -> None:
    node = Node()
    tracer = counting(node)
    node.have(None, pod()).run(40)
    node.have(pin(), pod()).run(65)
    left = node.last
    assert left.counters is not None
    again = Node(on_file={POD_UID})
    counting(again, pages=tracer.pages)
    held = held_after(left)
    again.have(held, pod()).run(30)
    assert again.published == []
    again.cgroups.one = None
    again.run(10)
    assert (again.last.phase, again.last.baseline) == ("Waiting", left.baseline)


def test_no_window_of_a_restarted_agent_spans_its_start() -> None:
    """Its counters begin at zero, so that a window across would have fewer pages than none."""
    before = Node()
    counting(before, pages=10**6)
    before.have(pin(), pod()).run(65)
    left = before.last
    again = Node(on_file={POD_UID})
    again.now = before.now + 20
    started = again.now + 1e9
    tracer = counting(again)
    held = held_after(left)
    again.have(held, pod())
    for _ in range(610):  # until it is time to write again
        tracer.pages += 1
        again.run(1)
    counters = again.last.counters
    assert counters is not None
    assert counters.since.timestamp() >= started - 1
    # One page a second; which ticks are the window's first and last is not of interest here.
    assert abs(counters.migrated_pages - counters.seconds) <= 1


def test_after_a_gap_in_the_counting_windows_begin_anew() -> None:
    node = Node()
    old = counting(node, pages=500)
    node.have(pin(), pod()).run(65)
    whole = node.last.counters
    assert whole is not None
    old.pages = 600  # nobody knows what else was missed
    new = Tracer()
    node.census.interrupted(new)
    gap = node.now + 1e9
    node.loop.dirty([KEY])
    node.run()
    assert node.last.counters is None
    for _ in range(65):
        new.pages += 2
        node.run(1)
    counters = node.last.counters
    assert counters is not None
    assert counters.since.timestamp() >= gap - 1
    assert counters.migrated_pages == 2 * counters.seconds
    ledger = node.census.pod(POD_UID)
    assert ledger is not None
    assert ledger.totals().migrated_pages == 600 + new.pages


def test_after_a_gap_the_predecessors_window_does_not_come_back() -> None:
    node = Node()
    counting(node)
    node.have(pin(), pod()).run(65)
    held = held_after(node.last)
    again = Node(on_file={POD_UID})
    counting(again)
    again.have(held, pod()).run(10)
    again.census.interrupted(Tracer())
    again.loop.dirty([KEY])
    again.run()
    assert again.last.counters is None


# Drift


def test_every_drift_is_published() -> None:
    node = Node().have(pin(), pod()).run()
    for _ in range(3):
        node.drifts += 1
        node.run(10)
    assert [o.drift.count for o in node.published if o.drift] == [1, 2, 3]


# Sparing


def test_a_pod_that_is_as_it_was_is_not_worked_through_at_each_tick() -> None:
    node = Node(untouched=True).have(pin(), pod()).run(45)
    assert (node.looks, node.spared) == (1, 4)
    node.untouched = False
    node.run(10)
    assert node.looks == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.have(pin(), pod()),  # the API server says something of it
        lambda node: node.loop.appeared(POD_UID),
        lambda node: node.loop.moved(POD_UID),
        lambda node: node.its_pins.update({KEY: pin()}),  # an event was lost
        lambda node: node.its_pods.update({KEY: pod()}),
        lambda node: node.on_file.clear(),
        lambda node: setattr(node, "now", node.now + 600),  # published too long ago
        counting,  # counters come later than pins
        lambda node: node.census.give_up(),  # or not at all
    ],
)
def test_whatever_is_new_is_worked_through_all_the_same(change: Callable[[Node], object]) -> None:
    node = Node(untouched=True).have(pin(), pod()).run(15)
    assert node.looks == 1
    change(node)
    node.run(10)
    assert node.looks == 2


def test_a_pod_that_could_not_be_looked_at_is_looked_at_again() -> None:
    node = Node(untouched=True).have(pin(), pod()).run()
    node.surprise = CgroupError("x")
    node.have(pin(), pod()).run()
    node.surprise = None
    node.run(1)
    assert node.looks == 3


def test_windows_go_on_while_a_pod_is_as_it_was() -> None:
    node = Node(untouched=True)
    counting(node)
    node.have(pin(), pod()).run(125)
    assert node.last.counters is not None
    assert node.looks == 3


def test_a_new_pod_does_not_wait_for_the_tick_to_go_round() -> None:
    node = Node(cgroups=Cgroups(None)).have(pin(), pod()).run(5)
    node.now += 5
    node.loop.step(wait=False)  # the tick
    node.cgroups.one = Cgroup()
    node.loop.appeared(POD_UID)
    node.loop.step(wait=False)
    assert node.latencies == [0]


# Speed


def test_a_pod_whose_numapin_was_there_in_time_is_pinned_when_its_cgroup_appears() -> None:
    node = Node(cgroups=Cgroups(None)).have(pin(), pod()).run(5)
    assert phases(node) == ["Waiting"]
    node.cgroups.one = Cgroup()
    node.loop.appeared(POD_UID)
    node.run()
    assert phases(node) == ["Waiting", "Pinned"]
    assert node.latencies == [0]


def test_a_late_numapin_is_no_latency_of_the_agents() -> None:
    node = Node().have(None, pod()).run()
    node.loop.appeared(POD_UID)
    node.run(5)
    node.have(pin(), pod()).run()
    assert phases(node) == ["Pinned"]
    assert node.latencies == []


def test_after_stop_nothing_is_done() -> None:
    node = Node().have(pin(), pod())
    node.loop.stop()
    node.loop.run()
    assert node.published == []


# Streaks


def test_windows_that_agree_are_counted_and_that_outlives_the_agent() -> None:
    node = Node()
    counting(node)
    node.have(pin(), pod()).run(65)
    assert node.last.windows == 1
    node.run(120)
    assert node.last.windows == 2  # written once; from then on nothing is new
    assert len(node.published) == 3
    again = Node(on_file={POD_UID})
    counting(again)
    held = held_after(node.last)
    again.have(held, pod()).run(65)
    again.its_pins = {KEY: held}
    again.drifts = 1  # something to write for
    again.run(1)
    assert again.loop._seen[KEY].streak.count == 3
