"""Starts the loader child, takes over its descriptors and makes sure that it ends.

A missing bcc, a crash, a hang or a refusal becomes a level ``none`` with a reason for the
signals concerned, never an exception: pins work without counters.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numapin_agent
from numapin_agent.bpf.compiler import HEADERS, stderr_tail
from numapin_agent.bpf.wire import receive, send
from numapin_agent.counters.request import Request
from numapin_agent.counters.signals import FIELDS, Level

INTERPRETERS: Final = (sys.executable, "/usr/bin/python3")
"""This Python, then the distribution's own, for which alone it packages bcc."""

Command = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of one signal.

    Attributes:
        level: how it is had.
        reason: why not better.
        programs: what has to run for it, by name.
    """

    level: Level
    reason: str | None
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadCost:
    """What loading cost.

    Attributes:
        seconds: from start of the child to its last message.
        btf_seconds: of those, reading BTF.
        peak_rss_bytes: most memory the child held.
        interpreter: that had bcc.
    """

    seconds: float
    btf_seconds: float
    peak_rss_bytes: int
    interpreter: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The child's results.

    Attributes:
        signals: one for every signal.
        fds: (role, descriptor); roles are ``map:NAME``, ``program:NAME`` and ``link:NAME`` and
            may repeat when programs had to be compiled apart.
        cost: None when the child never finished.
    """

    signals: Mapping[str, Probed]
    fds: tuple[tuple[str, int], ...] = ()
    cost: LoadCost | None = None


@dataclass(slots=True)
class _Collected:
    signals: dict[str, Probed] = field(default_factory=dict)
    fds: list[tuple[str, int]] = field(default_factory=list)
    done: Mapping[str, Any] | None = None
    unavailable: str | None = None
    problem: str | None = None


def loader_command(interpreter: str, channel: int) -> Sequence[str]:
    """How the child is run."""
    return (interpreter, "-m", "numapin_agent.counters.loader", str(channel))


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How the child is run.

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


def load(request: Request, options: LoadOptions) -> Loaded:
    """Run the child with the first interpreter that can import bcc, should it have to.

    Args:
        request: what to load.
        options: how to run it.
    """
    if options.forbidden is not None:
        return Loaded(dict.fromkeys(FIELDS, Probed("none", options.forbidden)))
    absent: list[str] = []
    for interpreter in dict.fromkeys(options.interpreters):
        began = time.monotonic()
        got = _run(request, options, interpreter)
        if got.unavailable is not None:
            for _, fd in got.fds:
                os.close(fd)
            absent.append(got.unavailable)
            continue
        problem = got.problem or "the loader said nothing about it"
        signals = {n: got.signals.get(n, Probed("none", problem)) for n in FIELDS}
        cost = None
        if got.done is not None:
            cost = LoadCost(
                seconds=time.monotonic() - began,
                btf_seconds=float(got.done["btf_seconds"]),
                peak_rss_bytes=int(got.done["peak_rss_bytes"]),
                interpreter=interpreter,
            )
        return Loaded(signals, tuple(got.fds), cost)
    reason = "no Python here can import bcc: " + "; ".join(absent)
    return Loaded(dict.fromkeys(FIELDS, Probed("none", reason)))


def _run(request: Request, options: LoadOptions, interpreter: str) -> _Collected:
    got = _Collected()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    output = os.memfd_create("numapin-loader-stderr", os.MFD_CLOEXEC)
    with ours:
        try:
            with theirs:
                child = subprocess.Popen(
                    options.command(interpreter, theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=output,
                    pass_fds=(theirs.fileno(),),
                    env=environment(),
                )
        except OSError as error:
            os.close(output)
            got.unavailable = f"{interpreter}: {error.strerror}"
            return got
        try:
            _collect(ours, request, got, deadline=time.monotonic() + options.timeout_seconds)
        except TimeoutError:
            got.problem = f"the loader was not done after {options.timeout_seconds:g} s"
        except (OSError, ValueError, KeyError) as error:
            got.problem = f"the loader's messages broke off: {error}"
        finally:
            status = end(child)
    if got.done is None and got.unavailable is None:
        tail = stderr_tail(os.pread(output, 1 << 20, 0).decode(errors="replace"))
        got.problem = got.problem or f"the loader ended early with status {status}"
        got.problem += f": {tail}" if tail else ""
    os.close(output)
    return got


def _collect(channel: socket.socket, request: Request, got: _Collected, deadline: float) -> None:
    send(channel, request.encode())
    while got.done is None and got.unavailable is None:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        received = receive(channel)
        if received is None:
            return
        message, fds = received
        if "signal" in message:
            got.fds += zip(message["roles"], fds, strict=True)
            got.signals[message["signal"]] = Probed(
                message["level"], message["reason"], tuple(message.get("programs", ()))
            )
        got.done = message.get("done")
        got.unavailable = message.get("unavailable")


def end(child: subprocess.Popen[bytes]) -> int:
    """See a loader child off; its exit status."""
    try:
        return child.wait(timeout=2)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def environment() -> dict[str, str]:
    """Only what the child needs: its own code, and our headers in place of the kernel's."""
    code = str(Path(numapin_agent.__file__).parent.parent)
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {
        "PYTHONPATH": code,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BCC_KERNEL_SOURCE": str(HEADERS),
        "LC_ALL": "C.UTF-8",
    }
