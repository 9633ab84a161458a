"""Starts long-lived programs and ends exactly those again.

A process id alone may have been given to somebody else since, so a process is known by id,
start time and boot; signals go through a pidfd, which can't be reused under our feet.
Deliberately no lookup by name.
"""

import contextlib
import os
import select
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numapin_api.errors import LabError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ENDED = "ZX"
"""States of a process that has ended but was not reaped (proc(5))."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, told apart from a later one with the same id.

    Attributes:
        pid: process id.
        started: field 22 of /proc/PID/stat, clock ticks since boot (proc(5)).
        boot: the kernel's boot id, because ticks restart with the machine.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Describe the process that runs, or ended and was not yet reaped, under `pid`.

        Raises:
            LabError: no such process.
        """
        found = _state_and_start(pid)
        if found is None:
            raise LabError(f"there is no process {pid}")
        return cls(pid=pid, started=found[1], boot=_BOOT_ID.read_text().strip())

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        found = _state_and_start(self.pid)
        return (
            found is not None
            and found[0] not in _ENDED
            and found[1] == self.started
            and self.boot == _BOOT_ID.read_text().strip()
        )


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """State letter and start time in ticks, None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, so count from the last parenthesis.
    state, *fields = stat.rpartition(")")[2].split()
    return state, int(fields[18])


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    detached: bool,
) -> Process:
    """Start a program in a session of its own with its output appended to `log`.

    Args:
        argv: program and arguments.
        log: file for stdout and stderr; its folder is made.
        env: whole environment; None inherits ours.
        detached: outlive the caller; otherwise the kernel ends the program when the thread
            that started it ends (prctl PR_SET_PDEATHSIG), however that came about.

    Raises:
        LabError: the program is not there.
    """
    args = [str(a) for a in argv]
    if not detached:
        args = ["setpriv", "--pdeathsig", "KILL", "--", *args]
    program = shutil.which(args[0])
    if program is None:
        raise LabError(f"{args[0]} is not installed")
    log.parent.mkdir(parents=True, exist_ok=True)
    pid = os.posix_spawn(
        program,
        args,
        dict(os.environ if env is None else env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            # What we were started with, such as the lock of flock(1), would be held for as long.
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()),
        ],
        setsid=True,
    )
    return Process.of(pid)


def _inherited() -> list[int]:
    """File descriptors beyond the three; one that is closed meanwhile does no harm."""
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2]  # noqa: PTH208


def stop(process: Process, *, grace_seconds: float = 10.0) -> None:
    """End a process: SIGTERM, after `grace_seconds` SIGKILL; returns when it is gone.

    Nothing happens when it has ended already, or its id belongs to somebody else by now.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # Checked with the pidfd held: from here on it can't become another process.
        if process.alive():
            signal.pidfd_send_signal(fd, signal.SIGTERM)
            if not _ended(fd, grace_seconds):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                _ended(fd, grace_seconds)
        # Ours to reap only when this interpreter started it.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
    finally:
        os.close(fd)


def _ended(fd: int, seconds: float) -> bool:
    """Wait for the process behind a pidfd; a pidfd is readable once it has ended."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
