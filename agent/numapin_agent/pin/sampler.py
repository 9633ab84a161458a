"""Samples where the pages of files lie that a pod maps, and finds who else maps a file.

The shell around ``borrowed``. It never reads numa_maps, which holds the process's mmap lock
while all its page tables are walked; /proc/PID/maps holds it for a few lines at a time, a query
of move_pages(2) for 16 pages. It rests as long as it works. It deliberately decides nothing.
"""

# array.array can't be subscripted at run time before Python 3.12.
from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.pin import borrowed
from numapin_agent.pin.borrowed import File, Found, Told
from numapin_agent.pin.pace import rest_seconds
from numapin_agent.pin.syscall import pages
from numapin_api.cpulist import NodeSet

MOST_PROCESSES: Final = 4
"""Sampled of one pod, those with the most of files resident: each takes 3 ms of CPU time."""
MOST_SEARCHED: Final = 16
"""Processes of another pod whose maps are read, the same: 1 ms for 250 mappings."""
LEAST_MAPPED: Final = 1 << 20
"""Of less a pod that maps a file does not tell: what is told of is larger by far."""


class Query(Protocol):
    """move_pages(2) that only asks; ``syscall.MovePages`` is one such."""

    def query(self, pid: int, addresses: array[int]) -> array[int]:
        """Where pages lie."""


class Sampler:
    """Looks at processes of pods.

    Args:
        proc: the host's /proc, whose PIDs must be the agent's own (hostPID).
        calls: the system call.
        clock: CPU seconds of the calling thread.
    """

    def __init__(
        self, *, proc: Path, calls: Query, clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._proc = proc
        self._calls = calls
        self._clock = clock
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End what is under way, soon and without a result."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop: what it says then is not whole."""
        return self._stopped.is_set()

    def look(
        self, pod: PodCgroup, home: NodeSet, told: Collection[tuple[str, int]]
    ) -> tuple[Told, ...] | None:
        """What a pod maps off its NUMA nodes and others are charged for.

        Args:
            pod: whom to look at.
            home: its pin's NUMA nodes.
            told: see ``borrowed.tell``.

        Returns:
            None when that can't be found out: the kernel does not say what of a pod's files is
            mapped, or the agent may not look (SYS_PTRACE, hostPID).

        Raises:
            CgroupError: memory.numa_stat is malformed.
        """
        charged = pod.memory().mapped
        pids = pod.processes()
        if not charged or 0 in pids:
            return None
        least = borrowed.gate(charged, told=bool(told))
        largest = self._largest(pids)[:MOST_PROCESSES]
        found: Found = {}
        for pid in self._paced(pid for size, pid in largest if size >= least):
            try:
                found = borrowed.merged(found, self._sample(pid))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended
            except PermissionError:
                return None
            except OSError as e:
                if e.errno != errno.EINVAL:  # it is ending: no memory any more
                    return None
        return borrowed.tell(found, charged=charged, home=home, told=told)

    def files(self, pod: PodCgroup) -> frozenset[File]:
        """The files of which a pod maps a MiB and more; of those processes that can be read."""
        found: set[File] = set()
        largest = self._largest(pod.processes())[:MOST_SEARCHED]
        for pid in self._paced(pid for _, pid in largest):
            with contextlib.suppress(OSError):
                sizes = borrowed.sizes(borrowed.parse(self._maps(pid)))
                found.update(file for file, size in sizes.items() if size >= LEAST_MAPPED)
        return frozenset(found)

    def _paced(self, pids: Iterable[int]) -> Iterator[int]:
        """Each in turn, with rests between them, until stopped."""
        for pid in pids:
            begun = self._clock()
            yield pid
            if self._stopped.wait(rest_seconds(self._clock() - begun)):
                return

    def _largest(self, pids: Iterable[int]) -> list[tuple[int, int]]:
        """Bytes of files that each process has resident, and its id; the largest first."""
        return sorted(((self._shared(pid), pid) for pid in pids), reverse=True)

    def _shared(self, pid: int) -> int:
        """Resident bytes of files and shared memory, by counters of the process alone.

        The third field of statm: RssFile and RssShmem of /proc/PID/status in one
        (fs/proc/task_mmu.c ``task_statm``).
        """
        try:
            return int((self._proc / str(pid) / "statm").read_bytes().split()[2]) * self._page
        except (OSError, IndexError):
            return 0

    def _sample(self, pid: int) -> Found:
        mappings = borrowed.parse(self._maps(pid), hugetlb=self._has_huge_pages(pid))
        sample = borrowed.choose(borrowed.distinct(mappings), page=self._page)
        if not sample.addresses:
            return {}
        return borrowed.count(sample, self._calls.query(pid, pages(sample.addresses)))

    def _maps(self, pid: int) -> str:
        return (self._proc / str(pid) / "maps").read_bytes().decode("utf-8", errors="replace")

    def _has_huge_pages(self, pid: int) -> bool:
        """Of hugetlbfs; as if, where the kernel does not say."""
        status = (self._proc / str(pid) / "status").read_bytes()
        _, _, rest = status.partition(b"\nHugetlbPages:")
        return rest.split()[:1] != [b"0"]
