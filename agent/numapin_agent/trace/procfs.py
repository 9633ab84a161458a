"""Reads processes' files in procfs, and only of processes that an answer may tell of.

The edge to /proc/PID. A process that has ended leaves its number to another, maybe another
pod's: its directory, once opened, stays its own, and whose cgroup it is in is asked anew.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from numapin_agent.trace.pause import Pause

_DIRECTORIES: Final = 1000
"""Of a cgroup at most; a pod that may make cgroups of its own must not keep us busy."""
LARGEST: Final = 4 << 20
"""Bytes of one file; a process may have 65,530 mappings (vm.max_map_count), of long paths."""
_SOONEST_SECONDS: Final = 0.1
"""Between two looks at the cgroup's processes."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process' directory, held open.

    Attributes:
        fd: descriptor of the directory.
    """

    fd: int

    def read(self, name: str, most: int = LARGEST) -> bytes:
        """A file, as far as it is read: its process decides how long some are.

        Args:
            name: of the file.
            most: bytes.

        Raises:
            OSError: the process has ended, or no right.
        """
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        with os.fdopen(fd, "rb") as file:
            return file.read(most)

    def text(self, name: str) -> str:
        """The same as text. What the process says itself need not be UTF-8; that is replaced."""
        return self.read(name).decode(errors="replace")


class Processes:
    """The processes of a machine, or of one cgroup.

    Args:
        proc: the host's procfs.
        cgroup: directory of cgroup v2; only processes in it or below are read. None: all are.
        clock: monotonic seconds.
    """

    def __init__(
        self, proc: Path, cgroup: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._proc = proc
        self._cgroup = cgroup
        self._ours: set[bytes] = set()
        self._pause = Pause(clock, _SOONEST_SECONDS)

    @contextmanager
    def open(self, tgid: int) -> Iterator[Process]:
        """A process' files. What was read is good only if the end is reached.

        Raises:
            OSError: it has ended, or is not of the cgroup, before or after.
        """
        with self._opened(tgid) as process:
            self._check(process)
            yield process
            self._check(process)

    @contextmanager
    def _opened(self, tgid: int) -> Iterator[Process]:
        fd = os.open(self._proc / str(tgid), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Process(fd)
        finally:
            os.close(fd)

    def _check(self, process: Process) -> None:
        if self._cgroup is None:
            return
        line = _line(process)
        if line not in self._ours:
            self._look(self._cgroup)
        if line not in self._ours:
            raise ProcessLookupError("no process of this cgroup")

    def _look(self, cgroup: Path) -> None:
        """How /proc/PID/cgroup names this cgroup and those below, by processes that are there.

        It is relative to the cgroup namespace of who reads, which a container has of its own.
        """
        if not self._pause.over:
            return
        with self._pause.after():
            for at, _, _ in islice(os.walk(cgroup), _DIRECTORIES):
                listed = Path(at) / "cgroup.procs"
                with suppress(OSError, ValueError):
                    for tgid in map(int, listed.read_text().split()):
                        line = self._line_of(tgid)
                        if line and str(tgid) in listed.read_text().split():
                            self._ours.add(line)
                            break

    def _line_of(self, tgid: int) -> bytes:
        try:
            with self._opened(tgid) as process:
                return _line(process)
        except OSError:
            return b""


def _line(process: Process) -> bytes:
    """Of cgroup v2, in /proc/PID/cgroup; no name in it has a line feed."""
    lines = process.read("cgroup").split(b"\n")
    return next((line for line in lines if line.startswith(b"0::")), b"")
