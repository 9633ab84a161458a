"""The life of a NumaTrace: made, waited for, deleted, whatever happens in between.

It is asked for again and again rather than watched: that needs no right but get, and the
object is small until the answer is in it. This neither prints nor reads the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from numapin_api.errors import ApiError
from numapin_api.trace import LONGEST_SECONDS, NumaTrace, NumaTraceSpec
from numapin_cli.failures import ForbiddenError, UnreadableError
from numapin_cli.tracing.place import Place
from numapin_cli.tracing.rights import advice

Stage = Literal["asked", "queued", "begun"]
"""How far it has come: nobody has answered, the agent has others to finish first, it runs."""


class Traces(Protocol):
    """NumaTraces of a cluster; ``Cluster`` has them. Each raises ApiError."""

    def create_trace(self, namespace: str, spec: NumaTraceSpec) -> NumaTrace:
        """Make one."""

    def trace(self, namespace: str, name: str) -> NumaTrace | None:
        """It as it stands; None if it is gone."""

    def delete_trace(self, namespace: str, name: str) -> None:
        """Delete it, if it is still there."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.

    Attributes:
        interval: between two looks.
        begin: until the agent must have begun, or said that others come first.
        queued: that others may take.
        beyond: that the answer may take beside the trace's duration, as compiling does: a
            minute on an emulated node, more on a busy one.
        silence: that the API server may be away.
    """

    interval: float = 1.0
    begin: float = 60.0
    queued: float = 2.0 * LONGEST_SECONDS
    beyond: float = 300.0
    silence: float = 30.0


PATIENCE: Final = Patience()


@dataclass(frozen=True, slots=True)
class Edge:
    """What touches the world beside the cluster.

    Attributes:
        clock: seconds that only grow.
        wait: waits so long; the number of a signal that came meanwhile, or before.
        progress: told the stage, and for how many seconds it is so.
        note: tells the user something.
    """

    clock: Callable[[], float]
    wait: Callable[[float], int | None]
    progress: Callable[[Stage, float], None]
    note: Callable[[str], None]


class GoneError(ApiError):
    """The NumaTrace was deleted by somebody else."""


class StoppedError(Exception):
    """A signal ended it.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


def ask(
    traces: Traces, place: Place, spec: NumaTraceSpec, *, edge: Edge, patience: Patience = PATIENCE
) -> NumaTrace:
    """Have a node's agent answer, and leave nothing behind.

    Args:
        traces: of the cluster.
        place: who is asked.
        spec: what is asked.
        edge: clock, signals and user.
        patience: how long to wait for what.

    Returns:
        The NumaTrace with its answer; it is deleted already.

    Raises:
        ApiError: there is no answer; says why.
        StoppedError: a signal came.
    """
    if (number := edge.wait(0)) is not None:
        raise StoppedError(number)
    try:
        made = traces.create_trace(place.namespace, spec)
    except ForbiddenError as error:
        raise ForbiddenError(advice(str(error), namespace=place.namespace)) from error
    name = made.metadata.name
    try:
        found = _finished(traces, place, made, edge=edge, patience=patience)
    finally:
        try:
            traces.delete_trace(place.namespace, name)
        except ApiError as error:
            edge.note(
                f"the trace was not deleted: {error}; "
                f"kubectl delete numatrace {name} -n {place.namespace}"
            )
    return found


def _finished(
    traces: Traces, place: Place, made: NumaTrace, *, edge: Edge, patience: Patience
) -> NumaTrace:
    trace: NumaTrace | None = made
    stage: Stage = "asked"
    since = edge.clock()
    heard = since
    while True:
        if trace is not None:
            heard = edge.clock()
            if trace.finished:
                return _answered(trace, place)
            if (now := _stage(trace, stage)) != stage:
                stage, since = now, heard
            _in_time(place, made.spec, stage, seconds=heard - since, patience=patience)
        edge.progress(stage, edge.clock() - since)
        if (number := edge.wait(patience.interval)) is not None:
            raise StoppedError(number)
        try:
            trace = _look(traces, place, made.metadata.name)
        except (ForbiddenError, UnreadableError, GoneError):
            raise
        except ApiError:
            # A trace of minutes outlives an API server that is started anew meanwhile.
            if edge.clock() - heard >= patience.silence:
                raise
            trace = None


def _stage(trace: NumaTrace, before: Stage) -> Stage:
    phase = trace.status.phase if trace.status is not None else None
    known: dict[str | None, Stage] = {"Queued": "queued", "Running": "begun"}
    return known.get(phase, before)


def _look(traces: Traces, place: Place, name: str) -> NumaTrace:
    try:
        found = traces.trace(place.namespace, name)
    except ForbiddenError as error:
        raise ForbiddenError(advice(str(error), namespace=place.namespace)) from error
    if found is None:
        raise GoneError(
            f"NumaTrace {place.namespace}/{name} is gone before it had an answer: somebody "
            "deleted it, which ends the trace; ask again"
        )
    return found


def _in_time(
    place: Place, spec: NumaTraceSpec, stage: Stage, *, seconds: float, patience: Patience
) -> None:
    if stage == "asked" and seconds >= patience.begin:
        raise ApiError(
            f"the agent on {place.node} has not begun within {patience.begin:.0f} s: it may be "
            "older than this command (upgrade numapin's chart), answer no traces (the chart's "
            "value agent.traces is 0), or not run (kubectl numapin nodes)"
        )
    if stage == "queued" and seconds >= patience.queued:
        raise ApiError(
            f"the agent on {place.node} has had other traces to finish for {seconds:.0f} s: see "
            "kubectl get numatraces -A, or let it run more at once (the chart's value agent.traces)"
        )
    if stage == "begun" and seconds >= spec.duration_seconds + patience.beyond:
        raise ApiError(
            f"the agent on {place.node} began {seconds:.0f} s ago and has no answer: look at its "
            "log, kubectl logs -l app.kubernetes.io/component=agent --prefix in numapin's namespace"
        )


def _answered(trace: NumaTrace, place: Place) -> NumaTrace:
    status = trace.status
    if status is not None and status.phase == "Done":
        return trace
    phase, reason, message = (
        ("Failed", None, None) if status is None else (status.phase, status.reason, status.message)
    )
    did = "refused" if phase == "Refused" else "failed"
    why = message or "it did not say why"
    raise ApiError(f"the agent on {place.node} {did}: {why}{f' ({reason})' if reason else ''}")
