"""Moves a running pod's far pages to its socket, gently, until hardly any is left.

Done before cpuset.mems is written, because that write would move them with the whole node's
cgroup work waiting. Runs in a worker thread, rests between batches (``pace``), and can be
stopped at any moment: a half-moved pod works as before. It deliberately writes no cgroup file.

Page cache that no process maps stays where it is: neither move_pages(2) nor a cpuset write
can reach it.
"""

# array.array can't be subscripted at run time before Python 3.12.
from __future__ import annotations

import errno
import os
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.pin import far, maps
from numapin_agent.pin.pace import Pace, another_round, rest_seconds
from numapin_agent.pin.syscall import MOVE, MOVE_ALL, MoveResult, pages
from numapin_api.cpulist import NodeSet
from numapin_api.errors import CgroupError, MoveError

CAP_SYS_PTRACE = 19
RETRY_PAGES = 32
"""move_pages(2) stops at the first page that won't move: then in lots of this size, once."""


class Calls(Protocol):
    """move_pages(2); see ``syscall.MovePages``."""

    def query(self, pid: int, addresses: array[int]) -> array[int]:
        """Where pages lie."""

    def move(self, pid: int, addresses: array[int], node: int, *, flags: int) -> MoveResult:
        """Move pages."""


@dataclass(slots=True)
class Job:
    """One page move, shared between the worker thread and whoever looks on.

    Attributes:
        pod: whose pages.
        mems: where to.
        bytes_total: far when it began.
        bytes_left: far when it was last looked at.
        moved_pages: base pages moved so far.
        cancelled: set to stop it.
    """

    pod: PodCgroup
    mems: NodeSet
    bytes_total: int = 0
    bytes_left: int = 0
    moved_pages: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)


class Mover(Protocol):
    """Moves pages of pods."""

    def immovable(self) -> str | None:
        """Why pages can't be moved on this node; None when they can."""

    def run(self, job: Job) -> None:
        """Move until hardly anything is left, it gets on no more, or it is cancelled.

        Raises:
            MoveError: pages can't be moved at all.
            CgroupError: the pod's memory can't be read.
        """


