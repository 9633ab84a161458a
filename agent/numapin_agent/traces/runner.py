"""Runs the NumaTraces of this node, a few at a time, in a thread and processes of their own.

Level-triggered: each step compares the traces that there are with those that run. Pins never
wait for it. Nothing is kept over a restart: a trace that ran is then told as failed.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from numapin_agent.hostpaths import HostPaths
from numapin_agent.pods import PodView
from numapin_agent.ports import Key
from numapin_agent.traces.decide import Begin, End, Here, Queue, decide
from numapin_agent.traces.fair import NOTHING_YET, party
from numapin_agent.traces.launch import Answer, Job
from numapin_agent.traces.source import Known, TraceSource
from numapin_agent.traces.statuses import Statuses
from numapin_agent.traces.wire import Asked, question
from numapin_agent.watch import Mirror, Source
from numapin_api.errors import CgroupError
from numapin_api.trace import NumaTrace, NumaTraceStatus, TracePhase

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.2
"""Between two looks at traces that run."""
LATE_SECONDS: Final = 300.0
"""Beside a trace's own length: compiling takes an emulated node a minute. One that takes longer is
ended, so that a file of a container that never answers does not keep others waiting."""
WAIT_SECONDS: Final = 2.0
"""Between two looks at traces that wait for a pod to be seen."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What traces may take, and who may ask.

    Attributes:
        most: how many run at once.
        namespace: whose traces may ask about the whole node.
    """

    most: int
    namespace: str


@dataclass(frozen=True, slots=True)
class _Run:
    trace: NumaTrace
    job: Job
    began: datetime
    since: float


class Traces:
    """All traces of this node.

    Args:
        source: NumaTraces of this node.
        pods: that this agent sees on its node.
        find: directory of a pod's cgroup, by the UID in its name; None where it has none.
        paths: the host's files.
        store: directory of kept objects.
        node: name of the Kubernetes node.
        limits: see ``Limits``.
        statuses: has them written.
        ended: told how each trace ended.
        failed: told of each error.
        clock: monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 -- all by keyword
        self,
        *,
        source: Source[object],
        pods: Callable[[], Mapping[Key, PodView]],
        find: Callable[[str], Path | None],
        paths: HostPaths,
        store: Path,
        node: str,
        limits: Limits,
        statuses: Statuses,
        ended: Callable[[TracePhase], None],
        failed: Callable[[Exception], None],
        clock: Callable[[], float],
    ) -> None:
        self._pods = pods
        self._find = find
        self._paths = paths
        self._store = store
        self._node = node
        self._limits = limits
        self._statuses = statuses
        self._ended = ended
        self._failed = failed
        self._clock = clock
        self._mirror: Mirror[Key, Known] = Mirror(
            "numatraces",
            TraceSource(source),
            key=lambda known: known[0],
            changed=self._changed,
            failed=failed,
        )
        self._running: dict[str, _Run] = {}
        self._told: set[str] = set()
        self._queued: set[str] = set()
        self._known: dict[str, float] = {}
        self._had = NOTHING_YET.later(clock())
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to watch and to answer."""
        self._mirror.start()
        self._thread.start()

    def stop(self) -> None:
        """End all traces; the agent that comes next tells them as failed."""
        self._mirror.stop()
        self._stopped.set()
        self._wake.set()
        self._thread.join(1.0)

    def _changed(self, _keys: Iterable[Key]) -> None:
        self._wake.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._wake.clear()
                try:
                    waiting = self.step()
                except Exception as error:  # a dead thread would leave every trace unanswered
                    log.exception("unexpected error in the traces")
                    self._failed(error)
                    waiting = True
                pause = LOOK_SECONDS if self._running else WAIT_SECONDS if waiting else None
                self._wake.wait(pause)
        finally:
            for run in self._running.values():
                run.job.kill()

    def step(self) -> bool:
        """Do what is due; whether something will be due without anything changing."""
        found = (trace for _, trace in self._mirror.objects().values() if trace is not None)
        traces = {trace.metadata.uid or "": trace for trace in found}
        now = self._clock()
        for uid in self._known.keys() - traces.keys():
            self._statuses.forget(uid)
        self._known = {uid: self._known.get(uid, now) for uid in traces}
        self._told &= traces.keys()
        self._queued &= traces.keys()
        for uid, run in list(self._running.items()):
            trace = traces.get(uid)
            if trace is None or trace.metadata.deletion_timestamp is not None:
                log.info("trace %s is not wanted any more", _name(run.trace))
                self._over(uid, now)
                run.job.kill()
            elif (answer := run.job.poll()) is not None:
                self._over(uid, now)
                self._tell(run.trace, answer, began=run.began)
            elif now - run.since > run.trace.spec.duration_seconds + LATE_SECONDS:
                self._over(uid, now)
                run.job.kill()
                why = f"no answer {LATE_SECONDS:.0f} s after it should have been there: ask again"
                late = Answer("Failed", reason="TimedOut", message=why)
                self._tell(run.trace, late, began=run.began)
        limits = self._limits
        here = Here(self._node, limits.namespace, self._pods(), limits.most, self._had)
        for action in decide(
            traces.values(),
            here,
            running=self._running.keys(),
            told=self._told,
            known={uid: now - since for uid, since in self._known.items()},
        ):
            if isinstance(action, Queue):
                self._queue(action.trace)
            elif isinstance(action, End):
                reason, message = action.reason, action.message
                self._tell(action.trace, Answer(action.phase, reason=reason, message=message))
            else:
                self._begin(action)
        return any(uid not in self._told and not t.finished for uid, t in traces.items())

    def _over(self, uid: str, now: float) -> None:
        run = self._running.pop(uid)
        self._had = self._had.ran(party(run.trace), now - run.since, now=now)

    def _queue(self, trace: NumaTrace) -> None:
        uid = trace.metadata.uid or ""
        if uid not in self._queued:
            self._queued.add(uid)
            message = (
                f"this agent runs {self._limits.most} at once: others have to end first; "
                "namespaces take turns"
            )
            self._statuses.write(trace, NumaTraceStatus(phase="Queued", message=message))

    def _begin(self, action: Begin) -> None:
        trace, pod = action.trace, action.pod
        try:
            asked = self._asked(trace, pod)
            job = Job(asked)
        except CgroupError as error:
            self._tell(trace, Answer("Refused", reason=error.reason, message=str(error)))
            return
        except (OSError, ValueError) as error:
            self._tell(trace, Answer("Failed", reason="NotStarted", message=str(error)))
            return
        began = datetime.now(UTC)
        self._running[trace.metadata.uid or ""] = _Run(trace, job, began, self._clock())
        log.info("trace %s: %s of %s", _name(trace), trace.spec.probe, asked.scope)
        self._statuses.write(trace, NumaTraceStatus(phase="Running", started_at=began))

    def _asked(self, trace: NumaTrace, pod: PodView | None) -> Asked:
        cgroup = None
        if pod is not None:
            found = self._find(pod.cgroup_uid)
            if found is None:
                raise CgroupError(
                    f"pod {trace.metadata.namespace}/{trace.spec.pod_name} has no cgroup: "
                    "it does not run now"
                )
            cgroup = str(found)
        return Asked(
            question=question(trace.spec),
            seconds=trace.spec.duration_seconds,
            scope=(
                f"node {self._node}"
                if pod is None
                else f"pod {trace.metadata.namespace}/{trace.spec.pod_name}"
            ),
            cgroup=cgroup,
            root=str(self._paths.root),
            cgroup_dir=str(self._paths.cgroup_dir),
            store=str(self._store),
        )

    def _tell(self, trace: NumaTrace, answer: Answer, *, began: datetime | None = None) -> None:
        """A trace is over."""
        log.info("trace %s: %s %s", _name(trace), answer.phase, answer.message or "")
        status = NumaTraceStatus(
            phase=answer.phase,
            reason=answer.reason,
            message=answer.message,
            started_at=began,
            finished_at=datetime.now(UTC),
            result=answer.result,
        )
        self._told.add(trace.metadata.uid or "")
        self._ended(answer.phase)
        self._statuses.write(trace, status)


def _name(trace: NumaTrace) -> str:
    return f"{trace.metadata.namespace}/{trace.metadata.name}"
