"""One demo from beginning to end: workloads, before, label, after, verdict, report.

Expects a lab that is up with numapin in it (``command.py`` sees to that). It pins nothing:
it sets the label as any user would and shows what operator, agent and kernel do.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubernetes.client.exceptions import ApiException

from numapin_api.cpulist import NodeSet
from numapin_api.errors import LabError
from numapin_api.node import Level
from numapin_api.pin import NumaPin
from numapin_lab.demo.cluster import Cluster
from numapin_lab.demo.criteria import MIN_WORST_CASE_PAGES_PER_SECOND, PodResult
from numapin_lab.demo.live import LiveView
from numapin_lab.demo.meter import Meter
from numapin_lab.demo.report import NodeMemory, NodeReport, NodeWindow, PodReport, PodWindow
from numapin_lab.demo.series import (
    KERNEL,
    WHOLE_NODE,
    Rates,
    Second,
    mean,
    pages_per_second,
    per_interval,
)

_MIGRATES_SECONDS = 180.0
_PINNED_SECONDS = 240.0
_VERDICT_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod that the demo measures.

    Attributes:
        namespace: of the pod.
        name: of the pod.
        uid: of the pod.
        what: it does, for people.
        worst_case: it must migrate much before it is pinned.
    """

    namespace: str
    name: str
    uid: str
    what: str
    worst_case: bool

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was measured.

    Attributes:
        pods: for the report.
        node: for the report.
        counted: pages/s that the agent counted on the whole node, before and after.
        results: for the criteria.
        rates: by pod name, every interval of the whole run.
        labelled: when the label was set, on the clock of ``rates``.
        pinned: by pod name, when its pin had taken effect.
    """

    pods: Sequence[PodReport]
    node: NodeReport
    counted: tuple[float | None, float | None]
    results: Sequence[PodResult]
    rates: Mapping[str, Sequence[Rates]]
    labelled: float
    pinned: Mapping[str, float]


class Demo:
    """The run of one demo."""

    def __init__(  # noqa: PLR0913 -- the parts it joins; each is replaceable in tests
        self,
        *,
        cluster: Cluster,
        meter: Meter,
        view: LiveView,
        workloads: Sequence[Workload],
        node: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Join the parts.

        Args:
            cluster: where the pods run.
            meter: opened; read once a second.
            view: opened.
            workloads: running, not labelled.
            node: the Kubernetes node they run on.
            seconds: length of each window.
            clock: monotonic seconds, the meter's.
            sleep: waits that many seconds.
        """
        self._cluster = cluster
        self._meter = meter
        self._view = view
        self._workloads = workloads
        self._node = node
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._recorded: list[Second] = []

    def run(self) -> Outcome:
        """Measure, label, measure, await the verdicts.

        Raises:
            LabError: what was awaited did not come; says what was seen last.
        """
        self._until(self._migrating, _MIGRATES_SECONDS, "waiting", "the worst case migrates pages")
        before = self._window("before")
        labelled = self._clock()
        for workload in self._workloads:
            self._cluster.label(workload.namespace, workload.name, on=True)
        pinned: dict[str, float] = {}

        def all_pinned() -> bool:
            for workload in self._workloads:
                if workload.name not in pinned and _is_pinned(self._pin(workload)):
                    pinned[workload.name] = self._clock()
            return len(pinned) == len(self._workloads)

        self._until(all_pinned, _PINNED_SECONDS, "pinning", "all pods are pinned")
        after = self._window("after")
        self._until(self._judged, _VERDICT_SECONDS, "verdicts", "every pod has a verdict")
        return self._outcome(before, after, labelled, pinned)

    def _tick(self, phase: str) -> None:
        """One reading, shown; then the rest of the second."""
        begun = self._clock()
        self._recorded.append(self._meter.read())
        self._view.second(phase, {w.name: self._last_rates(w) for w in self._workloads})
        self._sleep(max(0.0, 1 - (self._clock() - begun)))

    def _last_rates(self, workload: Workload) -> Rates | None:
        rates = per_interval(self._recorded[-2:], workload.key)
        return rates[-1] if rates else None

    def _window(self, name: str) -> list[Second]:
        """Read for the window's length; all readings of it."""
        first = len(self._recorded)
        begun = self._clock()
        while (past := self._clock() - begun) <= self._seconds:
            self._tick(f"{name} {past:.0f}/{self._seconds:.0f} s")
        # One more, so that the readings span the whole window.
        self._tick(name)
        return self._recorded[first:]

    def _until(self, done: Callable[[], bool], seconds: float, phase: str, what: str) -> None:
        begun = self._clock()
        while not done():
            past = self._clock() - begun
            if past > seconds:
                raise LabError(f"{what}: not so after {seconds:.0f} s; {self._state()}")
            self._tick(f"{phase} {past:.0f} s")

    def _state(self) -> str:
        """What the pins say now, for an error."""
        said = []
        for workload in self._workloads:
            pin = self._pin(workload)
            status = pin.status if pin is not None else None
            observed = status.observed if status is not None else None
            said.append(
                f"{workload.name}: {self._last_rates(workload) or 'no reading of its counters'}, "
                f"phase {observed.phase if observed else 'none'}, "
                f"problem {observed.problem if observed else 'none'}, "
                f"verdict {status.verdict if status else 'none'}"
            )
        return "; ".join(said)

    def _migrating(self) -> bool:
        """Whether every pod is counted and the worst case showed itself in the last seconds."""
        recent = self._recorded[-10:]
        for workload in self._workloads:
            found = mean(per_interval(recent, workload.key))
            if found is None:
                return False
            if workload.worst_case and found.pages_per_second < MIN_WORST_CASE_PAGES_PER_SECOND:
                return False
        return bool(recent) and bool(recent[-1].memory)

    def _pin(self, workload: Workload) -> NumaPin | None:
        try:
            pin = self._cluster.pin(workload.namespace, workload.name)
        except ApiException:  # asked again a second later
            return None
        return pin if pin is not None and pin.spec.pod_uid == workload.uid else None

    def _judged(self) -> bool:
        pins = [self._pin(w) for w in self._workloads]
        return all(
            pin is not None
            and pin.status is not None
            and pin.status.verdict not in {None, "Pending"}
            for pin in pins
        )

    def _outcome(
        self,
        before: Sequence[Second],
        after: Sequence[Second],
        labelled: float,
        pinned: Mapping[str, float],
    ) -> Outcome:
        levels = self._levels()
        pods, results = [], []
        for workload in self._workloads:
            pin = self._pin(workload)
            status = pin.status if pin is not None else None
            observed = status.observed if status is not None else None
            effective = observed.effective if observed is not None else None
            first, last = _pod_mean(before, workload), _pod_mean(after, workload)
            report = PodReport(
                namespace=workload.namespace,
                name=workload.name,
                workload=workload.what,
                before=_pod_window(first, before, workload.uid),
                after=_pod_window(last, after, workload.uid),
                verdict=status.verdict if status is not None else None,
                evidence=status.evidence if status is not None else None,
                levels=levels,
            )
            pods.append(report)
            results.append(
                PodResult(
                    name=workload.name,
                    worst_case=workload.worst_case,
                    pages_per_second_before=first.pages_per_second,
                    cross_socket_pages_per_second_after=last.cross_socket_pages_per_second,
                    memory_after=tuple(report.after.memory),
                    mems=NodeSet.parse(effective.mems) if effective is not None else None,
                    verdict=report.verdict,
                )
            )
        return Outcome(
            pods=pods,
            node=NodeReport(before=_node_window(before), after=_node_window(after)),
            counted=(
                pages_per_second(before, WHOLE_NODE),
                pages_per_second(after, WHOLE_NODE),
            ),
            results=results,
            rates={w.name: per_interval(self._recorded, w.key) for w in self._workloads},
            labelled=labelled,
            pinned=pinned,
        )

    def _levels(self) -> dict[str, Level]:
        node = self._cluster.numa_node(self._node)
        if node is None or node.status is None or node.status.capabilities is None:
            return {}
        return {signal.name: signal.level for signal in node.status.capabilities.signals}