class PageMover:
    """Moves by move_pages(2).

    Args:
        proc: the host's /proc, whose PIDs must be the agent's own (hostPID).
        calls: the system call.
        available: free and reclaimable bytes per NUMA node.
        clock: CPU seconds of the calling thread: on a busy machine, waiting for a CPU takes
            nothing from anybody and needs no rest.
    """

    def __init__(
        self,
        *,
        proc: Path,
        calls: Calls,
        available: Callable[[], Mapping[int, int]],
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._proc = proc
        self._calls = calls
        self._available = available
        self._clock = clock
        self._page = os.sysconf("SC_PAGE_SIZE")
        # A page table holds page/8 entries: 2 MiB for 4 KiB pages, 512 MiB for 64 KiB.
        self._huge = self._page * self._page // 8
        self._flags = MOVE_ALL

    def immovable(self) -> str | None:
        """See ``Mover.immovable``: other users' processes need CAP_SYS_PTRACE."""
        try:
            status = (self._proc / "self" / "status").read_text(encoding="ascii")
        except OSError as e:
            return f"{e.filename}: {e.strerror}; does the agent run with hostPID?"
        for line in status.splitlines():
            if line.startswith("CapEff:") and int(line.split()[1], 16) >> CAP_SYS_PTRACE & 1:
                return self._refused()
        return "the agent lacks the capability SYS_PTRACE"

    def _refused(self) -> str | None:
        """Why the system call is refused whatever it is asked: seccomp filters know no more."""
        try:
            self._calls.query(0, pages(()))
        except OSError as e:
            return f"move_pages(2): {e.strerror}; does the agent's seccomp profile forbid it?"
        return None

    def run(self, job: Job) -> None:
        """See ``Mover.run``."""
        left = [job.pod.memory().off(job.mems)]
        job.bytes_total = job.bytes_left = left[0]
        while not job.cancelled.is_set():
            scanned = self._round(job)
            job.bytes_left = min(job.pod.memory().off(job.mems), scanned)
            left.append(job.bytes_left)
            if not another_round(left):
                return

    def _round(self, job: Job) -> int:
        """Go through all processes once; the bytes that they have far afterwards."""
        pids = job.pod.processes()
        if 0 in pids:
            raise MoveError("the pod's processes are in another PID namespace: hostPID is needed")
        work = _Work(job=job, clock=self._clock, began=self._clock(), free=dict(self._available()))
        for pid in pids:
            try:
                self._process(pid, work)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended
            except CgroupError:
                raise
            except OSError as e:
                if e.errno == errno.EINVAL:
                    continue  # it is ending: no memory any more
                raise MoveError(f"process {pid}: {e.strerror} ({e.filename})") from e
        return sum(self._far_bytes(pid, job.mems) for pid in pids)

    def _vmas(self, pid: int) -> tuple[maps.Vma, ...]:
        directory = self._proc / str(pid)
        numa_maps = (directory / "numa_maps").read_text(encoding="ascii", errors="replace")
        return maps.parse(
            numa_maps, (directory / "maps").read_text(encoding="ascii", errors="replace")
        )

    def _far_bytes(self, pid: int, mems: NodeSet) -> int:
        try:
            return sum(vma.off(mems) for vma in self._vmas(pid))
        except (FileNotFoundError, ProcessLookupError):
            return 0

    def _process(self, pid: int, work: _Work) -> None:
        for vma in self._vmas(pid):
            missing = vma.off(work.job.mems)
            for chunk in far.chunks(vma.start, vma.end, vma.page) if missing else ():
                if missing <= 0 or work.job.cancelled.is_set():
                    break
                missing -= self._chunk(pid, chunk, vma.page, work)

    def _chunk(self, pid: int, addresses: range, page: int, work: _Work) -> int:
        """Move what is far in a chunk; the bytes that were."""
        huge = self._huge if page == self._page else page
        if self._is_empty(pid, addresses):
            return 0
        status = self._calls.query(pid, pages(addresses))
        found = far.select(addresses, status, work.job.mems, page=page, huge=huge)
        singles = found.singles
        self._batches(pid, found.heads, huge, work)
        if found.heads:
            # Where the second page followed the first, it was a huge page.
            seconds = [head + page for head in found.heads]
            moved = self._calls.query(pid, pages(seconds))
            stayed = far.select(seconds, moved, work.job.mems, page=page, huge=page).singles
            rest = far.tails([a - page for a in stayed], page=page, huge=huge)
            followed = len(found.heads) - len(stayed)
            work.job.moved_pages += followed * (huge // self._page - 1)
            singles = sorted([*singles, *rest])
        self._batches(pid, singles, page, work)
        return len(found.heads) * huge + len(found.singles) * page

    def _is_empty(self, pid: int, addresses: range) -> bool:
        # A sparse mapping of a hundred gigabytes must not cost a query for each page. The
        # entries of /proc/PID/pagemap are eight bytes, and zero for a page that never was.
        try:
            with (self._proc / str(pid) / "pagemap").open("rb", buffering=0) as pagemap:
                pagemap.seek(addresses.start // self._page * 8)
                entries = pagemap.read((addresses.stop - addresses.start) // self._page * 8)
        except PermissionError:
            return False
        return not entries.strip(b"\0")

    def _batches(self, pid: int, addresses: Sequence[int], unit: int, work: _Work) -> None:
        i = 0
        while i < len(addresses) and not work.job.cancelled.is_set():
            count = max(1, work.pace.batch_bytes // unit)
            batch = addresses[i : i + count]
            i += count
            if self._move(pid, batch, unit, work):
                for k in range(0, len(batch), RETRY_PAGES):
                    self._move(pid, batch[k : k + RETRY_PAGES], unit, work)

    def _move(self, pid: int, batch: Sequence[int], unit: int, work: _Work) -> int:
        """Move one batch and rest; how many pages did not move."""
        if work.job.cancelled.is_set():
            return 0
        node = max(work.job.mems, key=lambda n: work.free.get(n, 0))
        try:
            result = self._calls.move(pid, pages(batch), node, flags=self._flags)
        except PermissionError as e:
            if e.errno != errno.EPERM or self._flags == MOVE:
                raise
            # Without CAP_SYS_NICE pages that several processes map stay behind.
            self._flags = MOVE
            return self._move(pid, batch, unit, work)
        moved = sum(1 for s in result.status if s == node)
        work.job.moved_pages += moved
        work.free[node] = work.free.get(node, 0) - moved * unit
        work.job.bytes_left = max(0, work.job.bytes_left - moved * unit)
        work.rest()
        return result.failed


@dataclass(slots=True)
class _Work:
    """A round's own state: the pace and the room that is thought to be left."""

    job: Job
    clock: Callable[[], float]
    began: float
    free: dict[int, int]
    pace: Pace = field(default_factory=Pace)

    def rest(self) -> None:
        """Rest as long as was worked since the last rest; a cancel ends it at once."""
        busy = self.clock() - self.began
        self.pace = self.pace.after(busy)
        self.job.cancelled.wait(rest_seconds(busy))
        self.began = self.clock()
