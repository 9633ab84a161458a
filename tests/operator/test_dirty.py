"""The work queue: what is due when, without a clock."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from numapin_operator.dirty import (
    FIRST_BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    DirtyKeys,
    backoff,
)


def test_first_marked_first_taken():
    keys: DirtyKeys[str] = DirtyKeys()
    keys.mark(["b", "a"], now=0)
    keys.mark(["a", "c"], now=0)
    assert [keys.take(0), keys.take(0), keys.take(0), keys.take(0)] == ["b", "a", "c", None]


def test_earlier_mark_wins_and_later_one_changes_nothing():
    keys: DirtyKeys[str] = DirtyKeys()
    keys.mark(["a"], now=0, after=10)
    assert (keys.take(9), keys.wait(9)) == (None, 1)
    keys.mark(["a"], now=1, after=60)
    keys.mark(["a"], now=2)
    assert (keys.take(2), keys.take(99)) == ("a", None)


def test_key_marked_while_worked_on_comes_back_once_afterwards():
    keys: DirtyKeys[str] = DirtyKeys()
    keys.mark(["a"], now=0)
    assert keys.take(0) == "a"
    keys.mark(["a"], now=1)
    keys.mark(["a"], now=1)
    assert keys.take(1) is None  # never two at once
    keys.done("a")
    assert (keys.take(1), keys.take(1)) == ("a", None)


def test_busy_key_does_not_hold_up_the_others():
    keys: DirtyKeys[str] = DirtyKeys()
    keys.mark(["a"], now=0)
    keys.take(0)
    keys.mark(["a", "b"], now=0)
    assert keys.take(0) == "b"


def test_failures_wait_twice_as_long_each_time_until_a_success():
    keys: DirtyKeys[str] = DirtyKeys()
    now, waits = 0.0, []
    for _ in range(10):
        keys.mark(["a"], now=now)
        assert keys.take(now + 1e6) == "a"
        waits.append(keys.failed("a", now=now))
    assert waits[:4] == [FIRST_BACKOFF_SECONDS * n for n in (1, 2, 4, 8)]
    assert waits[-1] == LONGEST_BACKOFF_SECONDS
    assert keys.take(now + 59) is None
    assert keys.take(now + 60) == "a"
    keys.done("a")
    keys.mark(["a"], now=now)
    keys.take(now)
    assert keys.failed("a", now=now) == FIRST_BACKOFF_SECONDS


def test_mark_during_a_failing_attempt_does_not_undo_the_backoff():
    keys: DirtyKeys[str] = DirtyKeys()
    keys.mark(["a"], now=0)
    keys.take(0)
    keys.mark(["a"], now=0)
    keys.failed("a", now=0)
    assert keys.take(0) is None
    assert keys.wait(0) == FIRST_BACKOFF_SECONDS


def test_backoff_ends_at_a_minute():
    assert backoff(10_000) == LONGEST_BACKOFF_SECONDS


class Queue(RuleBasedStateMachine):
    """Against a plain dictionary: nothing is lost, doubled or early."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: DirtyKeys[int] = DirtyKeys()
        self.due: dict[int, float] = {}
        self.busy: set[int] = set()
        self.now = 0.0

    @rule(key=st.integers(0, 3), after=st.sampled_from([0.0, 0.5, 2.0]))
    def mark(self, key: int, after: float) -> None:
        self.keys.mark([key], now=self.now, after=after)
        self.due[key] = min(self.due.get(key, float("inf")), self.now + after)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        ready = {k: t for k, t in self.due.items() if t <= self.now and k not in self.busy}
        taken = self.keys.take(self.now)
        assert (taken in ready) if ready else taken is None
        if taken is not None:
            assert ready[taken] == min(ready.values())
            del self.due[taken]
            self.busy.add(taken)

    @rule(key=st.integers(0, 3))
    def done(self, key: int) -> None:
        if key in self.busy:
            self.keys.done(key)
            self.busy.discard(key)

    @rule(key=st.integers(0, 3))
    def failed(self, key: int) -> None:
        if key in self.busy:
            self.due[key] = self.now + self.keys.failed(key, now=self.now)
            self.busy.discard(key)

    @invariant()
    def same_keys(self) -> None:
        assert len(self.keys) == len(self.due)
        wait = self.keys.wait(self.now)
        earliest = min(self.due.values(), default=None)
        assert wait == (None if earliest is None else max(0.0, earliest - self.now))


TestQueue = Queue.TestCase
