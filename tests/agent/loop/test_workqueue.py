"""A key is dirty or it is not; urgent ones first; later ones when their time has come."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.workqueue import WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drain(queue: WorkQueue[str]) -> list[str]:
    found = []
    while (key := queue.get(0)) is not None:
        found.append(key)
    return found


def test_each_key_once_in_order_and_urgent_ones_first() -> None:
    queue: WorkQueue[str] = WorkQueue(clock=Clock())
    queue.add(["a", "b", "a", "c"])
    queue.add(["c"], urgent=True)
    queue.add(["c"])
    assert drain(queue) == ["c", "a", "b"]


def test_later_keys_come_when_due_and_the_earliest_time_counts() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 20)
    assert drain(queue) == []
    clock.now += 3
    assert drain(queue) == ["a"]
    clock.now += 60
    assert drain(queue) == []


def test_a_key_may_be_put_off_again_after_it_came() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    for _ in range(3):
        queue.add_after("a", 1)
        clock.now += 1
        assert drain(queue) == ["a"]


def test_closing_wakes_the_one_who_waits() -> None:
    queue: WorkQueue[str] = WorkQueue(clock=Clock())
    got: list[str | None] = []
    waiter = threading.Thread(target=lambda: got.append(queue.get(60)))
    waiter.start()
    queue.close()
    waiter.join(5)
    assert got == [None]


actions = st.lists(
    st.tuples(st.sampled_from(["add", "urgent", "get"]), st.sampled_from("abcd")), max_size=40
)


@given(actions)
def test_nothing_is_lost_and_nothing_comes_twice(script: list[tuple[str, str]]) -> None:
    queue: WorkQueue[str] = WorkQueue(clock=Clock())
    dirty: set[str] = set()
    for action, key in script:
        if action == "get":
            got = queue.get(0)
            assert (got is None) == (not dirty)
            dirty.discard(got or "")
        else:
            queue.add([key], urgent=action == "urgent")
            dirty.add(key)
        assert len(queue) == len(dirty)
    assert set(drain(queue)) == dirty
