"""Asks the kubelet which pods hold devices and exclusive CPUs, when that may have changed.

The kubelet tells nobody of changes, but decides when it admits a pod, and a pod that was
admitted or is gone has another status: so a change of any pod is the sign to ask. A burst of
changes is one question. A node where nothing happens is never asked.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from numapin_agent.kubelet.resources import UNASKED, PodName, Resources, resources
from numapin_api.errors import KubeletError

log = logging.getLogger(__name__)

LIST = "/v1.PodResourcesLister/List"
ALLOCATABLE = "/v1.PodResourcesLister/GetAllocatableResources"
DEADLINE_SECONDS = 5.0
PAUSE_SECONDS = 3.0
"""From a change to the question: what the kubelet says of a pod changes some times in a row."""
STALE_SECONDS = 600.0
"""How long an answer stands while newer ones can't be had: a kubelet that restarts must not
look as if no pod held a device."""


class Asker:
    """One thread that asks.

    Args:
        path: the kubelet's socket.
        answered: called when something else came out than before, by the thread.
        failed: called with each error, by the thread.
        clock: monotonic seconds.
        uids: of the pods of this node, as the API server says.
        pause: seconds from a change to the question.
    """

    def __init__(  # noqa: PLR0913 -- all but one by keyword
        self,
        path: Path,
        *,
        answered: Callable[[], None],
        failed: Callable[[Exception], None],
        clock: Callable[[], float],
        uids: Callable[[], Mapping[PodName, str]],
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._path = path
        self._answered = answered
        self._failed = failed
        self._clock = clock
        self._uids = uids
        self._pause = pause
        self._latest = UNASKED
        self._good_at = 0.0
        self._identity: tuple[int, int] | None = None
        self._due = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def start(self) -> None:
        """Begin to listen to :meth:`changed`."""
        self._thread.start()

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped.set()
        self._due.set()

    @property
    def latest(self) -> Resources:
        """What the kubelet said last."""
        return self._latest

    def changed(self) -> None:
        """A pod changed: ask soon."""
        self._due.set()

    def look(self) -> None:
        """Ask anew if the last try failed or the kubelet was started anew; cheap."""
        if self._latest is not UNASKED and (
            self._latest.problem is not None or self._socket() != self._identity
        ):
            self._due.set()

    def ask(self) -> None:
        """Ask now, by the calling thread."""
        self._identity = self._socket()
        before = self._uids()
        try:
            found = self._answer()
        except KubeletError as e:
            if str(e) != self._latest.problem:
                log.warning("which pods hold devices is not known: %s", e)
                self._failed(e)
            stands = self._clock() - self._good_at < STALE_SECONDS
            found = replace(self._latest if stands else Resources(), problem=str(e)[:1024])
        else:
            # A pod that came in between is a change, and the reason for the next question.
            now = self._uids()
            found = found.of({name: uid for name, uid in before.items() if now.get(name) == uid})
            self._good_at = self._clock()
        if found != self._latest:
            self._latest = found
            self._answered()

    def _answer(self) -> Resources:
        if self._identity is None:
            raise KubeletError(f"there is no {self._path}")
        # h2 takes 0.8 MB, which nodes without that socket need not pay.
        from numapin_agent.kubelet.call import connect  # noqa: PLC0415

        with connect(self._path, seconds=DEADLINE_SECONDS) as connection:
            return resources(connection.call(LIST), connection.call(ALLOCATABLE))

    def _socket(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _run(self) -> None:
        while True:
            self._due.wait()
            if self._stopped.wait(self._pause):
                return
            self._due.clear()
            try:
                self.ask()
            except Exception as e:  # the thread must outlive any surprise in an answer
                log.exception("unexpected error when the kubelet was asked")
                self._failed(e)
