"""Starts the child of one trace and takes its answer, or the reason why there is none."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from numapin_agent.bpf.compiler import stderr_tail
from numapin_agent.bpf.launch import environment
from numapin_agent.traces.wire import Asked
from numapin_api.trace import TracePhase

COMMAND: Final = (sys.executable, "-m", "numapin_agent.traces.child")
_MOST: Final = 1 << 20
_LONGEST: Final = 4000
"""Of a message, which ``status.message`` has room for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a trace ended.

    Attributes:
        phase: of the trace from now on.
        result: as ``status.result`` holds it; None when there is no answer.
        reason: one CamelCase word; None when all is well.
        message: for people.
    """

    phase: TracePhase
    result: str | None = None
    reason: str | None = None
    message: str | None = None


class Job:
    """A trace that runs.

    Args:
        asked: what.
        command: how the child is run.

    Raises:
        OSError: it can't be.
    """

    def __init__(self, asked: Asked, command: Sequence[str] = COMMAND) -> None:
        # Not pipes: nobody would read them while the child writes.
        self._said = os.memfd_create("numapin-trace-answer", os.MFD_CLOEXEC)
        self._complained = os.memfd_create("numapin-trace-stderr", os.MFD_CLOEXEC)
        theirs, self._ours = os.pipe2(os.O_CLOEXEC)
        self._held = [self._said, self._complained, self._ours]
        try:
            os.write(self._ours, json.dumps(asked.encode()).encode() + b"\n")
            self._child = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=self._said,
                stderr=self._complained,
                env=environment(),
                start_new_session=True,
            )
        except OSError:
            self._close()
            raise
        finally:
            os.close(theirs)

    def poll(self) -> Answer | None:
        """The answer, once and then never again; None while it runs."""
        status = self._child.poll()
        if status is None:
            return None
        said = os.pread(self._said, _MOST, 0)
        tail = stderr_tail(os.pread(self._complained, _MOST, 0).decode(errors="replace"))
        self.kill()
        try:
            told = json.loads(said)
            if "refused" in told:
                message = str(told["refused"])[:_LONGEST]
                return Answer("Refused", reason="TraceRefused", message=message)
            return Answer("Done", result=told["result"], message=told["message"])
        except (ValueError, TypeError, KeyError):  # cut short, or not what it should say
            how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
            message = f"the trace's process: {how}: {tail}"[:_LONGEST]
            return Answer("Failed", reason="Crashed", message=message)

    def kill(self) -> None:
        """End it and all that it has started; what it had attached goes with it.

        May be called twice: a number that was closed is somebody else's by then.
        """
        if not self._held:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._close()

    def _close(self) -> None:
        while self._held:
            os.close(self._held.pop())
