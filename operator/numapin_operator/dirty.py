"""Which keys are to be reconciled, and when: a work queue without a clock of its own.

Level-triggered: marking a key that waits already changes nothing but its time, and a key
that is marked while it is worked on comes back once afterwards. A key that fails waits
twice as long each time. Pure: the caller says what time it is.
"""

import heapq
import itertools
from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF_SECONDS: Final = 0.25
LONGEST_BACKOFF_SECONDS: Final = 60.0


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return float(min(FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 16), LONGEST_BACKOFF_SECONDS))


class DirtyKeys(Generic[K]):
    """Keys with the time from which each is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._busy: set[K] = set()
        self._failures: dict[K, int] = {}
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._due)

    def mark(self, keys: Iterable[K], *, now: float, after: float = 0.0) -> None:
        """Make keys due; one that is due earlier already stays so.

        Args:
            keys: in the order in which they are to be taken.
            now: monotonic seconds.
            after: seconds from now.
        """
        for key in keys:
            due = now + after
            known = self._due.get(key)
            if known is not None and known <= due:
                continue
            self._due[key] = due
            heapq.heappush(self._heap, (due, next(self._order), key))

    def take(self, now: float) -> K | None:
        """The key that has been due longest and that nobody works on; None if none is."""
        put_back: list[tuple[float, int, K]] = []
        taken: K | None = None
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            due, _, key = entry
            if self._due.get(key) != due:
                continue  # marked for another time since
            if key in self._busy:
                put_back.append(entry)
                continue
            del self._due[key]
            self._busy.add(key)
            taken = key
            break
        for entry in put_back:
            heapq.heappush(self._heap, entry)
        return taken

    def wait(self, now: float) -> float | None:
        """Seconds until a key may become due; None while nothing waits."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def done(self, key: K) -> None:
        """The key was reconciled."""
        self._busy.discard(key)
        self._failures.pop(key, None)

    def failed(self, key: K, *, now: float) -> float:
        """The key could not be reconciled; it comes back after its backoff.

        Returns:
            The seconds until then.
        """
        self._busy.discard(key)
        self._failures[key] = failures = self._failures.get(key, 0) + 1
        # A mark that came while it was worked on must not undo the backoff.
        self._due.pop(key, None)
        self.mark([key], now=now, after=backoff(failures))
        return backoff(failures)
