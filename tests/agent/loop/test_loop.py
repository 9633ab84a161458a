"""The loop's behaviour in orders of events that a real cluster seldom shows.

What it works with is in memory, and the clock is the test's: only faults and timing are
looked at here; the real parts meet in test_agent.
"""

from collections.abc import Callable

import pytest
from support.agent_objects import POD_UID, pin, pod
from support.looped import KEY, Cgroup, Cgroups, Node, counting, phases

from numapin_agent.loop import GRACE_SECONDS
from numapin_agent.observe import REFRESH_SECONDS
from numapin_agent.pin.values import PinReport
from numapin_api.errors import CgroupError
from numapin_api.pin import Borrowed

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
        lambda node: node.loop.turned(POD_UID),
        lambda node: node.its_pins.update({KEY: pin()}),  # an event was lost
        lambda node: node.its_pods.update({KEY: pod()}),
        lambda node: node.on_file.clear(),
        lambda node: setattr(node, "now", node.now + REFRESH_SECONDS),  # published too long ago
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


def test_files_that_others_are_charged_for_are_published_when_they_are_found() -> None:
    """The look runs beside the loop and says so; figures alone wait for the refresh."""
    node = Node().have(pin(), pod()).run(60)
    before = len(node.published)
    model = Borrowed(path="/data/model.bin", node=0, bytes=64 << 20)
    node.borrowed = [model]
    node.loop.turned(POD_UID)
    node.run()
    assert [o.borrowed for o in node.published[before:]] == [[model]]
    node.borrowed = [model.model_copy(update={"bytes": 65 << 20})]
    node.loop.turned(POD_UID)
    node.run()
    assert len(node.published) == before + 1
    node.run(int(REFRESH_SECONDS))
    assert node.last.borrowed == node.borrowed
