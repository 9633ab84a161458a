"""What ``spike`` answers: the slow system calls, each with what held it up. Pure."""

from typing import Any

from numapin_agent.trace import blame, causes, records
from numapin_agent.trace.counted import Counted, Names
from numapin_agent.trace.kept import SLOWEST
from numapin_agent.trace.question import Question
from numapin_agent.trace.result import Blamed, Moment
from numapin_agent.trace.tables import moment, rows
from numapin_agent.trace.words import about_call, culprit_name, plain, under_way


def spike(counted: Counted, names: Names, question: Question) -> dict[str, Any]:
    """Fields of the answer."""
    found = blame.culprits(counted.events)
    # a call that waited for data, a lock or a disk is no victim of the kernel: those come last
    found.sort(key=lambda one: (one[1].kind in {None, records.OFF}, -one[0].length))
    told: list[Moment] = []
    blamed: dict[str, tuple[bool, list[int]]] = {}
    for event, culprit in found:
        name = culprit_name(culprit, names)
        named = culprit.kind not in {None, records.OFF}
        blamed.setdefault(name, (named, []))[1].append(event.length)
        if len(told) < SLOWEST:
            words = {"process": plain(names.process(event.tgid)), **about_call(event, counted)}
            covered = round(100 * culprit.nanoseconds / event.length)
            found_out = {"culprit": name, "covered": covered}
            told.append(moment(event, counted, words).model_copy(update=found_out))
    judged = [
        Blamed(
            culprit=name,
            named=named,
            calls=len(times),
            nanoseconds=sum(times),
            longest=max(times),
        )
        for name, (named, times) in blamed.items()
    ]
    judged.sort(key=lambda one: -one.nanoseconds)
    timers = dict.fromkeys(c.id for _, c in found if c.kind in {records.TIMER, records.HRTIMER})
    histograms = {k: h for k, h in counted.histograms.items() if k.kind == records.SYSCALL}
    only_calls = Counted(counted.began, counted.seconds, histograms, calls=counted.calls)
    as_syscalls = Question("syscalls", threshold=question.threshold)
    return {
        "rows": rows(only_calls, names, as_syscalls),
        "moments": told,
        "notes": [
            *([] if judged else ["no system call was slow"]),
            *_unjudged(counted, len(found)),
            *under_way(counted, names),
        ],
        "causes": causes.of_timers((names.kernel_name(one), causes.SLOW) for one in timers),
        "blamed": judged,
    }


def _unjudged(counted: Counted, judged: int) -> list[str]:
    """What of slow calls is not told."""
    said = []
    if (more := counted.left_out.slow_calls - judged) > 0:
        said.append(
            f"{more:,} more slow calls were not judged: of all {counted.left_out.slow_calls:,} "
            "those that were awake the least"
        )
    if blurred := counted.left_out.blurred:
        said.append(
            f"of {blurred:,} slow calls the begin was forgotten, as too much else took long: "
            "their culprit may be another"
        )
    return said
