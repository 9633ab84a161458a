"""Keeps what must be read again and again to a small part of the time, however long it takes.

A pod decides how many cgroups and sockets it has, and so how long a look at them takes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

PART: Final = 10
"""Work takes at most one in so many seconds."""


class Pause:
    """The time that must pass after some work before it is done again.

    Args:
        clock: monotonic seconds.
        least: seconds, however short the work was.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, least: float = 0.0) -> None:
        self._clock = clock
        self._least = least
        self._until = 0.0

    @property
    def over(self) -> bool:
        """Whether the work may be done."""
        return self._clock() >= self._until

    @contextmanager
    def after(self) -> Iterator[None]:
        """Do the work; the pause begins with its end, and is as long as the work asks for."""
        began = self._clock()
        try:
            yield
        finally:
            now = self._clock()
            self._until = now + max(self._least, PART * (now - began))
