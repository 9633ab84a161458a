"""The agent's hands: pins and un-pins pods, and knows which it has pinned.

The rules are in ``decide``, the steps in ``attempt``; here is what the agent calls. Page
moves go on in a worker thread; everything else is done by whoever calls. One thread calls all
of it but ``exposed`` and ``widen``, which are the guard's.
"""

import contextlib
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from numapin_agent.cgroup.host import CgroupHost
from numapin_agent.cgroup.pod import PodCgroup
from numapin_agent.cgroup.systemd import SystemdBus
from numapin_agent.cgroup.write import CpusetWriter, FileCpusets, SystemdCpusets
from numapin_agent.guard.rules import Exposed, least_free
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pin import decide
from numapin_agent.pin.attempt import Attempt, Tools
from numapin_agent.pin.checkpoint import Checkpoint
from numapin_agent.pin.look import Eyes
from numapin_agent.pin.mover import PageMover
from numapin_agent.pin.syscall import MovePages
from numapin_agent.pin.values import PinOrder, PinReport, Problem, Record
from numapin_agent.pin.worker import Moves
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import NumapinError, StateError

log = logging.getLogger(__name__)

LOCK_SECONDS = 0.05
"""How long the guard waits for a pod that the loop is at, before it sees to the others."""


class Pinner:
    """Pins and un-pins pods on this node.

    Args:
        host: finds pods.
        tools: what it works with; ``on_this_host`` makes the real ones.
        exposure_changed: called when another pod is bound to some of the NUMA nodes, or one
            no longer is.
    """

    def __init__(
        self,
        host: CgroupHost,
        tools: Tools,
        *,
        exposure_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._host = host
        self._tools = tools
        self._exposure_changed = exposure_changed
        # A pod's lock goes with the last who holds it: none stays behind for pods that were.
        self._locks: weakref.WeakValueDictionary[str, threading.Lock] = (
            weakref.WeakValueDictionary()
        )
        self._tables = threading.Lock()
        self._exposed: dict[str, Exposed] = {}
        self._drifts: dict[str, deque[float]] = {}
        self._settled: dict[str, Attempt] = {}

    @classmethod
    def on_this_host(  # noqa: PLR0913 -- most by keyword
        cls,
        paths: HostPaths,
        host: CgroupHost,
        *,
        eyes: Eyes,
        moved: Callable[[str], None],
        exposure_changed: Callable[[], None],
        state_dir: Path,
    ) -> "Pinner":
        """A pinner for the real host.

        Args:
            paths: the host's paths.
            host: its cgroups.
            eyes: looks at pods and NUMA nodes.
            moved: called from another thread, with the UID, when a page move has ended:
                reconcile soon.
            exposure_changed: see the class.
            state_dir: where records are kept, below the host's /run.

        Raises:
            MoveError: move_pages(2) is not known for this machine's architecture.
        """
        writer: CpusetWriter = FileCpusets()
        if host.driver == "systemd":
            writer = SystemdCpusets(SystemdBus(paths.dbus_socket), paths.cgroup)
        mover = PageMover(proc=paths.proc, calls=MovePages(), available=eyes.available)
        return cls(
            host,
            Tools(
                writer=writer,
                eyes=eyes,
                moves=Moves(mover, done=moved),
                checkpoint=Checkpoint(state_dir / "pins"),
                now=lambda: datetime.now(UTC),
                clock=time.monotonic,
            ),
            exposure_changed=exposure_changed,
        )

    def taken(self) -> tuple[str, ...]:
        """UIDs of the pods that are on file as pinned, ascending.

        Records of pods whose cgroups are gone are removed on the way.

        Raises:
            StateError: the records can't be listed or removed.
        """
        uids = self._tools.checkpoint.uids()
        if self._host.root is None:
            return uids
        there = tuple(uid for uid in uids if self._host.find_pod(uid) is not None)
        for uid in set(uids) - set(there):
            self._forget(uid)
        return there

    def reconcile(self, order: PinOrder, *, history_seconds: float) -> PinReport:
        """Bring one pod nearer to what is ordered, as near as can be had at once.

        Args:
            order: what is wanted.
            history_seconds: how long counters have been running for the pod.

        Returns:
            What was done and what the kernel says now. Never raises for what the host, the
            kernel or systemd refuse: that is the report's problem.
        """
        with self._lock(order.uid):
            return self._reconcile(order, history_seconds)

    def _reconcile(self, order: PinOrder, history_seconds: float) -> PinReport:
        attempt: Attempt | None = None
        pod: PodCgroup | None = None
        self._settled.pop(order.uid, None)
        try:
            pod = self._host.find_pod(order.uid)
            if pod is None:
                self._forget(order.uid)
                return PinReport(phase="Waiting")
            drifts = self._drifts.setdefault(order.uid, deque())
            attempt = Attempt.begin(
                self._tools, pod, order, record=self._load(order), drifts=drifts
            )
            stranger = decide.find_stranger(order, attempt.view, attempt.record)
            if stranger is not None:
                return PinReport(phase="Refused", problem=stranger)
            report = attempt.run(history_seconds)
            self._expose(attempt)
        except NumapinError as e:
            self._expose_after_failure(attempt)
            if pod is not None and not pod.exists():
                # It ended while we were at it: no problem of anybody's.
                self._forget(order.uid)
                return PinReport(phase="Waiting")
            log.warning("%s/%s: %s", order.namespace, order.name, e)
            problem = Problem(e.reason, str(e))
            if attempt is None:
                return PinReport(phase="Refused", problem=problem)
            held = attempt.record is not None and attempt.record.settled
            return attempt.report("Pinned" if held else "Refused", problem)
        if report.phase in ("Pinned", "Observing") and report.problem is None:
            self._settled[order.uid] = attempt
        return report

    def arm(self) -> None:
        """Have the pods guarded that an agent before this one has bound.

        What was asked for them is known only when the API server has answered, and the kernel
        does not wait: until then they are widened as Strict ones are, at the last resort.
        Records that can't be used are told of in the log.
        """
        if self._host.root is None:
            return
        try:
            uids = self._tools.checkpoint.uids()
        except StateError as e:
            log.warning("pods that were pinned before are not guarded yet: %s", e)
            return
        for uid in uids:
            try:
                self._put_exposed(uid, self._on_file(uid))
            except NumapinError as e:
                log.warning("pod %s was pinned before and is not guarded yet: %s", uid, e)

    def _on_file(self, uid: str) -> Exposed | None:
        """How a pod is bound by what is on file alone."""
        pod, record = self._host.find_pod(uid), self._tools.checkpoint.load(uid)
        if pod is None:
            return None
        bound = decide.bound_to(pod.effective().mems, pod.parent_effective().mems, record)
        if bound is None:
            return None
        capacity = sum(self._tools.eyes.capacity.get(n, 0) for n in bound)
        return Exposed(uid, bound, least_free("Strict", headroom_percent=0, capacity=capacity))

    def exposed(self) -> tuple[Exposed, ...]:
        """The pods that are bound to some of the node's memory, as of the last look at each."""
        return tuple(self._exposed.values())

    def widen(self, uid: str) -> bool:
        """Let a pod use all the memory that its parent has, before the kernel kills it.

        From any thread, and by file alone: the next reconciliation tells systemd.

        Args:
            uid: of the pod.

        Returns:
            Whether that was done; not while the pod is being reconciled, nor when it is gone.

        Raises:
            NumapinError: the kernel refuses, or it can't be put on file.
        """
        lock = self._lock(uid)
        if not lock.acquire(timeout=LOCK_SECONDS):
            return False
        try:
            return self._widen(uid)
        finally:
            lock.release()

    def _widen(self, uid: str) -> bool:
        pod = self._host.find_pod(uid)
        record = self._tools.checkpoint.load(uid)
        if pod is None or record is None or uid not in self._exposed:
            return False
        mems = pod.parent_effective().mems
        self._tools.checkpoint.save(
            replace(
                record,
                mems=mems,
                time=self._tools.now(),
                settled=False,
                guarded=True,
                hasty=True,
            )
        )
        self._tools.writer.widen_mems(pod, mems)
        self._put_exposed(uid, None)
        return True

    def _expose(self, attempt: Attempt) -> None:
        """Note whether the pod is bound now."""
        uid = attempt.order.uid
        found = decide.exposed_to(attempt.order, attempt.view, attempt.record)
        self._put_exposed(uid, Exposed(uid, *found) if found else None)

    def _expose_after_failure(self, attempt: Attempt | None) -> None:
        """The same after an error: a write may have been done, and who can't be seen is bound on.

        Args:
            attempt: what failed; None when the pod could not be looked at.
        """
        if attempt is None:
            return
        with contextlib.suppress(NumapinError):
            attempt.look()
            self._expose(attempt)

    def _put_exposed(self, uid: str, found: Exposed | None) -> None:
        """Take a pod in, or out; the loop does it and so does the guard."""
        with self._tables:
            # A new dict each time, so that the guard's copy stays whole.
            exposed = {u: e for u, e in self._exposed.items() if u != uid}
            if found is not None:
                exposed[uid] = found
            changed = exposed != self._exposed
            self._exposed = exposed
        if changed:
            self._exposure_changed()

    def _lock(self, uid: str) -> threading.Lock:
        with self._tables:
            return self._locks.setdefault(uid, threading.Lock())

    def unchanged(self, uid: str) -> bool:
        """Whether another reconciliation of a pod with the same order would find nothing to do.

        Reads all the files again that the last one read of cpusets. False is no statement.

        Args:
            uid: of the pod.
        """
        attempt = self._settled.get(uid)
        try:
            return attempt is not None and attempt.still()
        except NumapinError:
            return False  # the reconciliation will say what is wrong

    def release(self, uid: str) -> PinReport:
        """Give a pod its parent's cpuset back and forget it; nothing to do is fine.

        Args:
            uid: of the pod.

        Returns:
            Phase Unpinned; or Refused with a problem, and the pod stays on file.
        """
        order = PinOrder(
            namespace="",
            name="",
            uid=uid,
            generation=0,
            mode="Enforce",
            cpus=None,
            mems=None,
            memory="None",
            headroom_percent=0,
        )
        report = self.reconcile(order, history_seconds=0)
        if report.problem is not None:
            log.warning("pod %s can't be un-pinned: %s", uid, report.problem.message)
        elif report.phase == "Waiting":
            return PinReport(phase="Unpinned")
        return report

    def close(self) -> None:
        """Stop moving pages at once; pins stay as they are."""
        self._tools.moves.close()

    def _load(self, order: PinOrder) -> Record | None:
        try:
            return self._tools.checkpoint.load(order.uid)
        except StateError as e:
            # A record that can't be read still says that the pod is ours.
            log.warning("%s: taking the pod as pinned with unknown sets", e)
            return Record(
                uid=order.uid,
                namespace=order.namespace,
                name=order.name,
                cpus=CpuSet(),
                mems=NodeSet(),
                time=self._tools.now(),
            )

    def _forget(self, uid: str) -> None:
        self._tools.moves.forget(uid)
        self._tools.checkpoint.forget(uid)
        self._drifts.pop(uid, None)
        self._settled.pop(uid, None)
        self._put_exposed(uid, None)
