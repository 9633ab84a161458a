"""From what the user typed to what a NumaTrace asks. Pure.

It knows no cluster: that a pod or node is there, and who answers, is found out by ``place``.
"""

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from numapin_agent.trace.question import DEFAULT_THRESHOLD, Question, QuestionError
from numapin_api.trace import LONGEST_SECONDS, NumaTraceSpec

_SECOND: Final = 10**9
_OPTIONS: Final = {
    "durationSeconds": "--duration",
    "function": "FUNCTION",
    "nodeName": "--node",
    "podName": "--pod",
    "thresholdNanoseconds": "--threshold",
}


@dataclass(frozen=True, slots=True)
class OfPod:
    """A pod is meant.

    Attributes:
        name: of the pod.
        namespace: its own; None is that of the context.
    """

    name: str
    namespace: str | None


@dataclass(frozen=True, slots=True)
class OfNode:
    """A whole node is meant.

    Attributes:
        name: of the node.
        namespace: where numapin is; None is to be looked for.
    """

    name: str
    namespace: str | None


def whom(
    *,
    pod: str | None,
    node: str | None,
    local: bool,
    namespace: str | None = None,
    numapin_namespace: str | None = None,
) -> OfPod | OfNode | None:
    """Who is meant; None is this machine.

    Args:
        pod: of ``--pod``, NS/POD or POD.
        node: of ``--node``.
        local: whether ``--local`` was said.
        namespace: of ``-n``.
        numapin_namespace: of ``--numapin-namespace``.

    Raises:
        QuestionError: none of them or several were said, or an option that does not go with it.
    """
    said = (pod is not None) + (node is not None) + local
    if said != 1:
        how = "say whom to ask about" if said == 0 else "they exclude each other"
        raise QuestionError(f"{how}: one of --pod, --node and --local")
    if namespace is not None and pod is None:
        raise QuestionError(f"-n {namespace} goes with --pod only")
    if numapin_namespace is not None and node is None:
        raise QuestionError(f"--numapin-namespace {numapin_namespace} goes with --node only")
    if pod is not None:
        return _pod(pod, namespace)
    if node == "":
        raise QuestionError("--node '': must be the name of a node")
    return None if node is None else OfNode(node, numapin_namespace)


def _pod(text: str, namespace: str | None) -> OfPod:
    before, slash, name = text.rpartition("/")
    if not name or "/" in before or (slash and not before):
        raise QuestionError(f"--pod {text!r}: must be NAMESPACE/POD or POD")
    if before and namespace not in {None, before}:
        raise QuestionError(f"--pod {text} and -n {namespace} contradict each other")
    return OfPod(name, before or namespace)


def whole_seconds(nanoseconds: int) -> int:
    """How long a NumaTrace is to watch.

    Args:
        nanoseconds: of ``--duration``.

    Raises:
        QuestionError: no NumaTrace takes so long, or so exactly.
    """
    seconds, rest = divmod(nanoseconds, _SECOND)
    if rest or not 1 <= seconds <= LONGEST_SECONDS:
        raise QuestionError(
            f"--duration {nanoseconds / _SECOND:g} s: must be whole seconds, "
            f"from 1s to {LONGEST_SECONDS // 60}m"
        )
    return seconds


def spec(question: Question, *, node: str, pod: str | None, seconds: int) -> NumaTraceSpec:
    """What a NumaTrace asks.

    Args:
        question: the probe and its arguments.
        node: that is asked.
        pod: of the NumaTrace's namespace; None is the whole node.
        seconds: how long to watch.

    Raises:
        QuestionError: no NumaTrace takes one of them.
    """
    said = question.threshold != DEFAULT_THRESHOLD
    asked = {
        "probe": question.probe,
        "function": question.function,
        "stacks": question.stacks,
        "thresholdNanoseconds": question.threshold if said else None,
        "nodeName": node,
        "podName": pod,
        "durationSeconds": seconds,
    }
    try:
        return NumaTraceSpec.model_validate(asked)
    except ValidationError as error:
        problem = error.errors()[0]
        field = str(problem["loc"][0])
        raise QuestionError(
            f"{_OPTIONS.get(field, field)} {problem['input']!r}: {problem['msg']}"
        ) from error