def _is_pinned(pin: NumaPin | None) -> bool:
    """Whether the agent has pinned what this very spec asks for."""
    if pin is None or pin.status is None or pin.status.observed is None:
        return False
    observed = pin.status.observed
    return observed.phase == "Pinned" and observed.generation == pin.metadata.generation


def _pod_mean(window: Sequence[Second], workload: Workload) -> Rates:
    found = mean(per_interval(window, workload.key))
    if found is None:
        raise LabError(f"the agent showed no counters of {workload.name} for a whole window")
    return found


def _pod_window(rates: Rates, window: Sequence[Second], uid: str) -> PodWindow:
    """The report's form of a pod's window; memory is the last that was read."""
    memory = next((s.memory[uid] for s in reversed(window) if uid in s.memory), {})
    return PodWindow(
        seconds=round(rates.seconds, 1),
        migrated_pages_per_second=round(rates.pages_per_second, 2),
        migration_ms_per_second=round(rates.milliseconds_per_second, 3),
        cross_socket_task_migrations_per_second=round(rates.task_migrations_per_second, 2),
        local_percent=None if rates.local_percent is None else round(rates.local_percent, 2),
        memory=[NodeMemory(node=n, bytes=size) for n, size in sorted(memory.items())],
    )


def _node_window(window: Sequence[Second]) -> NodeWindow:
    rate = pages_per_second(window, KERNEL)
    if rate is None:
        raise LabError("the agent showed no numa_pages_migrated of /proc/vmstat for a whole window")
    return NodeWindow(numa_pages_migrated_per_second=round(rate, 2))


def write(path: Path, data: bytes) -> None:
    """Replace a file whole, so that an interrupted demo leaves the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(data)
    aside.rename(path)
