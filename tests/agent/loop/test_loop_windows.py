"""Baselines and windows of the loop: what is measured, when it is told, what outlives an agent."""

import pytest
from support.agent_objects import POD_UID, pin, pod
from support.looped import INTERVAL, KEY, Node, Tracer, counting

from numapin_api.pin import NumaPin, Observed


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


def test_what_the_pin_moved_is_told_in_all_whoever_moved_it() -> None:
    """Of a small pod all by the kernel, when its memory is bound: before any window."""
    node = Node(moved_pages=500)
    tracer = counting(node)
    node.have(None, pod()).run(5)
    tracer.bound = 12
    node.have(pin(), pod()).run(65)
    assert node.last.counters is not None
    assert node.last.counters.moved_by_pin_pages == 512
    node.run(610)
    assert len(node.published) == 3
    assert node.last.counters.moved_by_pin_pages == 512


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


def test_a_window_that_is_over_right_after_a_tick_ends_at_the_first_look() -> None:
    """The tick's sample is fresh enough for anything but that: it was taken before the end."""
    node = Node()
    counting(node)
    one, node.cgroups.one = node.cgroups.one, None
    node.have(None, None).run()  # ticks come each ten seconds from here on
    node.cgroups.one = one
    node.now += 0.5
    node.have(pin(), pod()).run()
    began, looks = node.now, node.looks
    while node.now < began + 60:
        node.now += 0.25
        steps = 0
        while node.loop.step(wait=False):
            steps += 1
            assert steps < 10, f"{node.now - began} s after the window began the loop spins"
    assert node.last.counters is not None
    assert node.last.counters.seconds == 60
    assert node.looks - looks <= 60 / INTERVAL + 1


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


def test_counters_that_can_not_be_read_cost_a_window_and_no_pin() -> None:
    """Pinned, not Refused: the operator would call that Ineffective at once."""
    node = Node()
    tracer = counting(node)
    node.have(None, pod()).run(20)
    tracer.broken = True
    node.have(pin(), pod()).run(1)
    assert [o.phase for o in node.published] == ["Pinned"]
    assert node.last.baseline is None
    node.run(130)
    assert [o.phase for o in node.published] == ["Pinned"]
    assert node.last.counters is None
    assert set(node.errors) == {"CountersUnavailable"}
    (problem,) = node.loop.problems()
    assert (problem.reason, "the map can't be read" in problem.message) == (
        "CountersUnavailable",
        True,
    )
    tracer.broken = False
    node.run(75)
    assert node.last.counters is not None
    assert {o.phase for o in node.published} == {"Pinned"}
    assert node.loop.problems() == ()


def test_a_pin_that_holds_stays_good_when_its_counters_can_not_be_read_once() -> None:
    node = Node()
    tracer = counting(node)
    node.have(pin(), pod()).run(65)
    assert node.last.counters is not None
    before = list(node.published)
    tracer.broken = True
    node.run(70)
    tracer.broken = False
    node.run(5)
    assert node.published == before


def test_a_pod_that_runs_waits_for_no_baseline_that_can_not_be_had() -> None:
    node = Node()
    tracer = counting(node)
    tracer.broken = True
    node.have(pin(), pod()).run(int(INTERVAL))
    assert node.history == float("inf")
    tracer.broken = False
    node.run(int(INTERVAL) + 1)
    assert node.history < float("inf")
