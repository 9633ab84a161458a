"""What agent and child tell each other: the question, and the answer made to fit. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from numapin_agent.trace.question import DEFAULT_THRESHOLD, Question
from numapin_agent.trace.result import OTHERS, Result, few_rows, few_stacks
from numapin_api.errors import TraceError
from numapin_api.trace import MAX_RESULT_BYTES, MAX_UNPACKED_BYTES, NumaTraceSpec, pack


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, as the child is told.

    Attributes:
        question: fields of ``Question``.
        seconds: how long to watch.
        scope: what the answer calls it.
        cgroup: directory of the pod's cgroup; None is the whole node.
        root: see ``HostPaths``.
        cgroup_dir: see ``HostPaths``.
        store: directory of kept objects.
    """

    question: Mapping[str, Any]
    seconds: float
    scope: str
    cgroup: str | None
    root: str
    cgroup_dir: str
    store: str

    def encode(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def question(spec: NumaTraceSpec) -> dict[str, Any]:
    """The question in a spec.

    Raises:
        QuestionError: it makes none; the API server would have refused it.
    """
    asked = Question(
        spec.probe,
        spec.function,
        stacks=spec.stacks,
        threshold=spec.threshold_nanoseconds or DEFAULT_THRESHOLD,
    )
    return asdict(asked)


def fitted(result: Result, *, most: int = MAX_RESULT_BYTES) -> str:
    """An answer as the object holds it; what there is no room for is said.

    Call paths go first, the lightest of them, then single events, then rows. Call paths and rows
    are joined, so that shares of the whole stay right; single events are left out.

    Args:
        result: the answer.
        most: characters.

    Raises:
        TraceError: there is no room for what is left, either.
    """
    text = _packed(result, most)
    for part in _NAMES:
        cut, kept = result, len(getattr(result, part))
        least = 0 if part == "moments" else 1
        while kept > least and text is None:
            kept //= 2
            cut = _cut(result, part, kept)
            text = _packed(cut, most)
        result = cut
    if text is None:
        raise TraceError(f"the answer is too large, however short: there is room for {most:,}")
    return text


def _packed(result: Result, most: int) -> str | None:
    """The answer packed; None if there is no room for it, or nobody would unpack it."""
    frames = (frame for stack in result.stacks for frame in stack.frames)
    # as JSON has them, which is not to be made: a trace's process has no memory for it
    if sum(len(one) * (1 if one.isascii() else 6) for one in frames) > MAX_UNPACKED_BYTES:
        return None
    try:
        text = pack(result.wire())
    except ValueError:
        return None
    return text if len(text) <= most else None


_NAMES: Final[Mapping[str, str]] = {
    "stacks": "call paths",
    "moments": "single events",
    "rows": "rows",
}


def _cut(result: Result, part: str, kept: int) -> Result:
    """The same with so many of a part. Rows and call paths beyond are joined; no event is lost."""
    every = list(getattr(result, part))
    if part == "moments":
        every.sort(key=lambda one: -one.nanoseconds)
        fewer, gone, fate = every[:kept], len(every) - kept, "left out"
    else:
        gone, fate = len(every) - kept + 1, f"told as one, {OTHERS}"
        if part == "stacks":
            every.sort(key=lambda one: -one.weight)
            fewer = few_stacks(every, kept)
        else:
            every.sort(key=lambda one: -one.histogram.total)
            fewer = few_rows(every, kept)
    note = (
        f"{gone:,} of {len(every):,} {_NAMES[part]}, the least of them, are {fate}: "
        "an answer by way of the API server has no room for more"
    )
    return result.model_copy(update={part: fewer, "notes": [*result.notes, note]})
