"""The loop: takes keys that are due, so many at a time, and has each reconciled.

One key's failure costs no other anything but its place: it is logged, counted and tried again
later. What a key stands for, and what reconciling it is, the loop doesn't know; which is due
is ``dirty``'s.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

from numapin_api.errors import NumapinError
from numapin_operator.dirty import DirtyKeys
from numapin_operator.metrics import Metrics

WORKERS: Final = 16
"""Requests under way at a time."""
IDLE_TICK_SECONDS: Final = 5.0
"""The loop shows that it lives at least so often."""

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)


class Work(Generic[K]):
    """Keys to be reconciled, and the loop that has it done.

    Args:
        reconcile: does one; what it raises is tried again later.
        metrics: where to count.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        reconcile: Callable[[K], Awaitable[None]],
        *,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._reconcile, self._metrics, self._clock = reconcile, metrics, clock
        self._dirty: DirtyKeys[K] = DirtyKeys()
        self._wake = asyncio.Event()
        self.last_tick = clock()

    def mark(self, keys: Iterable[K], *, after: float = 0.0) -> None:
        """Make keys due in so many seconds; below 0 they come before others."""
        self._dirty.mark(keys, now=self._clock(), after=after)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        free = asyncio.Semaphore(WORKERS)
        async with asyncio.TaskGroup() as group:
            while True:
                await free.acquire()
                while (key := self._take()) is None:
                    await self._pause()
                task = group.create_task(self._one(key))
                task.add_done_callback(lambda _: free.release())

    async def once(self) -> bool:
        """Reconcile the key that has been due longest; False if none is due."""
        key = self._take()
        if key is None:
            return False
        await self._one(key)
        return True

    def _take(self) -> K | None:
        self.last_tick = self._clock()
        return self._dirty.take(self.last_tick)

    async def _pause(self) -> None:
        """Sleep until something may be due. Cleared first: a mark meanwhile wakes at once."""
        self._wake.clear()
        wait = self._dirty.wait(self._clock())
        limit = IDLE_TICK_SECONDS if wait is None else min(wait, IDLE_TICK_SECONDS)
        if wait == 0.0:
            # Due, but somebody else works on that key; done() wakes us.
            limit = IDLE_TICK_SECONDS
        try:
            async with asyncio.timeout(limit):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _one(self, key: K) -> None:
        """Reconcile one key; errors are logged, counted and tried again later."""
        with self._metrics.reconcile_seconds.time():
            try:
                await self._reconcile(key)
            except NumapinError as error:
                # Expected trouble (API server away or refusing): the message says it all.
                delay = self._dirty.failed(key, now=self._clock())
                self._metrics.errors.labels(where=type(error).__name__).inc()
                log.warning(
                    "reconcile failed, will retry",
                    extra={"key": str(key), "error": str(error), "seconds": delay},
                )
            except Exception:
                # The edge of the loop: a bug in one pod's case must not stop all others.
                delay = self._dirty.failed(key, now=self._clock())
                self._metrics.errors.labels(where="reconcile").inc()
                log.exception("reconcile crashed", extra={"key": str(key), "seconds": delay})
            else:
                self._dirty.done(key)
        self._wake.set()
