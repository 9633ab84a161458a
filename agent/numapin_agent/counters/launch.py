"""Has the loader child load the counters and takes over their descriptors.

A missing bcc, a crash, a hang or a refusal becomes a level ``none`` with a reason for the
signals concerned, never an exception: pins work without counters.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from numapin_agent.bpf.launch import AbsentError, Child, LoadOptions, started
from numapin_agent.bpf.wire import send
from numapin_agent.counters.request import Request
from numapin_agent.counters.signals import FIELDS, Level

LOADER: Final = "numapin_agent.counters.loader"


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
        broke_off: whether it began and never finished, so that another may get further.
    """

    signals: Mapping[str, Probed]
    fds: tuple[tuple[str, int], ...] = ()
    cost: LoadCost | None = None
    broke_off: bool = False


@dataclass(slots=True)
class _Collected:
    signals: dict[str, Probed] = field(default_factory=dict)
    fds: list[tuple[str, int]] = field(default_factory=list)
    done: Mapping[str, Any] | None = None


def load(request: Request, options: LoadOptions) -> Loaded:
    """Run the child with the first interpreter that can import bcc, should it have to.

    Args:
        request: what to load.
        options: how to run it.
    """
    if options.forbidden is not None:
        return Loaded(dict.fromkeys(FIELDS, Probed("none", options.forbidden)))
    try:
        return options.first(lambda interpreter: _run(request, options, interpreter))
    except AbsentError as absent:
        return Loaded(dict.fromkeys(FIELDS, Probed("none", str(absent))))


def _run(request: Request, options: LoadOptions, interpreter: str) -> Loaded:
    began = time.monotonic()
    got = _Collected()
    problem = None
    try:
        with started(options, interpreter, LOADER) as child:
            try:
                _collect(child, request, got, deadline=began + options.timeout_seconds)
            except TimeoutError:
                problem = f"the loader was not done after {options.timeout_seconds:g} s"
            except (OSError, ValueError, KeyError) as error:
                problem = f"the loader's messages broke off: {error}"
            status = child.end()
            if got.done is None:
                problem = problem or f"the loader ended early with status {status}"
                said = child.said()
                problem += f": {said}" if said else ""
    except AbsentError:
        for _, fd in got.fds:
            os.close(fd)
        raise
    unsaid = Probed("none", problem or "the loader said nothing about it")
    cost = None
    if got.done is not None:
        cost = LoadCost(
            seconds=time.monotonic() - began,
            btf_seconds=float(got.done["btf_seconds"]),
            peak_rss_bytes=int(got.done["peak_rss_bytes"]),
            interpreter=interpreter,
        )
    return Loaded(
        {n: got.signals.get(n, unsaid) for n in FIELDS},
        tuple(got.fds),
        cost,
        broke_off=got.done is None,
    )


def _collect(child: Child, request: Request, got: _Collected, deadline: float) -> None:
    send(child.channel, request.encode())
    while got.done is None:
        child.channel.settimeout(max(0.001, deadline - time.monotonic()))
        received = child.receive()
        if received is None:
            return
        message, fds = received
        if "signal" in message:
            got.fds += zip(message["roles"], fds, strict=True)
            got.signals[message["signal"]] = Probed(
                message["level"], message["reason"], tuple(message.get("programs", ()))
            )
        got.done = message.get("done")
