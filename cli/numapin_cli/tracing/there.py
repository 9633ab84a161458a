"""Asks a node of the cluster from a terminal: signals, progress, and the answer unpacked."""

import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click
from pydantic import ValidationError

from numapin_agent.trace.question import Question, QuestionError
from numapin_agent.trace.result import Result
from numapin_api.errors import ApiError
from numapin_api.trace import NumaTrace, NumaTraceSpec, unpack
from numapin_cli.connect import Where, connect
from numapin_cli.kube import Cluster
from numapin_cli.output import note
from numapin_cli.tracing.ask import Edge, Stage, StoppedError, ask
from numapin_cli.tracing.place import Place, find
from numapin_cli.tracing.spec import OfNode, OfPod, spec

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY_SIGNAL: Final = 128
"""What shells add to the number of a signal that ended a program."""


def result(where: Where, question: Question, whom: OfPod | OfNode, *, seconds: int) -> Result:
    """The answer of a node's kernel.

    Args:
        where: which cluster is meant.
        question: the probe and its arguments.
        whom: of which pod or node.
        seconds: how long to watch.

    Raises:
        ApiError: there is none; says what to do.
        SystemExit: a signal came; 128 and its number.
    """
    try:
        with connect(where) as cluster:
            place = find(cluster, whom)
            try:
                asked = spec(question, node=place.node, pod=place.pod, seconds=seconds)
            except QuestionError as error:
                raise click.UsageError(str(error)) from error
            trace = _asked(cluster, place, asked)
    except KeyboardInterrupt:
        # Before there was anything to delete.
        sys.exit(_BY_SIGNAL + signal.SIGINT)
    return read(trace)


def _asked(cluster: Cluster, place: Place, asked: NumaTraceSpec) -> NumaTrace:
    line = _Line(asked, place)
    with _signals_kept() as wait:
        edge = Edge(time.monotonic, wait, line.progress, line.note)
        try:
            return ask(cluster, place, asked, edge=edge)
        except StoppedError as stopped:
            line.note("stopped, without an answer")
            sys.exit(_BY_SIGNAL + stopped.number)
        finally:
            line.clear()


def read(trace: NumaTrace) -> Result:
    """The answer that a NumaTrace holds. Pure.

    Raises:
        ApiError: none that this version understands.
    """
    packed = trace.status.result if trace.status else None
    if packed is None:
        raise ApiError("the agent says that it is done, and gave no answer: look at its log")
    try:
        return Result.model_validate(unpack(packed))
    except (ValidationError, ValueError) as error:
        raise ApiError(
            f"the answer is not what this version knows: {error}; "
            "use the numapin of the cluster's version"
        ) from error


def state(asked: NumaTraceSpec, stage: Stage, *, seconds: float) -> str:
    """What is going on, in a line. Pure.

    The agent says when it began, not when it has compiled: the two are not told apart.

    Args:
        asked: the question.
        stage: how far it has come.
        seconds: for how long it is so.
    """
    if stage == "asked":
        return f"{asked.probe}: waiting for the agent, {seconds:.0f} s"
    if stage == "queued":
        return f"{asked.probe}: waiting for other traces on that node to end, {seconds:.0f} s"
    return (
        f"{asked.probe}: compiling, then watching for {asked.duration_seconds} s; "
        f"{seconds:.0f} s so far"
    )


class _Line:
    """Where the user sees how far it is: one line that changes, or one plain line at the start.

    Args:
        asked: the question.
        place: who is asked.
    """

    def __init__(self, asked: NumaTraceSpec, place: Place) -> None:
        self._asked = asked
        self._live = sys.stderr.isatty()
        if not self._live:
            seconds = asked.duration_seconds
            note(f"{asked.probe} of {place}: takes {seconds} s, and compiling before that")

    def progress(self, stage: Stage, seconds: float) -> None:
        """Say how far it is."""
        if self._live:
            text = state(self._asked, stage, seconds=seconds)
            click.echo(f"\r\033[K{text}", nl=False, err=True)

    def note(self, message: str) -> None:
        """Say something that stays."""
        self.clear()
        note(message)

    def clear(self) -> None:
        """Give the line back."""
        if self._live:
            click.echo("\r\033[K", nl=False, err=True)


@contextmanager
def _signals_kept() -> Iterator[Callable[[float], int | None]]:
    """Keep signals until they are waited for, so that none falls between a request and its answer.

    What was being made when Ctrl-C came is known by then, and can be deleted.
    """
    # Its put may interrupt its own get, which an Event's set may not.
    came: queue.SimpleQueue[int] = queue.SimpleQueue()
    before = {
        number: signal.signal(number, lambda number, _: came.put(number))
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }

    def wait(seconds: float) -> int | None:
        try:
            return came.get(timeout=seconds)
        except queue.Empty:
            return None

    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
