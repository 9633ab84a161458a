"""Starts loader children and sees them off, whatever becomes of them.

The parent's half of ``child``: finds a Python that has bcc, gives it a channel, keeps what it
writes to standard error for the one line that tells why it failed. What is sent over the
channel, and whether a failure is an exception or a reason, is the caller's.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numapin_agent
from numapin_agent.bpf.compiler import HEADERS, stderr_tail
from numapin_agent.bpf.wire import receive

INTERPRETERS: Final = (sys.executable, "/usr/bin/python3")
"""This Python, then the distribution's own, for which alone it packages bcc."""

Command = Callable[[str, str, int], Sequence[str]]
"""From an interpreter, the loader's module and the descriptor of its channel."""

T = TypeVar("T")


class AbsentError(Exception):
    """An interpreter, or all of them, can't be started or can't import bcc."""


def loader_command(interpreter: str, module: str, channel: int) -> Sequence[str]:
    """How a child is run."""
    return (interpreter, "-m", module, str(channel))


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a child is run.

    Attributes:
        interpreters: Pythons to try, in order, for one that can import bcc.
        timeout_seconds: for each; compiling takes 1 s natively, 10 to 90 s under emulation.
        store: directory of this agent's own for compiled programs, so that the next start on
            this kernel needs no compiler; None compiles each time.
        command: how an interpreter is told to be the child.
        forbidden: why nothing may be loaded at all; None when it may.
    """

    interpreters: Sequence[str] = INTERPRETERS
    timeout_seconds: float = 180.0
    store: Path | None = None
    command: Command = loader_command
    forbidden: str | None = None

    def first(self, attempt: Callable[[str], T]) -> T:
        """What comes of the first interpreter that has bcc.

        Args:
            attempt: given an interpreter; raises ``AbsentError`` where it won't do.

        Raises:
            AbsentError: none does; says why of each.
        """
        absent = []
        for interpreter in dict.fromkeys(self.interpreters):
            try:
                return attempt(interpreter)
            except AbsentError as error:
                absent.append(str(error))
        raise AbsentError("no Python here can import bcc: " + "; ".join(absent))


@dataclass(frozen=True, slots=True)
class Child:
    """A child that was started.

    Attributes:
        channel: our end.
        process: it.
        output: descriptor of what it wrote to standard error.
    """

    channel: socket.socket
    process: subprocess.Popen[bytes]
    output: int

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """Its next message, or None when it has hung up; see ``wire.receive``.

        Raises:
            AbsentError: it has to compile, and can't import bcc.
        """
        received = receive(self.channel)
        if received is not None and "unavailable" in received[0]:
            raise AbsentError(str(received[0]["unavailable"]))
        return received

    def said(self) -> str:
        """The line that says most of what it wrote to standard error."""
        return stderr_tail(os.pread(self.output, 1 << 20, 0).decode(errors="replace"))

    def end(self) -> int:
        """See it off; its exit status."""
        try:
            return self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextlib.contextmanager
def started(options: LoadOptions, interpreter: str, module: str) -> Iterator[Child]:
    """A child for as long as the context lasts; it is ended then.

    Args:
        options: how it is run.
        interpreter: by which Python.
        module: of the loader.

    Raises:
        AbsentError: there is no such interpreter.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    output = os.memfd_create("numapin-loader-stderr", os.MFD_CLOEXEC)
    with contextlib.closing(ours), os.fdopen(output, "rb"):
        with contextlib.closing(theirs):
            try:
                process = subprocess.Popen(
                    options.command(interpreter, module, theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=output,
                    pass_fds=(theirs.fileno(),),
                    env=environment(),
                )
            except OSError as error:
                raise AbsentError(f"{interpreter}: {error.strerror}") from error
        child = Child(ours, process, output)
        try:
            yield child
        finally:
            child.end()


def environment() -> dict[str, str]:
    """Only what a child needs: its own code, and our headers in place of the kernel's."""
    code = str(Path(numapin_agent.__file__).parent.parent)
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {
        "PYTHONPATH": code,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BCC_KERNEL_SOURCE": str(HEADERS),
        "LC_ALL": "C.UTF-8",
    }
