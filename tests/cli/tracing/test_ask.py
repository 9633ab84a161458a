"""The life of a NumaTrace under faults that a real API server can't be told to have."""

import itertools
import signal
from collections.abc import Iterable
from typing import Any

import pytest

from numapin_api.errors import ApiError
from numapin_api.trace import NumaTrace, NumaTraceSpec, pack
from numapin_cli.failures import ForbiddenError, UnavailableError, UnreadableError
from numapin_cli.tracing.ask import Edge, GoneError, Patience, StoppedError, ask
from numapin_cli.tracing.place import Place
from numapin_cli.tracing.there import read, state

PLACE = Place("numa-0", "shop", "redis-0")
SPEC = NumaTraceSpec(node_name="numa-0", pod_name="redis-0", probe="timers", duration_seconds=10)
QUEUED = {"phase": "Queued", "message": "this agent runs 1 at once: others have to end first"}
RUNNING = {"phase": "Running", "startedAt": "2026-11-25T12:00:00Z"}
DONE = {"phase": "Done", "result": pack({"probe": "timers", "scope": "pod", "seconds": 10.0})}
AWAY = UnavailableError("the API server is away")
FORBIDDEN = ForbiddenError('User "jane" cannot')


def trace(status: dict[str, Any] | None = None) -> NumaTrace:
    return NumaTrace.read(
        {
            "apiVersion": "numapin.io/v1alpha1",
            "kind": "NumaTrace",
            "metadata": {"name": "trace-x", "namespace": "shop"},
            "spec": SPEC.wire(),
            "status": status,
        }
    )


class World:
    """A cluster whose answers are told beforehand, and a clock that only waiting moves.

    Args:
        answers: to one look after the other, the last for ever: a status, None for one
            that is not there, {} for one without a status, or what is raised.
        create: what creating raises.
        delete: what deleting raises.
        signals: that come, by second.
    """

    def __init__(
        self,
        answers: Iterable[Any] = ({},),
        *,
        create: Exception | None = None,
        delete: Exception | None = None,
        signals: dict[int, int] | None = None,
    ) -> None:
        *first, last = answers
        self._answers = itertools.chain(first, itertools.repeat(last))
        self._create, self._delete = create, delete
        self._signals = signals or {}
        self.now = 0.0
        self.there: list[str] = []
        self.made = 0
        self.told: list[tuple[str, float]] = []
        self.notes: list[str] = []

    def create_trace(self, namespace, spec):
        assert (namespace, spec) == ("shop", SPEC)
        if self._create:
            raise self._create
        self.made += 1
        self.there.append("trace-x")
        return trace()

    def trace(self, namespace, name):
        assert (namespace, name) == ("shop", "trace-x")
        found = next(self._answers)
        if isinstance(found, Exception):
            raise found
        return None if found is None else trace(found or None)

    def delete_trace(self, namespace, name):
        assert namespace == "shop"
        if self._delete:
            raise self._delete
        self.there.remove(name)

    def wait(self, seconds):
        self.now += seconds
        return self._signals.get(round(self.now))

    def ask(self, **patience: float) -> NumaTrace:
        edge = Edge(
            lambda: self.now, self.wait, lambda *at: self.told.append(at), self.notes.append
        )
        return ask(self, PLACE, SPEC, edge=edge, patience=Patience(**patience))


def test_an_answer_is_given_and_nothing_left():
    world = World([{}, RUNNING, RUNNING, DONE])
    assert read(world.ask()).probe == "timers"
    assert (world.made, world.there, world.notes) == (1, [], [])
    assert world.told == [("asked", 0), ("asked", 1), ("begun", 0), ("begun", 1)]


def test_a_trace_behind_others_is_waited_for():
    world = World([{}, *[QUEUED] * 900, RUNNING, DONE])
    assert read(world.ask()).probe == "timers"
    assert world.told[:3] == [("asked", 0), ("asked", 1), ("queued", 0)]


@pytest.mark.parametrize(
    ("answers", "kind", "said"),
    [
        ([{}], ApiError, "the agent on numa-0 has not begun within 60 s"),
        ([{}], ApiError, "agent.traces"),
        ([QUEUED], ApiError, "has had other traces to finish for 1200 s"),
        ([RUNNING], ApiError, "began 310 s ago and has no answer"),
        (
            [{"phase": "Refused", "reason": "TraceRefused", "message": "no BTF"}],
            ApiError,
            "the agent on numa-0 refused: no BTF (TraceRefused)",
        ),
        (
            [RUNNING, {"phase": "Failed", "reason": "Crashed", "message": "killed"}],
            ApiError,
            "the agent on numa-0 failed: killed (Crashed)",
        ),
        ([{"phase": "Failed"}], ApiError, "failed: it did not say why"),
        ([RUNNING, None], GoneError, "NumaTrace shop/trace-x is gone before it had an answer"),
        ([RUNNING, FORBIDDEN], ForbiddenError, "--user=jane -n shop"),
        ([RUNNING, UnreadableError("of a later version")], UnreadableError, "of a later version"),
        ([RUNNING, AWAY], UnavailableError, "the API server is away"),
    ],
)
def test_there_is_no_answer_and_nothing_is_left(answers, kind, said):
    world = World(answers)
    with pytest.raises(kind) as failed:
        world.ask()
    assert said in str(failed.value)
    assert (world.made, world.there) == (1, [])


def test_an_api_server_that_is_away_for_a_while_costs_no_answer():
    world = World([RUNNING, *[AWAY] * 29, RUNNING, *[AWAY] * 29, DONE])
    assert read(world.ask()).probe == "timers"


def test_an_agent_is_not_called_silent_that_nobody_could_hear():
    """It began while the API server was away, after the time that it is given."""
    world = World([*[{}] * 9, *[AWAY] * 3, RUNNING, DONE])
    assert read(world.ask(begin=10)).probe == "timers"


@pytest.mark.parametrize("second", [1, 3])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_deletes_it(second, number):
    world = World([{}, RUNNING], signals={second: number})
    with pytest.raises(StoppedError) as stopped:
        world.ask()
    assert (stopped.value.number, world.made, world.there) == (number, 1, [])


def test_a_signal_that_came_before_makes_none():
    world = World(signals={0: signal.SIGINT})
    with pytest.raises(StoppedError):
        world.ask()
    assert world.made == 0


def test_an_answer_is_not_lost_because_deleting_fails():
    world = World([DONE], delete=AWAY)
    assert read(world.ask()).probe == "timers"
    assert world.notes == [
        "the trace was not deleted: the API server is away; "
        "kubectl delete numatrace trace-x -n shop"
    ]


def test_who_may_not_make_one_is_told_how_to_get_the_right():
    world = World(create=FORBIDDEN)
    with pytest.raises(ForbiddenError, match="--user=jane -n shop"):
        world.ask()
    assert world.notes == []


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "gave no answer"),
        ("no base64", "not what this version knows"),
        (pack({"probe": "timers"}), "not what this version knows"),
    ],
)
def test_an_answer_that_is_none(result, said):
    with pytest.raises(ApiError, match=said):
        read(trace({"phase": "Done", "result": result}))


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        ("asked", "timers: waiting for the agent, 4 s"),
        ("queued", "timers: waiting for other traces on that node to end, 4 s"),
        ("begun", "timers: compiling, then watching for 10 s; 4 s so far"),
    ],
)
def test_what_is_going_on(stage, text):
    assert state(SPEC, stage, seconds=4.2) == text
