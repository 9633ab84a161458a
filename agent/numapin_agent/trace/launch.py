"""Starts the loader child of a trace and takes over what it attached.

Unlike the counters' launch this one raises: whoever asked a question is to hear why there is
no answer. A child that hangs, crashes or is interrupted is ended, and what it had attached
ends with it.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numapin_agent.bpf.compiler import stderr_tail
from numapin_agent.bpf.wire import receive, send
from numapin_agent.counters.launch import LoadOptions, end, environment
from numapin_agent.trace.question import Task
from numapin_api.errors import TraceError


@dataclass(frozen=True, slots=True)
class Attached:
    """A program that runs.

    Attributes:
        name: of its C function.
        kind: how it is attached.
        target: to what.
        place: in the map ``ran``.
    """

    name: str
    kind: str
    target: str
    place: int


@dataclass(slots=True)
class Held:
    """Descriptors that were handed over; owned from then on.

    Attributes:
        maps: by name.
        programs: by name.
        links: that keep programs attached.
        attached: what runs.
        notes: what the answer can't tell.
        calls: system calls by number.
        seconds: that loading took.
        peak_rss_bytes: of the child.
    """

    maps: dict[str, int] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    links: list[int] = field(default_factory=list)
    attached: tuple[Attached, ...] = ()
    notes: tuple[str, ...] = ()
    calls: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    peak_rss_bytes: int = 0

    def detach(self) -> None:
        """Stop all programs; their maps can still be read."""
        while self.links:
            os.close(self.links.pop())

    def close(self) -> None:
        """Let go of everything."""
        self.detach()
        for fds in (self.programs, self.maps):
            while fds:
                os.close(fds.popitem()[1])


def hold(task: Task, options: LoadOptions, stopped: Callable[[], bool]) -> Held:
    """Have everything compiled and attached.

    Args:
        task: what to load.
        options: how to run the child.
        stopped: asked often; true gives up.

    Raises:
        TraceError: it can't be had, with the reason; or it was given up.
    """
    if options.forbidden is not None:
        raise TraceError(options.forbidden)
    absent = []
    for interpreter in dict.fromkeys(options.interpreters):
        held = Held()
        try:
            missing = _run(task, options, interpreter, stopped, held)
        except BaseException:
            held.close()
            raise
        if missing is None:
            return held
        held.close()
        absent.append(missing)
    raise TraceError("no Python here can import bcc: " + "; ".join(absent))


def _run(
    task: Task, options: LoadOptions, interpreter: str, stopped: Callable[[], bool], held: Held
) -> str | None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    output = os.memfd_create("numapin-trace-stderr", os.MFD_CLOEXEC)
    child = None
    try:
        with ours:
            with theirs:
                try:
                    child = subprocess.Popen(
                        options.command(interpreter, theirs.fileno()),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=output,
                        pass_fds=(theirs.fileno(),),
                        env=environment(),
                    )
                except OSError as error:
                    return f"{interpreter}: {error.strerror}"
            send(ours, task.encode())
            deadline = time.monotonic() + options.timeout_seconds
            return _collect(ours, held, deadline, stopped, output)
    finally:
        if child is not None:
            end(child)
        os.close(output)


def _collect(
    channel: socket.socket, held: Held, deadline: float, stopped: Callable[[], bool], output: int
) -> str | None:
    channel.settimeout(0.1)
    while True:
        try:
            received = receive(channel)
        except TimeoutError:
            if stopped():
                raise TraceError("interrupted while its programs were compiled") from None
            if time.monotonic() > deadline:
                raise TraceError("the compiler was not done in time") from None
            continue
        except (OSError, ValueError) as error:
            raise TraceError(f"the loader's messages broke off: {error}") from error
        if received is None:
            said = stderr_tail(os.pread(output, 1 << 20, 0).decode(errors="replace"))
            raise TraceError(f"the loader ended early: {said}".rstrip(": "))
        message, fds = received
        if "unavailable" in message:
            return str(message["unavailable"])
        if "refused" in message:
            raise TraceError(str(message["refused"]))
        if "done" in message:
            return None
        if "links" in message:
            held.links += fds
        else:
            _take(held, message, fds)


def _take(held: Held, message: Mapping[str, Any], fds: list[int]) -> None:
    for role, fd in zip(message["roles"], fds, strict=True):
        kind, name = role.split(":", 1)
        (held.maps if kind == "map" else held.programs)[name] = fd
    held.attached = tuple(Attached(*one) for one in message["programs"])
    held.notes = tuple(message["notes"])
    held.calls = {int(number): name for number, name in message["calls"].items()}
    held.seconds = float(message["seconds"])
    held.peak_rss_bytes = int(message["peak_rss_bytes"])
