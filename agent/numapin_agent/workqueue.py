"""Which keys are dirty, which of them can't wait, and which come up again later.

Level-triggered: a key is in here or it is not, however often it was added; what happened
to it is found out by looking. It deliberately knows nothing of what keys stand for.
"""

import heapq
import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Dirty keys, each at most once.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._urgent: dict[K, None] = {}
        self._ready: dict[K, None] = {}
        self._due: dict[K, float] = {}
        self._later: list[tuple[float, int, K]] = []
        self._count = 0
        self._closed = False

    def add(self, keys: Iterable[K], *, urgent: bool = False) -> None:
        """Mark keys dirty.

        Args:
            keys: what to look at.
            urgent: before all that are not.
        """
        with self._changed:
            for key in keys:
                if urgent:
                    self._ready.pop(key, None)
                    self._urgent[key] = None
                elif key not in self._urgent:
                    self._ready[key] = None
            self._changed.notify()

    def add_after(self, key: K, seconds: float) -> None:
        """Mark a key dirty after that time; of several times the earliest counts."""
        with self._changed:
            at = self._clock() + seconds
            if self._due.get(key, at + 1) <= at:
                return
            self._due[key] = at
            self._count += 1
            heapq.heappush(self._later, (at, self._count, key))
            self._changed.notify()

    def get(self, timeout: float) -> K | None:
        """Take the next dirty key, urgent ones first, else in the order they were added.

        Args:
            timeout: seconds to wait for one.

        Returns:
            None when there was none in that time, or the queue is closed.
        """
        end = self._clock() + timeout
        with self._changed:
            while not self._closed:
                self._promote()
                for queue in (self._urgent, self._ready):
                    if queue:
                        key = next(iter(queue))
                        del queue[key]
                        return key
                now = self._clock()
                if now >= end:
                    return None
                self._changed.wait(min(end, self._later[0][0] if self._later else end) - now)
            return None

    def close(self) -> None:
        """Make every ``get`` return None at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._urgent) + len(self._ready)

    def _promote(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            at, _, key = heapq.heappop(self._later)
            if self._due.get(key) == at:
                del self._due[key]
                if key not in self._urgent:
                    self._ready[key] = None
