"""What a probe answers, for people, for programs and over the wire. Values only.

Never holds a kernel address, nor anything of a cgroup that was not asked about: whoever may
read the answer about a pod need not be allowed to see the node.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from numapin_agent.trace.histogram import Histogram, added, as_data, from_data
from numapin_api.base import Wire

Ended = Literal["complete", "interrupted", "limit"]
Buckets = Annotated[
    Histogram,
    PlainSerializer(as_data, return_type=dict[str, Any]),
    BeforeValidator(lambda given: given if isinstance(given, Histogram) else from_data(given)),
]
NANOSECONDS: Final = "ns"
OTHERS: Final = "[others]"
"""All rows, or all stacks, that are too many to be told one by one."""


class Row(Wire):
    """One line of the answer."""

    labels: dict[str, str]
    histogram: Buckets


class Stack(Wire):
    """A call path and what it weighs."""

    frames: list[str]
    """From the process' name to where it happened."""
    weight: int


class Moment(Wire):
    """Something that took long, once."""

    at_seconds: float
    """After the probe's start."""
    nanoseconds: int
    labels: dict[str, str]
    culprit: str = ""
    """What held it up, of a moment of ``spike``."""
    covered: int = 0
    """Per cent of it that the culprit took."""


class Blamed(Wire):
    """What held up slow system calls, of all that were judged."""

    culprit: str
    """As the moments say it."""
    named: bool
    """Whether it is something in the kernel; else they slept, or nothing is known."""
    calls: int
    nanoseconds: int
    """That those calls took."""
    longest: int
    """Nanoseconds of the slowest of them."""


class Figure(Wire):
    """One number of the answer."""

    name: str
    value: float
    unit: str


class Cause(Wire):
    """Something known to make pods slow, that was seen."""

    name: str
    says: str
    remedy: str


class ProgramCost(Wire):
    """What a kernel program cost."""

    name: str
    target: str
    runs: int
    instructions: int
    """Of the whole program: an upper bound of what one run executes, as it has no loops."""
    nanoseconds: int | None = None
    """Absent where the kernel doesn't let us ask for it (SYS_ADMIN)."""


class Cost(Wire):
    """What asking cost the machine."""

    programs: list[ProgramCost] = Field(default_factory=list)
    load_seconds: float = 0.0
    compiler_peak_bytes: int = 0


class Result(Wire):
    """The answer of one probe."""

    probe: str
    scope: str
    seconds: float
    ended: Ended = "complete"
    why: str | None = None
    """Why it ended early."""
    rows: list[Row] = Field(default_factory=list)
    stacks: list[Stack] = Field(default_factory=list)
    weight: str = NANOSECONDS
    """What stacks are weighed in: ns, faults, calls."""
    moments: list[Moment] = Field(default_factory=list)
    blamed: list[Blamed] = Field(default_factory=list)
    """Of ``spike``, what took most time first."""
    figures: list[Figure] = Field(default_factory=list)
    causes: list[Cause] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """What was found, in sentences."""
    untold: list[str] = Field(default_factory=list)
    """What this kernel or machine does not let the answer tell."""
    lost: Annotated[int, Field(ge=0)] = 0
    """Events for which a table had no room."""
    skipped: Annotated[int, Field(ge=0)] = 0
    """Runs of programs that the kernel left out, whosever event it was: a thread that had been
    interrupted or preempted was in the midst of the same program on that CPU."""
    cost: Cost = Cost()

    def total(self) -> Histogram:
        """All rows in one."""
        return added(row.histogram for row in self.rows)


def few_rows(rows: list[Row], most: int) -> list[Row]:
    """At most so many, the last of all that come after, so that no event is missing in the sum.

    Args:
        rows: what matters most first; such a last one among them stays the last, and the only one.
        most: at least 1.
    """
    if len(rows) <= most:
        return rows
    order = sorted(rows, key=lambda row: OTHERS in row.labels.values())
    rest = order[most - 1 :]
    told = dict.fromkeys(rest[0].labels, OTHERS)
    last = Row(labels=told, histogram=added(row.histogram for row in rest))
    return [*order[: most - 1], last]


def few_stacks(stacks: list[Stack], most: int) -> list[Stack]:
    """The same of stacks."""
    if len(stacks) <= most:
        return stacks
    order = sorted(stacks, key=lambda stack: stack.frames == [OTHERS])
    rest = sum(stack.weight for stack in order[most - 1 :])
    return [*order[: most - 1], Stack(frames=[OTHERS], weight=rest)]


def events_per_second(result: Result) -> float:
    """How often kernel programs ran."""
    runs = sum(program.runs for program in result.cost.programs)
    return runs / result.seconds if result.seconds > 0 else 0.0


def instructions_per_second(result: Result) -> float:
    """At most so many kernel instructions of ours a second."""
    spent = sum(program.runs * program.instructions for program in result.cost.programs)
    return spent / result.seconds if result.seconds > 0 else 0.0


def cpu_percent(result: Result) -> float | None:
    """Of one CPU, spent in our kernel programs; None where it could not be measured."""
    spent = [program.nanoseconds for program in result.cost.programs]
    known = [one for one in spent if one is not None]
    if len(known) < len(spent) or result.seconds <= 0:
        return None
    return sum(known) / result.seconds / 1e7
