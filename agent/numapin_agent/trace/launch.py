"""Has the loader child of a trace attach its programs and takes them over.

Unlike the counters' launch this one raises: whoever asked a question is to hear why there is
no answer. A child that hangs, crashes or is interrupted is ended, and what it had attached
ends with it.
"""

import os
import platform
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.launch import AbsentError, Child, LoadOptions, started
from numapin_agent.bpf.wire import send
from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import or_own
from numapin_agent.trace.question import Question, Scope, Task
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import TraceError

LOADER: Final = "numapin_agent.trace.loader"
_OPEN: Final = 5
"""SET_OPEN of ``bpf/common.c``."""


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

    def open(self) -> None:
        """Let the programs count: until then they do nothing, as not all may be attached."""
        if "settings" in self.maps:
            key, value = struct.pack("=I", _OPEN), struct.pack("=Q", 1)
            syscalls.map_update(self.maps["settings"], key, value)

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


def task_of(  # noqa: PLR0913 -- most by keyword
    question: Question,
    scope: Scope,
    *,
    paths: HostPaths,
    store: Path | None,
    map_bytes: int,
    macros: Mapping[str, int],
) -> Task:
    """A question with all that the loader must know of this host.

    Args:
        question: what.
        scope: of whom.
        paths: of the host.
        store: directory of kept objects.
        map_bytes: most memory for histograms and stacks.
        macros: override what the plan makes of the kernel's types and of ``map_bytes``.
    """
    return Task(
        question=question,
        scope=scope,
        btf=str(or_own(paths.btf, HostPaths().btf)),
        kprobe_pmu=str(or_own(paths.kprobe_pmu, HostPaths().kprobe_pmu)),
        machine=platform.machine(),
        cpus=len(CpuSet.parse((paths.cpu_dir / "possible").read_text())),
        online=tuple(CpuSet.parse((paths.cpu_dir / "online").read_text())),
        map_bytes=map_bytes,
        store=str(store) if store is not None else None,
        numa_nodes=_with_memory(paths),
        macros=dict(macros),
    )


def _with_memory(paths: HostPaths) -> tuple[int, ...]:
    try:
        return tuple(NodeSet.parse((paths.node_dir / "has_memory").read_text()))
    except OSError:  # a kernel without CONFIG_NUMA
        return (0,)


def hold(task: Task, options: LoadOptions, stopped: Callable[[], bool]) -> Held:
    """Have everything compiled and attached; nothing counts before ``Held.open``.

    Args:
        task: what to load.
        options: how to run the child.
        stopped: asked often; true gives up.

    Raises:
        TraceError: it can't be had, with the reason; or it was given up.
    """
    if options.forbidden is not None:
        raise TraceError(options.forbidden)
    try:
        return options.first(lambda interpreter: _run(task, options, interpreter, stopped))
    except AbsentError as absent:
        raise TraceError(str(absent)) from absent


def _run(task: Task, options: LoadOptions, interpreter: str, stopped: Callable[[], bool]) -> Held:
    held = Held()
    try:
        with started(options, interpreter, LOADER) as child:
            send(child.channel, task.encode())
            _collect(child, held, time.monotonic() + options.timeout_seconds, stopped)
    except BaseException:
        held.close()
        raise
    return held


def _collect(child: Child, held: Held, deadline: float, stopped: Callable[[], bool]) -> None:
    child.channel.settimeout(0.1)
    while True:
        try:
            received = child.receive()
        except TimeoutError:
            if stopped():
                raise TraceError("interrupted while its programs were compiled") from None
            if time.monotonic() > deadline:
                raise TraceError("the compiler was not done in time") from None
            continue
        except (OSError, ValueError) as error:
            raise TraceError(f"the loader's messages broke off: {error}") from error
        if received is None:
            raise TraceError(f"the loader ended early: {child.said()}".rstrip(": "))
        message, fds = received
        if "refused" in message:
            raise TraceError(str(message["refused"]))
        if "done" in message:
            return
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
