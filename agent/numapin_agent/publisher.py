"""Writes what is due to the API server, so that the reconcile loop never waits for it.

Level-triggered like the loop: of several writes for one key only the newest is sent, and a
write that fails stays due, with a growing pause, until it succeeds, is replaced or
dropped. It deliberately knows nothing of what is written: a write is a function.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from numapin_agent.watch import retry_seconds
from numapin_agent.workqueue import WorkQueue
from numapin_api.errors import ApiError

log = logging.getLogger(__name__)

Write = Callable[[], None]


class Publisher:
    """One thread that sends due writes, each key in turn.

    Args:
        failed: called with each error.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        failed: Callable[[Exception], None],
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._failed = failed
        self._uniform = uniform
        self._queue: WorkQueue[str] = WorkQueue(clock=clock)
        self._lock = threading.Lock()
        self._due: dict[str, Write] = {}
        self._failures: dict[str, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped.set()
        self._queue.close()

    def submit(self, key: str, write: Write) -> None:
        """Make a write due; one that is due already under that key is dropped.

        Args:
            key: the object.
            write: sends it; raises ApiError when it has to be sent again.
        """
        with self._lock:
            self._due[key] = write
            waiting = key in self._failures
        if not waiting:  # else its pause goes on, and then the newest is sent
            self._queue.add((key,))

    def drop(self, key: str) -> None:
        """Forget what is due under that key."""
        with self._lock:
            self._due.pop(key, None)
            self._failures.pop(key, None)

    def pending(self) -> int:
        """How many writes are due."""
        with self._lock:
            return len(self._due)

    def _run(self) -> None:
        while not self._stopped.is_set():
            key = self._queue.get(60.0)
            if key is not None:
                self.send(key)

    def send(self, key: str) -> None:
        """Send what is due under that key, now, by the calling thread."""
        with self._lock:
            write = self._due.get(key)
        if write is None:
            return
        try:
            write()
        except ApiError as e:
            log.warning("%s: %s", key, e)
            self._retry(key, e)
        except Exception as e:  # the thread must outlive any surprise in a write
            log.exception("%s: unexpected error in a write", key)
            self._retry(key, e)
        else:
            with self._lock:
                self._failures.pop(key, None)
                if self._due.get(key) is write:
                    del self._due[key]
                else:  # replaced meanwhile
                    self._queue.add((key,))

    def _retry(self, key: str, error: Exception) -> None:
        self._failed(error)
        with self._lock:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._queue.add_after(key, retry_seconds(failures, uniform=self._uniform))
