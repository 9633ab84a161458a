"""One reconciliation of one pod: carries out what ``decide.next_step`` says, step by step.

Thin on purpose: no rule of its own about when to write what. What it adds is the order of
record, write and check: first the record on file, then the write, then the kernel's own
view, compared with what was asked for.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from numapin_agent.cgroup.footprint import Footprint
from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.cgroup.values import Cpuset
from numapin_agent.cgroup.write import CpusetWriter
from numapin_agent.pin import decide
from numapin_agent.pin.checkpoint import Checkpoint
from numapin_agent.pin.look import Eyes
from numapin_agent.pin.values import (
    Applied,
    Drift,
    Past,
    PinOrder,
    PinReport,
    Problem,
    Record,
    View,
)
from numapin_agent.pin.worker import Moves
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CgroupError

if TYPE_CHECKING:
    # A name of values only: pydantic stays out of the core.
    from numapin_api.pin import Phase

log = logging.getLogger(__name__)

MOST_STEPS = 8
"""Of one reconciliation; the longest way is CPUs, widen, narrow, hold."""
NO_MOVES = frozenset({"NoRoom", "RanLow"})
"""Problems with which no more pages are to be moved to where there is no room for them."""
FIGHT_SECONDS = 600.0
"""How far back changes by somebody else are counted."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an attempt works with.

    Attributes:
        writer: writes cpusets.
        eyes: looks at pods and NUMA nodes.
        moves: moves pages.
        checkpoint: remembers what was written.
        now: the time of day.
        clock: monotonic seconds.
    """

    writer: CpusetWriter
    eyes: Eyes
    moves: Moves
    checkpoint: Checkpoint
    now: Callable[[], datetime]
    clock: Callable[[], float]


@dataclass(slots=True)
class Attempt:
    """One reconciliation.

    Attributes:
        tools: what it works with.
        pod: the pod's cgroup.
        order: what is wanted.
        record: what is on file; kept up to date.
        view: what is; looked at anew after each write.
        drifts: when somebody else changed the cpuset lately; kept up to date.
        footprint: what the view's cpusets were read from.
    """

    tools: Tools
    pod: PodCgroup
    order: PinOrder
    record: Record | None
    view: View
    drifts: deque[float]
    footprint: Footprint

    @classmethod
    def begin(
        cls,
        tools: Tools,
        pod: PodCgroup,
        order: PinOrder,
        *,
        record: Record | None,
        drifts: deque[float],
    ) -> Attempt:
        """Look at the pod, and be ready to run.

        Args:
            tools: see the attributes, like all the others.
            pod: whom to look at.
            order: what is wanted.
            record: what is on file.
            drifts: earlier changes by somebody else.

        Raises:
            CgroupError: the pod is gone, or a file is malformed.
        """
        footprint = Footprint()
        names = order.container_names
        view = tools.eyes.view(pod, names, aged=record is None, footprint=footprint)
        return cls(tools, pod, order, record, view, drifts, footprint)

    def run(self, history_seconds: float) -> PinReport:
        """Take steps until nothing more can be done at once.

        Args:
            history_seconds: how long counters have been running for the pod.

        Raises:
            NumapinError: the host refuses something.
        """
        self._count_moved_pages()
        self._notice_drift()
        for _ in range(MOST_STEPS):
            step = decide.next_step(self.order, self.view, self._past(history_seconds))
            report = self._take(step)
            if report is not None:
                return report
        raise CgroupError(f"{self.pod.path}: no end after {MOST_STEPS} steps, the last {step}")

    def still(self) -> bool:
        """Whether a pod that was found to be as ordered is so still.

        That hangs on cpuset files alone, but where a pin gives way to a lack of memory.

        Raises:
            CgroupError: a file can't be read.
        """
        if not self.footprint.holds():
            return False
        if self.order.memory == "None" or self.record is None:
            return True
        view = replace(self.view, available=self.tools.eyes.available())
        return decide.next_step(self.order, view, Past(record=self.record)) == decide.Hold()

    def give_back(self) -> None:
        """Give the pod its parent's cpuset back and forget it, if it is on file.

        Raises:
            NumapinError: the host refuses it.
        """
        self.tools.moves.forget(self.pod.uid)
        if self.record is None:
            return
        self.tools.writer.release(self.pod)
        found, parent = self.pod.effective(), self.pod.parent_effective()
        if found != parent:
            raise CgroupError(
                f"{self.pod.path}: has {found} after it was given back, its parent {parent}"
            )
        self.tools.checkpoint.forget(self.pod.uid)
        self.record = None

    def report(self, phase: Phase, problem: Problem | None = None) -> PinReport:
        """What is true now."""
        record = self.record
        applied = None
        if record is not None and (record.cpus or record.mems):
            applied = Applied(cpus=record.cpus, mems=record.mems, time=record.time)
        return PinReport(
            phase=phase,
            problem=problem,
            applied=applied,
            effective=self.view.effective,
            containers=tuple(c for c in self.view.containers if c.name),
            drift=record.drift if record is not None else None,
            moving=self.tools.moves.progress(self.pod.uid) if phase == "Moving" else None,
            moved_pages=record.moved_pages if record is not None else 0,
            memory=self.view.memory.resident,
            file=self.view.memory.file,
            shmem=self.view.memory.shmem,
            threads=self.pod.threads(),
        )

    def _take(self, step: decide.Step) -> PinReport | None:
        """Carry one step out; a report when it is the last one for now."""
        report: PinReport | None = None
        match step:
            case decide.Apply(cpus=cpus, mems=mems, guarded=guarded):
                self._write(cpus, mems, guarded=guarded)
            case decide.NarrowMems(mems=mems):
                self._write(None, mems, narrow=True)
            case decide.MovePages(mems=mems):
                self._settle()
                self.tools.moves.start(self.pod, mems)
                report = self.report("Moving")
            case decide.Hold(problem=problem):
                self._settle()
                if problem is None or problem.reason in NO_MOVES:
                    self.tools.moves.forget(self.pod.uid)
                report = self.report("Pinned", problem)
            case decide.Refuse(problem=problem):
                report = self._without("Refused", problem)
            case decide.TakeBaseline():
                report = self.report("Baseline")
            case decide.Unpin() | decide.Observe():
                report = self._without("Observing" if self.order.mode == "Observe" else "Unpinned")
            case decide.Wait():
                report = PinReport(phase="Waiting")
        return report

    def _without(self, phase: Phase, problem: Problem | None = None) -> PinReport:
        if self.record is not None:
            self.give_back()
            self.look()
        return self.report(phase, problem)

    def look(self) -> None:
        """See what is now.

        Raises:
            NumapinError: the pod is gone, or something can't be read.
        """
        names = self.order.container_names
        self.footprint = Footprint()
        self.view = self.tools.eyes.view(
            self.pod, names, aged=self.record is None, footprint=self.footprint
        )

    def _past(self, history_seconds: float) -> Past:
        moves, uid = self.tools.moves, self.pod.uid
        mems = self.order.mems
        return Past(
            record=self.record,
            history_seconds=history_seconds,
            moving=mems is not None and moves.moving(uid, NodeSet(mems & self.view.parent.mems)),
            outcome=moves.outcome(uid),
            immovable=moves.immovable(),
            drifts=len(self.drifts),
            guarded_seconds=self._record_age(),
        )

    def _record_age(self) -> float:
        if self.record is None:
            return float("inf")
        return (self.tools.now() - self.record.time).total_seconds()

    def _write(
        self,
        cpus: CpuSet | None,
        mems: NodeSet | None,
        *,
        guarded: bool = False,
        narrow: bool = False,
    ) -> None:
        old = self.record
        order = self.order
        self._save(
            replace(
                old
                or Record(
                    uid=order.uid,
                    namespace=order.namespace,
                    name=order.name,
                    cpus=CpuSet(),
                    mems=NodeSet(),
                    time=self.tools.now(),
                ),
                cpus=cpus if cpus is not None else (old.cpus if old else CpuSet()),
                mems=mems if mems is not None else (old.mems if old else NodeSet()),
                time=self.tools.now(),
                settled=False,
                guarded=guarded if mems is not None else (old is not None and old.guarded),
                hasty=guarded or (old is not None and old.hasty),
            )
        )
        if guarded and mems is not None and self.view.effective.mems != mems:
            # PID 1, below, can take ten seconds for each question, and the pod has none.
            self.tools.writer.widen_mems(self.pod, mems)
            self.look()
        if narrow and mems is not None:
            self.tools.writer.narrow_mems(self.pod, mems)
        else:
            self.tools.writer.apply(self.pod, cpus=cpus, mems=mems)
        self.look()
        found = self.view.effective
        if (cpus is not None and found.cpus != cpus) or (mems is not None and found.mems != mems):
            raise CgroupError(
                f"{self.pod.path}: the kernel has {found} after cpus {cpus or '-'} "
                f"mems {mems or '-'} were written"
            )
        if mems is not None and self.record is not None and self.record.hasty:
            self._save(replace(self.record, hasty=False))

    def _save(self, record: Record) -> None:
        self.tools.checkpoint.save(record)
        self.record = record

    def _settle(self) -> None:
        record = self.record
        if (
            record is not None
            and not record.settled
            and self._expected(record) == (self.view.effective)
        ):
            self._save(replace(record, settled=True))

    def _expected(self, record: Record) -> Cpuset:
        """What the record comes to under the parent as it is now."""
        parent = self.view.parent
        return Cpuset(
            CpuSet(record.cpus & parent.cpus) or parent.cpus,
            NodeSet(record.mems & parent.mems) or parent.mems,
        )

    def _notice_drift(self) -> None:
        now = self.tools.clock()
        while self.drifts and self.drifts[0] <= now - FIGHT_SECONDS:
            self.drifts.popleft()
        record, found = self.record, self.view.effective
        if record is None or not record.settled or found == self._expected(record):
            return
        self.drifts.append(now)
        count = record.drift.count + 1 if record.drift is not None else 1
        log.warning(
            "%s/%s: its cpuset was changed to %s, wanted %s (time %d)",
            record.namespace,
            record.name,
            found,
            self._expected(record),
            count,
        )
        drift = Drift(cpus=found.cpus, mems=found.mems, count=count, time=self.tools.now())
        self._save(replace(record, drift=drift, settled=False))

    def _count_moved_pages(self) -> None:
        moved = self.tools.moves.take_moved_pages(self.pod.uid)
        if moved and self.record is not None:
            self._save(replace(self.record, moved_pages=self.record.moved_pages + moved))
