"""Rows, call paths and single events of an answer, in order, as many as are kept. Pure."""

import errno
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Final

from numapin_agent.trace import records
from numapin_agent.trace.counted import Counted, Names
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.kept import SLOWEST
from numapin_agent.trace.question import Question
from numapin_agent.trace.records import Event, Key, Path
from numapin_agent.trace.result import Moment, Row, Stack, few_rows, few_stacks
from numapin_agent.trace.systemcalls import WAITING
from numapin_agent.trace.words import ORDER, RAN, STAGES, about_call, labels, plain

KEPT_ROWS: Final = 500
KEPT_STACKS: Final = 5000
NOT_KEPT: Final = "[stack not kept]"
_COLLISION: Final = -errno.EEXIST
"""Another stack has this one's place (bpf_get_stackid)."""
_OURS: Final = re.compile(
    r"bpf_trace_run\d+$|bpf_prog_\w+( \[bpf\])?$|bpf_trampoline_|perf_trace_|__traceiter_"
)
"""Innermost frames that are the probe's own."""


def rows(counted: Counted, names: Names, question: Question) -> list[Row]:
    """One for each different label, what takes most time first."""
    joined: dict[tuple[tuple[str, str], ...], Histogram] = {}
    waits = any(key.kind == records.STOLEN for key in counted.histograms)
    for key, histogram in counted.histograms.items():
        told = labels(key, names, counted, question)
        if waits and key.kind != records.STOLEN:
            told["threads"] = RAN
        found = tuple(told.items())
        joined[found] = joined.get(found, Histogram()) + histogram
    made = [Row(labels=dict(found), histogram=each) for found, each in joined.items()]
    if question.probe == "net-rx":
        order = [STAGES[i] for i in ORDER]
        return sorted(made, key=lambda row: order.index(row.labels["stage"]))
    if question.probe == "timers":
        made.sort(key=lambda row: -row.histogram.maximum)
    elif question.probe == "syscalls":
        waiting = {True: 1, False: 0}
        made.sort(key=lambda row: (waiting[row.labels["syscall"] in WAITING], -row.histogram.total))
    else:
        made.sort(key=lambda row: -row.histogram.total)
    return few_rows(made, KEPT_ROWS)


def _frames(path: Path, counted: Counted, names: Names) -> list[str]:
    frames = [] if path.kind == records.FUNCTION else [plain(names.process(path.tgid))]
    user = counted.user.get(path.user, ())
    frames += [plain(names.user_name(path.tgid, address)) for address in reversed(user)]
    calls = [names.kernel_name(address) for address in counted.kernel.get(path.kernel, ())]
    while calls and _OURS.match(calls[0]):
        del calls[0]
    frames += [f"{name}_[k]" for name in reversed(calls)]
    return [*frames, NOT_KEPT] if _COLLISION in {path.user, path.kernel} else frames


def stacks(counted: Counted, names: Names, *, by_time: bool) -> list[Stack]:
    """Call paths with their weights, the heaviest first; the lightest in one if there are many."""
    folded: dict[tuple[str, ...], int] = {}
    for path, weight in counted.paths.items():
        # a function is on many paths, and is to be in memory once
        frames = tuple(map(sys.intern, _frames(path, counted, names)))
        gain = weight.nanoseconds if by_time else weight.count
        folded[frames] = folded.get(frames, 0) + gain
    order = sorted(folded.items(), key=lambda one: -one[1])
    made = [Stack(frames=list(frames), weight=weight) for frames, weight in order if weight]
    return few_stacks(made, KEPT_STACKS)


def moments(
    counted: Counted, names: Names, question: Question, events: Iterable[Event]
) -> list[Moment]:
    """Single long events, the longest first."""
    longest = sorted(events, key=lambda one: -one.length)
    made = []
    for event in longest[:SLOWEST]:
        told = {"cpu": str(event.cpu)}
        if event.kind == records.SYSCALL:
            told |= {"process": plain(names.process(event.tgid)), **about_call(event, counted)}
        else:
            key = Key(event.id, event.kind, event.cpu)
            told |= labels(key, names, counted, question)
        made.append(moment(event, counted, told))
    return made


def moment(event: Event, counted: Counted, told: Mapping[str, str]) -> Moment:
    """A single event in an answer's words."""
    return Moment(
        # what was under way when the programs were attached begins with the trace
        at_seconds=max(0.0, round((event.start - counted.began) / 1e9, 6)),
        nanoseconds=event.length,
        labels=dict(told),
    )
