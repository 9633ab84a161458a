"""The copy of a collection survives everything an API server can do to it."""

import queue
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wait import until

from numapin_agent.watch import (
    LAST_RETRY_SECONDS,
    Mirror,
    VersionGoneError,
    retry_seconds,
)
from numapin_api.errors import ApiError

Item = tuple[str, int]


@dataclass
class Script:
    """An API server that answers each request by the next line of a script.

    A list's answer is a version and objects, a watch's is changes; an exception is raised
    instead, or after the changes. The last watch hangs until ``end``.
    """

    answers: Iterable[object]
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._answers = iter(self.answers)
        self._hang: queue.Queue[None] = queue.Queue()

    def list(self) -> tuple[str, Iterable[Item]]:
        self.asked.append("list")
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, tuple)
        return answer

    def watch(self, version: str) -> Iterator[tuple[str, str, Item]]:
        self.asked.append(f"watch {version}")
        for change in next(self._answers, [None]):  # type: ignore[call-overload]
            if change is None:
                self._hang.get()
            elif isinstance(change, Exception):
                raise change
            else:
                yield change

    def end(self) -> None:
        self._hang.put(None)


def run(
    *answers: object,
    until_asked: list[str],
    same: Callable[[Item, Item], bool] = lambda _old, _new: False,
) -> tuple[Mirror[str, Item], list[str]]:
    """Let a mirror go through a script; its copy, and the keys it reported."""
    script, touched, errors = Script(answers), list[str](), list[Exception]()
    mirror: Mirror[str, Item] = Mirror(
        "items",
        script,
        key=lambda item: item[0],
        changed=lambda keys: touched.extend(sorted(keys)),
        failed=errors.append,
        same=same,
        uniform=lambda _low, _high: 0.0,
    )
    mirror.start()
    try:
        until(lambda: script.asked == until_asked, what=f"{until_asked}, not {script.asked}")
    finally:
        mirror.stop()
        script.end()
    return mirror, touched


GONE = VersionGoneError("too old resource version")
AWAY = ApiError("connection refused")


def test_lists_then_follows_changes() -> None:
    mirror, touched = run(
        ("1", [("a", 1), ("b", 1)]),
        [("MODIFIED", "2", ("a", 2)), ("DELETED", "3", ("b", 1)), ("ADDED", "4", ("c", 4)), AWAY],
        until_asked=["list", "watch 1", "watch 4"],
    )
    assert dict(mirror.objects()) == {"a": ("a", 2), "c": ("c", 4)}
    assert touched == ["a", "b", "a", "b", "c"]
    assert mirror.listed


def test_an_object_that_is_as_good_as_before_is_kept_and_not_told_of() -> None:
    mirror, touched = run(
        ("1", [("a", 1)]),
        [("MODIFIED", "2", ("a", 3)), ("MODIFIED", "3", ("a", 4)), AWAY],
        until_asked=["list", "watch 1", "watch 3"],
        same=lambda old, new: old[1] % 2 == new[1] % 2,
    )
    assert dict(mirror.objects()) == {"a": ("a", 4)}
    assert touched == ["a", "a"]


def test_a_bookmark_moves_the_version_and_nothing_else() -> None:
    mirror, touched = run(
        ("1", [("a", 1)]),
        [("BOOKMARK", "7", ("", 0)), AWAY],
        until_asked=["list", "watch 1", "watch 7"],
    )
    assert dict(mirror.objects()) == {"a": ("a", 1)}
    assert touched == ["a"]


def test_410_lists_again_and_reports_what_went_missing_meanwhile() -> None:
    mirror, touched = run(
        ("1", [("a", 1), ("b", 1)]),
        [GONE],
        ("9", [("b", 9)]),
        until_asked=["list", "watch 1", "list", "watch 9"],
    )
    assert dict(mirror.objects()) == {"b": ("b", 9)}
    assert touched == ["a", "b", "a", "b"]


def test_an_api_server_that_is_away_empties_nothing() -> None:
    mirror, touched = run(
        ("1", [("a", 1)]),
        [AWAY],
        [AWAY],
        [GONE],
        AWAY,
        AWAY,
        ("5", [("a", 1)]),
        until_asked=["list", "watch 1", "watch 1", "watch 1", "list", "list", "list", "watch 5"],
    )
    assert dict(mirror.objects()) == {"a": ("a", 1)}
    assert touched == ["a", "a"]


def test_nothing_is_listed_before_a_whole_list_came() -> None:
    mirror, touched = run(AWAY, AWAY, ("1", []), until_asked=["list", "list", "list", "watch 1"])
    assert mirror.listed
    assert touched == []


def test_a_surprise_in_the_watch_lists_again() -> None:
    mirror, _ = run(
        ("1", [("a", 1)]),
        [RuntimeError("surprise")],
        ("2", [("a", 2)]),
        until_asked=["list", "watch 1", "list", "watch 2"],
    )
    assert dict(mirror.objects()) == {"a": ("a", 2)}


@given(st.integers(min_value=1, max_value=10_000))
def test_pauses_grow_and_are_capped(failures: int) -> None:
    longest = retry_seconds(failures, uniform=lambda _low, high: high)
    shortest = retry_seconds(failures, uniform=lambda low, _high: low)
    assert 0 < shortest < longest <= LAST_RETRY_SECONDS
    assert retry_seconds(failures + 1, uniform=lambda _low, high: high) >= longest


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (2, 1), (3, 2), (7, 30), (1000, 30)])
def test_pauses(failures: int, seconds: float) -> None:
    assert retry_seconds(failures, uniform=lambda _low, high: high) == seconds
