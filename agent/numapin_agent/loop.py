"""The one thread that makes pods' cpusets what their NumaPins say.

Level-triggered: events of the API server, cgroups that appear and the tick only mark a pod
dirty; what to do is found by looking. It waits for nobody: writes to the API server are
handed to the publisher, page moves to the pinner's worker. What it deliberately does not
do is decide where a pod belongs (the operator) or how a cpuset is written (the pinner).
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from numapin_agent import observe
from numapin_agent.measure import Measure
from numapin_agent.orders import Refusal, order, wants_pin
from numapin_agent.pin.values import PinOrder, PinReport
from numapin_agent.pods import PodView
from numapin_agent.ports import Key, Surroundings
from numapin_agent.seen import INHERITED, Seen, recall
from numapin_agent.status import Reason
from numapin_agent.track import MEASURED, Track
from numapin_agent.watch import retry_seconds
from numapin_agent.workqueue import WorkQueue
from numapin_api import locality
from numapin_api.cpulist import NodeSet
from numapin_api.errors import CgroupError, CounterError, NumapinError
from numapin_api.pin import NumaPin, Observed
from numapin_api.policy import seconds

log = logging.getLogger(__name__)

_T = TypeVar("_T")

GRACE_SECONDS = 3.0
"""How long a NumaPin may be ahead of the pod that it names: two watches are not in step."""
MOVING_SECONDS = 1.0
"""How often progress is looked at while pages move or a baseline is taken..."""
MOVING_LOAD = 10
"""... but each look is followed by a pause of so many times what it took."""
RESCAN_SECONDS = 60.0
"""How often all cgroups of all pods are looked for, whatever events said or lost."""


class Loop:
    """The reconcile loop.

    Args:
        with_: all that it works with.
    """

    def __init__(self, with_: Surroundings) -> None:
        self._w = with_
        self._measure = Measure(with_.census, clock=with_.clock, wall=with_.wall)
        self._queue: WorkQueue[Key] = WorkQueue(clock=with_.clock)
        self._seen: dict[Key, Seen] = {}
        self._round: dict[Key, None] = {}
        self._appeared: dict[str, float] = {}
        self._ours: set[str] = set()
        self._problems: dict[str, Reason] = {}
        self._blind = False
        self._stopped = threading.Event()
        self._next_tick = with_.clock()
        self._next_scan = with_.clock()
        self._heartbeat = with_.clock()

    # Called by other threads: they only mark.

    def dirty(self, keys: Iterable[Key]) -> None:
        """These pods or pins changed; pins not seen before can't wait, their pods may start."""
        changed, pins = tuple(keys), self._w.objects.pins()
        self._queue.add((k for k in changed if k in pins and k not in self._seen), urgent=True)
        self._queue.add(changed)

    def appeared(self, uid: str) -> None:
        """A pod's cgroup is there now: its containers start within milliseconds."""
        keys = self._keys_of(uid)
        if any(key in self._w.objects.pins() for key in keys):
            self._appeared.setdefault(uid, self._w.clock())
        self._queue.add(keys, urgent=True)

    def vanished(self, uid: str) -> None:
        """A pod's cgroup is gone."""
        self._appeared.pop(uid, None)
        self._w.census.gone(uid)
        self._queue.add(self._keys_of(uid))

    def turned(self, uid: str) -> None:
        """What another thread does for a pod has come to something else: moved pages, files."""
        self._queue.add(self._keys_of(uid))

    def widened(self, uid: str) -> None:
        """The guard has widened a pod's memory nodes: systemd and the API server are to know."""
        self._queue.add(self._keys_of(uid), urgent=True)

    def stop(self) -> None:
        """End the loop after the present look; pins stay."""
        self._stopped.set()
        self._queue.close()

    def silent_seconds(self) -> float:
        """How long ago the loop last showed a sign of life."""
        return self._w.clock() - self._heartbeat

    def problems(self) -> tuple[Reason, ...]:
        """What is wrong with the loop itself, for the node's conditions."""
        return tuple(dict(sorted(self._problems.items())).values())

    def reports(self) -> Mapping[Key, PinReport]:
        """The newest report of every pin."""
        return {key: s.report for key, s in dict(self._seen).items() if s.report is not None}

    def run(self) -> None:
        """Reconcile until stopped; the body of the thread."""
        while not self._stopped.is_set():
            self.step()

    def step(self, *, wait: bool = True) -> bool:
        """Deal with the next dirty pod or the tick.

        Args:
            wait: for one of them to be due.

        Returns:
            Whether anything was done.
        """
        left = self._next_tick - self._w.clock()
        # The first tick comes before the first pod: it tells which pods are pinned already.
        # What a tick asks for comes after all else: new pods don't wait for its round to end.
        key = self._queue.get(left if wait and not self._round else 0) if left > 0 else None
        act = self.reconcile
        if key is not None:
            self._round.pop(key, None)
        elif left > 0 and self._round:
            key, act = next(iter(self._round)), self._pass_by
            del self._round[key]
        self._heartbeat = self._w.clock()
        if self._stopped.is_set():
            return False
        if key is not None:
            self._guarded(f"{key[0]}/{key[1]}", lambda: act(key), key)
            return True
        if self._w.clock() < self._next_tick:
            return False
        self._next_tick = self._w.clock() + self._w.interval_seconds
        self._guarded("tick", self.tick, None)
        return True

    def _guarded(self, what: str, act: Callable[[], None], key: Key | None) -> None:
        begun = self._w.clock()
        try:
            act()
            self._problems.pop(what, None)
        except Exception as e:  # the loop's edge: one pod's surprise must not stop the others
            if isinstance(e, NumapinError):
                log.warning("%s: %s", what, e)
                problem = Reason(e.reason, f"{what}: {e}")
            else:
                log.exception("%s: unexpected error", what)
                problem = Reason(
                    "InternalError", f"{what}: {type(e).__name__}, see the agent's log"
                )
            self._w.recorder.error(problem.reason)
            self._problems[what] = problem
            if key is not None:
                self._again(key, e)
        self._w.recorder.pass_took(self._w.clock() - begun)

    def _again(self, key: Key, error: Exception) -> None:
        seen = self._seen.get(key)
        pin = self._w.objects.pins().get(key)
        failures = seen.failures + 1 if seen else 1
        if seen is not None:
            self._seen[key] = replace(seen, failures=failures, settled=None)
            if pin is not None and isinstance(error, NumapinError):
                refusal = Refusal(error.reason, str(error))
                self._publish(key, pin, self._refused(pin, refusal))
        self._queue.add_after(key, retry_seconds(failures, uniform=self._w.uniform))

    # The tick.

    def tick(self) -> None:
        """Look at everything once, whatever events said or lost."""
        w = self._w
        # Pins first: whatever fails below must not cost them their look. What a slow round has
        # left over stays in front.
        self._round |= dict.fromkeys(w.objects.pins())
        self._ours = set(w.pinner.taken())
        self.sweep()
        if w.clock() >= self._next_scan:
            w.census.replace(w.cgroups.counted())
            self._next_scan = w.clock() + RESCAN_SECONDS
        w.on_tick()
        self._blind = True  # stays so if this raises: until a tick can read the counters again
        w.census.sample()
        self._blind = False

    def sweep(self) -> None:
        """Release what is pinned without an order for it.

        Only once all pods and pins were received whole and could be read: an API server
        that is away, or an object of a later version, never costs a pod its pin.
        """
        objects = self._w.objects
        if not (objects.listed and objects.trusted):
            return
        pods = objects.pods()
        wanted = set()
        for key, pin in objects.pins().items() if self._ours else ():
            found = order(pin, pods.get(key), node_name=self._w.node_name)
            if isinstance(found, PinOrder):
                if wants_pin(found):
                    wanted.add(found.uid)
            elif found.transient and self._patience(key) > 0:
                return
        for uid in self._ours - wanted:
            self._release(uid)

    def _release(self, uid: str) -> None:
        log.info("pod UID %s: giving its cpuset back", uid)
        if self._w.pinner.release(uid).phase == "Unpinned":
            self._ours.discard(uid)

    def _patience(self, key: Key) -> float:
        seen = self._seen.get(key)
        if seen is None or seen.missing_since is None:
            return GRACE_SECONDS
        return seen.missing_since + GRACE_SECONDS - self._w.clock()

    # One pod.

    def _pass_by(self, key: Key) -> None:
        """Reconcile a pod on account of a tick: only if something about it is not as it was."""
        if not self._as_it_was(key):
            self.reconcile(key)

    def _as_it_was(self, key: Key) -> bool:
        w = self._w
        seen, pin, pod = self._seen.get(key), w.objects.pins().get(key), w.objects.pods().get(key)
        return (
            seen is not None
            and seen.settled is not None
            and seen.settled[0] is pin
            and seen.settled[1] is pod
            and seen.settled[2] == w.census.hopeless
            and seen.report is not None
            and (pod.cgroup_uid in self._ours) == (seen.report.phase == "Pinned")
            # Counters that came later begin a window; a window that ends has its own time.
            and (seen.track.start is not None or not w.census.counting)
            and w.clock() - seen.published_at < observe.REFRESH_SECONDS
            and w.pinner.unchanged(pod.cgroup_uid)
        )

    def reconcile(self, key: Key) -> None:
        """Bring one pod to what its NumaPin says, and publish what came of it."""
        objects = self._w.objects
        self._look(objects.pods().get(key))
        if not objects.listed:
            return
        pin = objects.pins().get(key)
        if pin is None:
            self._forget(key)
            return
        seen = self._recall(key, pin)
        found = order(pin, objects.pods().get(key), node_name=self._w.node_name)
        if isinstance(found, Refusal):
            self._refuse(key, pin, seen, found)
            return
        self._act(key, pin, replace(seen, missing_since=None, settled=None), found)

    def _look(self, pod: PodView | None) -> None:
        """Note which cgroups a pod has now: something about it changed."""
        if pod is None:
            return
        cgroup = self._w.cgroups.find_pod(pod.cgroup_uid)
        if cgroup is None:
            self._w.census.gone(pod.cgroup_uid)
        else:
            self._w.census.look(cgroup)

    def _recall(self, key: Key, pin: NumaPin) -> Seen:
        """What is known about a pin; after a restart, what the API server still holds."""
        pin_uid = pin.metadata.uid or ""
        seen = self._seen.get(key)
        if seen is None or seen.pin_uid != pin_uid:
            seen = recall(pin, home=self._home(pin), now=self._w.clock())
            self._seen[key] = seen
        return seen

    def _forget(self, key: Key) -> None:
        if self._seen.pop(key, None) is not None:
            self._w.publisher.drop(_pin_key(key))
        self.sweep()

    def _refuse(self, key: Key, pin: NumaPin, seen: Seen, refusal: Refusal) -> None:
        if refusal.transient:
            since = self._w.clock() if seen.missing_since is None else seen.missing_since
            seen = replace(seen, missing_since=since)
            self._seen[key] = seen
            left = self._patience(key)
            if left > 0:
                self._queue.add_after(key, left)
                return
        self._seen[key] = replace(seen, report=None, track=Track(), baseline=None, settled=None)
        self.sweep()
        self._publish(key, pin, self._refused(pin, refusal))

    @staticmethod
    def _refused(pin: NumaPin, refusal: Refusal) -> Observed:
        return observe.refused(
            pin.metadata.generation or 0,
            phase=refusal.phase,
            reason=refusal.reason,
            message=refusal.message,
        )

    def _act(self, key: Key, pin: NumaPin, seen: Seen, wanted: PinOrder) -> None:
        w = self._w
        fresh = wants_pin(wanted) and wanted.uid not in self._ours
        measure, uid = self._measure, wanted.uid
        before = self._counted(key, lambda: measure.baseline(uid)) if fresh else None
        begun = w.clock()
        # Counters that can't be read are not waited for: there may never be any.
        history = float("inf") if self._blind else measure.history_seconds(uid)
        report = w.pinner.reconcile(wanted, history_seconds=history)
        if fresh and report.applied is not None:
            self._ours.add(wanted.uid)
            log.info("%s/%s: takes CPUs %s, memory %s", *key, wanted.cpus, wanted.mems or "-")
            memory = tuple(observe.node_bytes(report.memory))
            seen = replace(seen, baseline=observe.Baseline(before, memory) if before else None)
        if report.phase == "Pinned":
            made = self._appeared.pop(wanted.uid, None)
            if made is not None and fresh:
                w.recorder.pinned_after(w.clock() - made)
        window = float(seconds(pin.spec.verification.window))
        measured = report.phase in MEASURED
        over = seen.track.over(seconds=window)
        sample = self._counted(key, lambda: measure.sample(uid, over=over)) if measured else None
        track = seen.track.advance(report, sample, seconds=window)
        pod, done = w.objects.pods().get(key), measured and report.problem is None
        settled = (pin, pod, w.census.hopeless) if done and pod is not None else None
        whole = measure.window(uid, track, report)
        mark = None if track.whole is None else track.whole.since
        if whole is None and not w.census.hopeless:
            whole = seen.inherited_by(track)
            mark = None if whole is None else INHERITED
        home = self._home(pin)
        new = observe.observed(
            report,
            generation=wanted.generation,
            baseline=seen.baseline,
            last_window=whole,
            borrowed=w.lenders.of(key, uid, report, home=home, held=seen.published),
        )
        inputs = observe.verdict_inputs(new, pin.spec, home)
        streak = seen.streak.after(inputs, mark)
        seen = replace(seen, report=report, track=track, streak=streak, failures=0, settled=settled)
        self._seen[key] = seen
        self._publish(key, pin, new.model_copy(update={"windows": streak.windows(inputs)}))
        over, now = track.over(seconds=window), w.clock()
        if report.phase in ("Moving", "Baseline"):
            self._queue.add_after(key, max(MOVING_SECONDS, MOVING_LOAD * (now - begun)))
        elif over is not None:
            self._queue.add_after(key, max(0.0, over - now))

    def _counted(self, key: Key, read: Callable[[], _T]) -> _T | None:
        """What was counted of a pod; None when it can't be read, which costs a window, not a pin.

        The node's condition is the tick's to tell, which reads the same of all pods.
        """
        try:
            return read()
        except (CounterError, CgroupError) as e:
            log.info("%s/%s: not measured: %s", *key, e)
            self._w.recorder.error(e.reason)
            return None

    # What is told to the API server.

    def _publish(self, key: Key, pin: NumaPin, new: Observed) -> None:
        seen = self._seen[key]
        now = self._w.clock()
        age = now - seen.published_at
        if not observe.worth_publishing(
            seen.published, new, spec=pin.spec, home=self._home(pin), age_seconds=age
        ):
            return
        self._seen[key] = replace(seen, published=new, published_at=now)
        self._w.publisher.submit(_pin_key(key), lambda: self._w.writes.apply_observed(pin, new))

    def _home(self, pin: NumaPin) -> NodeSet:
        return locality.home(pin.spec, self._w.topology())

    def _keys_of(self, uid: str) -> tuple[Key, ...]:
        return tuple(k for k, pod in self._w.objects.pods().items() if pod.cgroup_uid == uid)


def _pin_key(key: Key) -> str:
    return f"pin/{key[0]}/{key[1]}"
