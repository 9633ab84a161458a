"""Makes a probe's answer of what its programs counted and of the machine's names.

Pure but for the names, which come from whoever implements ``Names``. Decides what may be
said: about a pod nothing is told of processes that are not the pod's.
"""

from typing import Any, Final

from numapin_agent.trace import causes
from numapin_agent.trace.counted import Counted, Names
from numapin_agent.trace.question import Question
from numapin_agent.trace.result import NANOSECONDS, Result
from numapin_agent.trace.spikes import spike
from numapin_agent.trace.tables import moments, rows, stacks
from numapin_agent.trace.words import RAN, WAITED, hooks, under_way

_THREADS: Final = (
    f"threads {RAN}: on top of them; {WAITED}: while they waited for that CPU, one count a wait"
)
_WEIGHTS: Final = {"page-faults": "faults", "function": "calls"}
"""What call paths are weighed in where that isn't time."""


def answer(question: Question, scope: str, counted: Counted, names: Names) -> Result:
    """The answer of any probe, without what it cost and how it ended."""
    found: dict[str, Any]
    if question.probe == "spike":
        found = spike(counted, names, question)
    else:
        made = rows(counted, names, question)
        found = {
            "rows": made,
            "moments": moments(counted, names, question, counted.events),
        }
        if question.probe == "timers":
            longest = [(row.labels["function"], row.histogram.maximum) for row in made]
            found["causes"] = causes.of_timers(longest)
        if question.probe == "syscalls":
            found["notes"] = under_way(counted, names)
        if question.probe == "netfilter":
            found["notes"] = hooks(counted.hooked, names)
        if any("threads" in row.labels for row in made):
            found["notes"] = [_THREADS]
    weight = _WEIGHTS.get(question.probe, NANOSECONDS)
    return Result(
        probe=question.probe,
        scope=scope,
        seconds=round(counted.seconds, 3),
        stacks=stacks(counted, names, by_time=weight == NANOSECONDS),
        weight=weight,
        **found,
    )
