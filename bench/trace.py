"""The latency probes: what starting and ending them costs, and that a thousand times leave nothing.

Natively on this machine: every probe that its kernel answers; those that it refuses are told with
the reason.
"""

import errno
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.harness import Bed, Row

from numapin_agent.bpf import syscalls
from numapin_agent.trace.question import PROBES, Question, Scope
from numapin_agent.trace.result import Result
from numapin_agent.trace.run import TRACE_OPTIONS, run
from numapin_api.errors import TraceError

TITLE = "Latency probes: a thousand starts and ends, and what they cost"
NEEDS_LAB = False

CYCLES = 1000
_FUNCTION = "vfs_read"
QUESTIONS = tuple(Question(probe, _FUNCTION if probe == "function" else None) for probe in PROBES)
"""One of each probe."""
_BY_ID = {"prog": 13, "map": 14, "link": 30}
"""BPF_*_GET_FD_BY_ID."""


def measure(bed: Bed) -> Iterable[Row]:  # noqa: ARG001 (the lab is not needed)
    """Each probe once for its cost, then those that are answered again and again."""
    with tempfile.TemporaryDirectory() as store:
        answered = []
        for question in QUESTIONS:
            try:
                result = ask(question, Path(store), 5, {})
            except TraceError as refused:
                yield Row(f"{question.probe}: refused: {refused}", math.nan, "")
                continue
            answered.append(question)
            yield from _cost(question.probe, result)
        yield from leftovers(CYCLES, Path(store), answered)


def ask(question: Question, store: Path, seconds: float, seen: dict[str, set[int]]) -> Result:
    options = replace(TRACE_OPTIONS, store=store)

    def look(_: float) -> None:
        for kind, ids in _held().items():
            seen.setdefault(kind, set()).update(ids)

    return run(
        question,
        Scope(),
        seconds=seconds,
        options=options,
        stop=threading.Event(),
        progress=look,
    )


def _cost(probe: str, result: Result) -> Iterable[Row]:
    yield Row(f"{probe}: loaded in", result.cost.load_seconds, "s")
    for program in result.cost.programs:
        if program.runs >= 1000 and program.nanoseconds is not None:
            what = f"{probe}: {program.name}, per event ({program.runs} events)"
            yield Row(what, program.nanoseconds / program.runs, "ns")


def leftovers(cycles: int, store: Path, questions: Sequence[Question]) -> Iterable[Row]:
    """Ask so many questions, one after the other; what is there afterwards that was not before.

    Args:
        cycles: how many.
        store: directory of kept objects.
        questions: which, in turn; this kernel answers each.
    """
    seen: dict[str, set[int]] = {}
    descriptors, children, began = _descriptors(), _children(), time.monotonic()
    for i in range(cycles):
        ask(questions[i % len(questions)], store, 0.15, seen)
    each = (time.monotonic() - began) / cycles
    probes = len({question.probe for question in questions})
    yield Row(f"{cycles} starts and ends of {probes} probes, each", each, "s")
    for kind, ids in seen.items():
        yield _none(f"{kind}s left of {len(ids)} seen", sum(_there(kind, one) for one in ids))
    yield _none("descriptors left", _descriptors() - descriptors)
    yield _none("processes left", len(_children() - children))


def _none(what: str, value: int) -> Row:
    return Row(what, value, "", goal="0", met=value == 0)


def _held() -> dict[str, set[int]]:
    found: dict[str, set[int]] = {kind: set() for kind in _BY_ID}
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            lines = info.read_text().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            kind, _, number = line.partition("_id:")
            if kind in found:
                found[kind].add(int(number))
    return found


def _there(kind: str, identity: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # the kernel frees them after a grace period
        try:
            os.close(syscalls.bpf(_BY_ID[kind], syscalls.attribute("=III", identity, 0, 0)))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        os.sched_yield()
    return True


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> set[str]:
    """Of any thread of this process."""
    tasks = Path("/proc/self/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}
