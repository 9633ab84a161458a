"""When memory nodes are widened, and how often that is looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.guard import rules
from numapin_agent.guard.rules import Exposed, least_free
from numapin_api.cpulist import NodeSet

GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "headroom", "least"),
    [
        ("Strict", 10, 2 * GIB),
        ("Strict", 0, 2 * GIB),
        ("Preferred", 10, 10 * GIB),
        ("Preferred", 1, 2 * GIB),
    ],
)
def test_preferred_gives_way_at_the_headroom_strict_at_the_last(memory, headroom, least):
    assert least_free(memory, headroom_percent=headroom, capacity=100 * GIB) == least


def test_on_small_numa_nodes_a_little_more_is_kept():
    assert least_free("Strict", headroom_percent=10, capacity=GIB) == 64 << 20


def pod(uid: str, mems: str, least: int) -> Exposed:
    return Exposed(uid, NodeSet.parse(mems), least)


@pytest.mark.parametrize(
    ("pods", "available", "found"),
    [
        ([pod("a", "1", 10)], {0: 0, 1: 10}, []),
        ([pod("a", "1", 10)], {0: 0, 1: 9}, ["a"]),
        ([pod("a", "0-1", 10)], {0: 5, 1: 5}, []),
        ([pod("a", "0-1", 10)], {0: 5, 1: 4}, ["a"]),
        # Preferred gives way earlier than Strict, and another socket is another matter.
        ([pod("strict", "1", 2), pod("loose", "1", 10), pod("b", "0", 2)], {0: 9, 1: 5}, ["loose"]),
        ([pod("strict", "1", 2), pod("loose", "1", 10)], {1: 1}, ["loose", "strict"]),
        ([], {}, []),
    ],
)
def test_who_is_widened(pods, available, found):
    assert [p.uid for p in rules.pressed(pods, available)] == found


@pytest.mark.parametrize(
    ("spare", "wait"),
    [(1000 * GIB, 10.0), (8 * GIB, 1.0), (4 * GIB, 0.5), (GIB, 0.25), (0, 0.25), (-GIB, 0.25)],
)
def test_the_nearer_the_more_often(spare, wait):
    pods = [pod("a", "1", 5 * GIB), pod("b", "0", 0)]
    assert rules.pause(pods, {0: 2000 * GIB, 1: 5 * GIB + spare}) == wait


@pytest.mark.parametrize(("spare", "deaf"), [(1000 * GIB, 1.0), (2 * GIB, 0.25), (0, 0.05)])
def test_alarms_that_follow_each_other_are_not_each_worth_a_look(spare, deaf):
    assert rules.deaf([pod("a", "1", 0)], {1: spare}) == deaf


@given(
    least=st.integers(0, 64 * GIB),
    available=st.integers(0, 128 * GIB),
    share=st.floats(0, 1),
)
def test_nobody_can_use_up_more_than_what_is_left_between_two_looks(least, available, share):
    """Where a look is as far off as the fastest allocator allows, it comes in time."""
    pods = [pod("a", "1", least)]
    wait = rules.pause(pods, {1: available})
    taken = int(wait * share * rules.FILL_BYTES_PER_SECOND)
    if wait > rules.SHORTEST_SECONDS:
        assert not rules.pressed(pods, {1: available - taken + 1})
