"""Runs page moves in one thread, one pod at a time, and remembers how each ended.

One at a time: two pods moved at once would take twice the CPU and memory bandwidth from
everybody else on the node.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.pin.mover import Job, Mover
from numapin_agent.pin.values import MoveOutcome, Moving
from numapin_api.cpulist import NodeSet
from numapin_api.errors import NumapinError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    job: Job
    ended: float | None = None
    error: str | None = None
    taken_pages: int = 0


class Moves:
    """The node's page moves.

    Args:
        mover: does the work.
        done: called from the worker thread with the UID when a move has ended.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        mover: Mover,
        *,
        done: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mover = mover
        self._done = done
        self._clock = clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="page-mover")
        self._entries: dict[str, _Entry] = {}

    def immovable(self) -> str | None:
        """Why pages can't be moved on this node; None when they can."""
        return self._mover.immovable()

    def start(self, pod: PodCgroup, mems: NodeSet) -> None:
        """Begin to move a pod's pages, unless that is under way."""
        entry = self._entries.get(pod.uid)
        if entry is not None and entry.ended is None:
            if entry.job.mems == mems:
                return
            entry.job.cancelled.set()
        size = pod.memory().off(mems)
        entry = _Entry(Job(pod=pod, mems=mems, bytes_total=size, bytes_left=size))
        self._entries[pod.uid] = entry
        self._executor.submit(self._run, entry)

    def moving(self, uid: str, mems: NodeSet) -> bool:
        """Whether the pod's pages are being moved there, or wait for their turn."""
        entry = self._entries.get(uid)
        return entry is not None and entry.ended is None and entry.job.mems == mems

    def progress(self, uid: str) -> Moving | None:
        """How far the pod's move is; None when there is none."""
        entry = self._entries.get(uid)
        if entry is None or entry.ended is not None:
            return None
        total = entry.job.bytes_total
        return Moving(bytes_done=max(0, total - entry.job.bytes_left), bytes_total=total)

    def outcome(self, uid: str) -> MoveOutcome | None:
        """How the pod's last move ended; None when there was none or it still runs."""
        entry = self._entries.get(uid)
        if entry is None or entry.ended is None:
            return None
        return MoveOutcome(
            mems=entry.job.mems,
            left=entry.job.bytes_left,
            error=entry.error,
            age_seconds=self._clock() - entry.ended,
        )

    def take_moved_pages(self, uid: str) -> int:
        """Base pages moved for the pod since this was last asked."""
        entry = self._entries.get(uid)
        if entry is None:
            return 0
        moved = entry.job.moved_pages
        fresh, entry.taken_pages = moved - entry.taken_pages, moved
        return fresh

    def forget(self, uid: str) -> None:
        """Stop the pod's move, if there is one, and forget it."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.job.cancelled.set()

    def close(self) -> None:
        """Stop everything at once and wait for the thread: at most one batch."""
        for entry in list(self._entries.values()):
            entry.job.cancelled.set()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run(self, entry: _Entry) -> None:
        if entry.job.cancelled.is_set():
            return
        try:
            self._mover.run(entry.job)
        except NumapinError as e:
            entry.error = str(e)
        except Exception as e:  # the thread's edge: a bug must not leave the pin in Moving for ever
            log.exception("moving the pages of pod %s", entry.job.pod.uid)
            entry.error = f"unexpected: {e!r}"
        entry.ended = self._clock()
        if not entry.job.cancelled.is_set():
            self._done(entry.job.pod.uid)
