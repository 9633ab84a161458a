"""Runs one probe for a bounded time and gives its answer: ``run(question, scope, …)``.

The edge: attaches by way of the loader child, waits, keeps what would vanish (names of
processes, queues that fill), detaches before it reads, and lets go of everything whatever
happens. Knows nothing of Kubernetes: a scope is a directory of cgroups.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import read_topology
from numapin_agent.trace import kernel, memory
from numapin_agent.trace.answers import answer
from numapin_agent.trace.causes import of_threads
from numapin_agent.trace.functions import meant, never_returns, why_not
from numapin_agent.trace.histogram import Histogram, added
from numapin_agent.trace.kept import Hunt, Slowest
from numapin_agent.trace.launch import Held, hold, task_of
from numapin_agent.trace.machine import Machine
from numapin_agent.trace.question import Question, Scope, Task
from numapin_agent.trace.result import Cause, Cost, Ended, Figure, Result
from numapin_agent.trace.running import LAST, TICK, Running, load_percent
from numapin_agent.trace.words import FAULTS, unnamed, unseen
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CgroupError, TopologyError, TraceError

LONGEST: Final = 600.0
"""Seconds that a probe may run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a probe may cost.

    Attributes:
        cpu_percent: of one CPU, in kernel programs; measured where the kernel lets us, else
            one nanosecond is reckoned for each instruction. A probe above it is ended.
        map_bytes: most memory for histograms and stacks; all else takes a few MiB.
    """

    cpu_percent: float = 20.0
    map_bytes: int = 32 << 20


TRACE_OPTIONS: Final = LoadOptions()


def scope_of(directory: Path, hierarchy: Path, name: str) -> Scope:
    """The scope of a cgroup and all below it.

    Args:
        directory: of the cgroup, such as a pod's.
        hierarchy: where cgroup v2 is mounted.
        name: what the answer calls it.

    Raises:
        CgroupError: it is gone, or not of a v2 hierarchy.
    """
    if not (hierarchy / "cgroup.controllers").exists():
        raise CgroupError(f"{hierarchy}: no cgroup v2 hierarchy, which alone can be traced by pod")
    try:
        level = len(directory.relative_to(hierarchy).parts)
        return Scope(name, directory.stat().st_ino, level, str(directory))
    except (OSError, ValueError) as error:
        raise CgroupError(f"{directory}: no cgroup below {hierarchy}: {error}") from error


def hierarchy(paths: HostPaths) -> Path:
    """Where this host has its cgroup v2 hierarchy: at the usual place, or as in hybrid mode."""
    hybrid = paths.cgroup / "unified"
    return hybrid if (hybrid / "cgroup.controllers").exists() else paths.cgroup


def run(  # noqa: PLR0913 — each is a thing of its own, and all but two have a default
    question: Question,
    scope: Scope,
    *,
    seconds: float,
    limits: Limits = Limits(),
    paths: HostPaths = HostPaths(),  # noqa: B008
    options: LoadOptions = TRACE_OPTIONS,
    macros: Mapping[str, int] | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Result:
    """Ask the kernel a question.

    Args:
        question: what.
        scope: of whom, see ``scope_of``.
        seconds: how long to watch, at most ``LONGEST``.
        limits: what it may cost.
        paths: of the host.
        options: how the loader child is run.
        macros: override kernel constants, to count events of another kind.
        stop: when set, the probe ends early and gives what it has.
        progress: told the seconds watched so far, ten times a second.

    Returns:
        The answer; nothing is attached any more.

    Raises:
        TraceError: this kernel can't answer, with the reason, or the duration is out of range.
    """
    if not 0 < seconds <= LONGEST:
        raise TraceError(f"duration {seconds:g} s: must be above 0 and at most {LONGEST:g} s")
    ended = stop or threading.Event()
    directory = None if scope.directory is None else Path(scope.directory)
    machine = Machine(paths.proc, _sockets(paths), directory)
    # Before the programs run, so that afterwards no process ends while we read a big file.
    machine.load_kernel()
    not_seen: tuple[str, ...] = ()
    if question.function is not None:
        chosen = meant(question.function, machine.kernel)
        if never_returns(chosen.symbol):
            raise TraceError(
                f"function {chosen.symbol} does not return when a thread ends: the kernel would "
                "wait for it for ever"
            )
        question, not_seen = replace(question, function=chosen.symbol), chosen.notes
    task = task_of(
        question,
        scope,
        paths=paths,
        store=options.store,
        map_bytes=limits.map_bytes,
        macros=macros or {},
    )
    statistics = kernel.enable_statistics()
    watch = (
        memory.Watch(paths, directory, CpuSet(task.online))
        if question.probe == "memory-wait"
        else None
    )
    held = None
    try:
        held = _hold(task, options, ended, machine)
        running = Running(
            held,
            machine,
            task.cpus,
            statistics is not None,
            question.probe in {"run-queue", "off-cpu"},
            Hunt() if question.probe == "spike" else Slowest(),
        )
        threads = machine.ipvs_threads() if question.probe in {"timers", "spike"} else {}
        if watch is not None:
            watch.begin()
        began = time.monotonic_ns()
        held.open()
        how, why = _wait(running, seconds, ended, progress, most=limits.cpu_percent)
        held.detach()
        took = (time.monotonic_ns() - began) / 1e9
        figures, unread = watch.end(took) if watch is not None else ([], [])
        running.drain_rest()
        running.meet(LAST, last=True)
        found = answer(question, scope.name, running.counted(began, took), machine)
        grown = machine.ipvs_threads() if threads else {}
        worked = sum(max(0, grown.get(pid, then) - then) for pid, then in threads.items())
        named: list[Cause] = of_threads(len(threads), worked, took)
        hidden = [] if machine.kernel.starts else [_HIDDEN]
        nameless = [
            *unnamed(machine.too_large(), "too large"),
            *unnamed(machine.forbidden(), "the agent may not read it (chmod a+r lets it)"),
        ]
        spent = running.spent()
        missed = unseen({one.name: one.runs for one in spent})
        untold = [*held.notes, *not_seen, *unread, *hidden, *nameless, *missed]
        return found.model_copy(
            update={
                "ended": how,
                "why": why,
                "lost": running.lost(),
                # a program that walks a user's stack may fault itself: no fault of the pod's
                "skipped": running.skipped() if question.probe != "page-faults" else 0,
                "causes": [*found.causes, *named],
                "figures": [*figures, *_rates(found, running.moved_pages(), took)],
                "untold": untold,
                "cost": Cost(
                    programs=spent,
                    load_seconds=round(held.seconds, 3),
                    compiler_peak_bytes=held.peak_rss_bytes,
                ),
            }
        )
    finally:
        if held is not None:
            held.close()
        if watch is not None:
            watch.close()
        if statistics is not None:
            os.close(statistics)


def _sockets(paths: HostPaths) -> dict[int, int | None]:
    try:
        return {node.id: node.socket for node in read_topology(paths).nodes}
    except TopologyError:
        return {}


_HIDDEN: Final = (
    "names of kernel functions are hidden from this process (kernel.kptr_restrict; capability "
    "SYSLOG)"
)


def _hold(task: Task, options: LoadOptions, ended: threading.Event, machine: Machine) -> Held:
    try:
        return hold(task, options, ended.is_set)
    except TraceError as error:
        name = task.question.function
        if name is None or ended.is_set():
            raise
        raise TraceError(why_not(name, machine.kernel, str(error))) from error


def _wait(
    running: Running,
    seconds: float,
    ended: threading.Event,
    progress: Callable[[float], None],
    *,
    most: float,
) -> tuple[Ended, str | None]:
    began, checked = time.monotonic(), 0.0
    while (passed := time.monotonic() - began) < seconds:
        if ended.wait(min(TICK, seconds - passed)):
            return "interrupted", f"stopped after {time.monotonic() - began:.1f} s"
        progress(time.monotonic() - began)
        running.drain(TICK)
        running.meet(TICK)
        passed = time.monotonic() - began
        if passed - checked >= 1:
            checked = passed
            share = load_percent(running.spent(), passed)
            if share > most:
                took = f"{share:.1f} % of a CPU, more than {most:g} %"
                if running.timed:
                    return "limit", f"its programs took {took}"
                return "limit", (
                    f"its programs take up to {took}: reckoned by instructions, as their time is "
                    "not measured here"
                )
    return "complete", None


def _rates(found: Result, pages: int, seconds: float) -> list[Figure]:
    """How much a second, where that is what people know."""
    if found.probe not in {"numa-moves", "memory-wait"} or seconds <= 0:
        return []
    moves = [row.histogram for row in found.rows if "to" in row.labels]
    return [
        Figure(name="NUMA migrations", value=round(added(moves).count / seconds, 1), unit="/s"),
        Figure(name="pages moved", value=round(pages / seconds, 1), unit="/s"),
        _time("NUMA migrations", moves, seconds),
        *(
            _time(f"{name}s", [row.histogram], seconds)
            for name in FAULTS
            for row in found.rows
            if row.labels.get("wait") == name
        ),
    ]


def _time(what: str, spent: list[Histogram], seconds: float) -> Figure:
    milliseconds = added(spent).total / 1e6
    return Figure(name=f"time in {what}", value=round(milliseconds / seconds, 3), unit="ms/s")
