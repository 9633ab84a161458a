"""A value that is costly to have and may be a little old."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Calls a function again only when its last answer is too old.

    Two threads that ask at once may both call it; either answer is fresh.

    Args:
        ask: the costly function; what it raises passes through.
        seconds: how old an answer may be.
        clock: monotonic seconds.
    """

    def __init__(self, ask: Callable[[], T], *, seconds: float, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._answer: tuple[float, T] | None = None

    def __call__(self) -> T:
        """The answer, at most so many seconds old."""
        now, held = self._clock(), self._answer
        if held is not None and now - held[0] < self._seconds:
            return held[1]
        answer = self._ask()
        self._answer = (now, answer)
        return answer
