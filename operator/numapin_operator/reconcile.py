"""Compares what should be with what is, key by key, and writes the difference.

Level-triggered and idempotent: a key is only a name to look at again, so a lost, doubled or
late event changes nothing but the time. All of it runs in the event loop, where deciding and
taking room are one step without an await, so two pods can't be promised the same room.
Deciding itself is in ``step``; which key comes when, and again after a failure, in ``work``;
which pod is to be moved, in ``rounds``.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Final

from numapin_api.errors import NumapinError
from numapin_api.pin import NumaPinStatus, Observed
from numapin_api.policy import NumaPolicySpec
from numapin_operator import before, build, conditions, moves, step
from numapin_operator.allowance import Allowance
from numapin_operator.checks import Eyes
from numapin_operator.events import Restraint, event
from numapin_operator.figures import Figures
from numapin_operator.kube import Json
from numapin_operator.metrics import Metrics
from numapin_operator.pods import Key, Pod
from numapin_operator.rebalancer import LOOK_SECONDS, Rebalancer
from numapin_operator.records import NodeKey, PinRecord, PolicyKey
from numapin_operator.rounds import EVERY_NODE, Rounds
from numapin_operator.store import Dirt, Store
from numapin_operator.verdict import Judgement, silent_from
from numapin_operator.work import Work
from numapin_operator.writer import Writer

AHEAD_SECONDS: Final = 3600.0
"""A new pod waits for no other work: a policy's change may have made 100,000 keys due."""
FIRST_STATUS_SECONDS: Final = 5.0
"""So long a new pin may have no status: within that, agents mostly have pinned, and one write
tells of both."""
COLLECTOR_SECONDS: Final = 5.0
"""So long the garbage collector has for pins of pods that have ended; it needs no request of
ours. Their room is free from the pod's end on."""
POLICY_DELAY_SECONDS: Final = 1.0
"""Counts of a policy are written together, not once per pod."""
WAITING_DELAY_SECONDS: Final = 0.5
"""After a pin is deleted or moved, until those that wait for its room are looked at."""
AnyKey = Key | PolicyKey | NodeKey
"""A pod and its pin, a policy, a node."""

log = logging.getLogger(__name__)


def _observed(pin: PinRecord | None) -> Observed | None:
    """What the agent has said of a pin."""
    status = pin.status() if pin is not None else None
    return status.observed if status is not None else None


class Reconciler:
    """Brings NumaPins and policy counts in line with the store.

    Args:
        store: what is known; changed only from the event loop.
        writer: the API server.
        default: the policy of pods that match none.
        metrics: where to count.
        now: wall clock, with time zone.
        clock: monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 (each is a dependency to inject)
        self,
        store: Store,
        writer: Writer,
        *,
        default: NumaPolicySpec,
        metrics: Metrics,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._store, self._writer, self._default = store, writer, default
        self._metrics, self._now, self._clock = metrics, now, clock
        self._work: Work[AnyKey] = Work(self._reconcile, metrics=metrics, clock=clock)
        self._heard: dict[Key, float] = {}
        self._fresh: dict[Key, float] = {}
        self._collected: dict[Key, float] = {}
        self._figures: Figures[Key] = Figures()
        self._restraint = Restraint()
        self._allowance: Allowance[Key] = Allowance()
        self._rebalancer = Rebalancer(store, default)
        self._rounds = Rounds(store, self._rebalancer, mark=self.mark, now=now, clock=clock)
        self._work.mark([EVERY_NODE], after=LOOK_SECONDS)

    # -- marking ----------------------------------------------------------------------

    def mark(self, keys: Dirt | Iterable[AnyKey], *, after: float = 0.0) -> None:
        """Have keys looked at in the store's order; policies later, so that counts gather."""
        nodes: list[AnyKey] = []
        others: list[Key | PolicyKey] = []
        for key in keys:
            if isinstance(key, NodeKey):
                nodes.append(key)
            else:
                others.append(key)
        ordered = self._store.in_order(others)
        # All of one mark come due at once, so that none overtakes another by a moment.
        self._work.mark([*(k for k in ordered if isinstance(k, Key)), *nodes], after=after)
        policies = [k for k in ordered if isinstance(k, PolicyKey)]
        self._work.mark(policies, after=max(after, POLICY_DELAY_SECONDS))

    def heard_of_pod(self, key: Key) -> None:
        """A pod without a pin: look at it first, and note when, for the latency that users feel."""
        if key not in self._heard:
            self._heard[key] = self._clock()
            self._work.mark([key], after=-AHEAD_SECONDS)

    def heard_of_end(self, key: Key) -> None:
        """A pod has ended, and not only lost its label: its pin is the garbage collector's."""
        self._collected[key] = self._clock() + COLLECTOR_SECONDS

    # -- the loop ---------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled."""
        await self._work.run()

    async def work_once(self) -> bool:
        """Reconcile the key that has been due longest; False if none is due."""
        return await self._work.once()

    @property
    def last_tick(self) -> float:
        """When the loop last showed that it lives, in monotonic seconds."""
        return self._work.last_tick

    async def _reconcile(self, key: AnyKey) -> None:
        if isinstance(key, NodeKey):
            await self._rounds.look(key)
        elif isinstance(key, PolicyKey):
            await self._policy(key)
        else:
            await self._pod(key)

    async def _call(
        self,
        what: str,
        function: Callable[[Json], Awaitable[Json]],
        body: Json,
        *,
        of: Key | None = None,
    ) -> Json:
        if of is not None:
            # Before the call: one that is refused costs the API server as much.
            self._allowance.spend(of, now=self._clock())
        answer = await function(body)
        self._metrics.writes.labels(what=what).inc()
        return answer

    # -- pods -------------------------------------------------------------------------

    async def _pod(self, key: Key) -> None:
        pod, pin = self._store.pods.get(key), self._store.pins.get(key)
        if pod is None or pod.finished or pod.terminating:
            self._rounds.settled(key)
        if pod is None or pod.finished:
            self._heard.pop(key, None)
            self._fresh.pop(key, None)
            self._figures.forget(key)
            wait = self._collected.get(key, 0.0) - self._clock()
            if pod is None and pin is not None and wait > 0:
                self.mark([key], after=wait)
                return
            self._collected.pop(key, None)
            if pin is not None:
                self._restraint.forget(pin.pod_uid)
                await self._delete(pin)
            return
        self._collected.pop(key, None)
        if pin is not None and pin.pod_uid != pod.uid:
            # The name is in use again: spec.podUID can't change, a new pin is made.
            await self._delete(pin)
            pin = None
        if pod.node is None or (pod.terminating and pin is None):
            self._heard.pop(key, None)
            return
        wait = self._allowance.wait(key, now=self._clock())
        if wait > 0:
            self._metrics.held_back.inc()
            self.mark([key], after=wait)
            return
        try:
            decision = self._decide(pod, pin)
            pin = await self._write_pin(pod, pin, decision)
        finally:
            self._rounds.settled(key)
        record = self._store.nodes.get(pod.node)
        seen = Eyes() if record is None else record.eyes
        judgement = step.assess(decision, pin, seen=seen, now=self._now())
        if step.must_release(decision, judgement):
            decision = step.give_up(decision, judgement)
            pin = await self._write_pin(pod, pin, decision)
            judgement = step.assess(decision, pin, seen=seen, now=self._now())
        await self._write_status(pod, pin, decision, judgement)
        await self._tell(pod)
        self._look_again(pin, judgement)

    def _decide(self, pod: Pod, pin: PinRecord | None) -> step.Decision:
        """Decide, and take the room at once: no await in between."""
        store = self._store
        decision = step.decide(
            step.Situation(
                pod=pod,
                pin=pin,
                node=store.nodes.get(pod.node or ""),
                neighbours=store.neighbours(pod.node or "", pod.key),
                policies={name: p.spec for name, p in store.policies.items()},
                namespace_labels=store.namespaces.get(pod.key.namespace, {}),
                default=self._default,
                now=self._now(),
                overdue=before.devices_wait(pod, now=self._now()) <= 0,
                move=self._rounds.move(pod.key),
            )
        )
        store.promise(pod.key, decision.spot)
        self.mark(decision.others, after=WAITING_DELAY_SECONDS)
        if decision.refusal is not None and decision.refusal.reason == before.AWAITING_DEVICES:
            self.mark([pod.key], after=before.devices_wait(pod, now=self._now()))
        return decision

    async def _delete(self, pin: PinRecord) -> None:
        self._allowance.spend(pin.key, now=self._clock())
        await self._writer.delete_pin(pin.key, pin.uid)
        self._metrics.writes.labels(what="delete").inc()
        log.info("pin deleted", extra={"pin": str(pin.key), "socket": pin.socket})
        # Later, so that of many pods that go at once the others are looked at once.
        others = self._store.drop("numapins", pin.key, pin.uid) - {pin.key}
        self.mark(others, after=WAITING_DELAY_SECONDS)

    async def _write_pin(
        self, pod: Pod, pin: PinRecord | None, decision: step.Decision
    ) -> PinRecord:
        """Apply the pin unless it stands as it should."""
        try:
            if (
                pin is not None
                and pin.spec() == decision.spec
                and pod.uid in pin.owners
                and pin.released == decision.released
            ):
                return pin
            body = build.pin(pod, decision.spec, decision.released)
            answer = await self._call("pin", self._writer.apply_pin, body, of=pod.key)
            self._take_answer(answer, pod.key, pin)
            if decision.spec.move is not None and (pin is None or pin.move != decision.spec.move):
                self._metrics.moves.labels(reason=decision.spec.move.cause).inc()
        finally:
            self._store.fulfil(pod.key)
            heard = self._heard.pop(pod.key, None)
        if pin is None:
            self._fresh[pod.key] = self._clock() + FIRST_STATUS_SECONDS
        if heard is not None and pin is None:
            self._metrics.pod_to_pin_seconds.observe(self._clock() - heard)
        log.info(
            "pin written",
            extra={
                "pin": str(pod.key),
                "node": pod.node,
                "socket": decision.spec.socket,
                "policy": decision.spec.policy,
                "reason": decision.refusal.reason if decision.refusal else "",
                "moved": decision.moved,
            },
        )
        return self._store.pins[pod.key]

    def _take_answer(self, answer: Json, key: Key, before: PinRecord | None) -> None:
        """Take in what our own write made of a pin.

        What we wrote is no reason to look again. But the answer also holds what the agent has
        said meanwhile; the watch will bring nothing newer than that, so it is one.
        """
        dirt = self._store.put("numapins", answer)
        if _observed(before) == _observed(self._store.pins.get(key)):
            dirt = dirt - {key}
        self.mark(dirt)

    async def _write_status(
        self, pod: Pod, pin: PinRecord, decision: step.Decision, judgement: Judgement
    ) -> None:
        """Apply the status unless it stands as it should, then tell what changed."""
        old = pin.status()
        moved = self._moved(pin, old, judgement)
        new = step.status(decision, pin, judgement, moved=moved, now=self._now())
        if conditions.same(old, new) or self._withheld(pod.key, old, new):
            return
        wait = self._figures.wait(pod.key, old, new, now=self._clock())
        if wait > 0:
            self.mark([pod.key], after=wait)
            return
        body = build.pin_status(pod.key.namespace, pod.key.name, new)
        answer = await self._call("status", self._writer.apply_pin_status, body, of=pod.key)
        self._figures.forget(pod.key)
        self._take_answer(answer, pod.key, pin)
        if old is None or old.verdict != new.verdict:
            log.info(
                "verdict",
                extra={
                    "pin": str(pod.key),
                    "verdict": new.verdict,
                    "evidence": new.evidence,
                    "because": judgement.message,
                },
            )
        self._restraint.offer(
            pod.uid,
            conditions.notes(old, new),
            standing=conditions.standing(new),
            now=self._clock(),
            first=old is None or old.verdict in {None, "Pending"},
        )

    def _moved(
        self, pin: PinRecord, old: NumaPinStatus | None, judgement: Judgement
    ) -> conditions.Claim | None:
        """Whether the pin's last move has helped, if it was moved."""
        known = moves.judged(pin.move, [] if old is None else old.conditions)
        if pin.move is None or known is not None:
            return moves.lasting(known)
        return moves.outcome(
            pin.move,
            judgement.verdict,
            load=self._rebalancer.load(pin.node, pin.move, now=self._now()),
            fate=self._rebalancer.fate(pin),
            now=self._now(),
        )

    def _withheld(self, key: Key, old: NumaPinStatus | None, new: NumaPinStatus) -> bool:
        """Whether a first status that says no more than "wait" can wait for the agent's word."""
        left = self._fresh.get(key, 0.0) - self._clock()
        waits = (old is None or old.verdict is None) and new.verdict == "Pending"
        if (
            left > 0
            and waits
            and not any(
                c.type == conditions.PINNED and (c.status == "True" or c.reason == "NoAgent")
                for c in new.conditions
            )
        ):
            self.mark([key], after=left)
            return True
        self._fresh.pop(key, None)
        return False

    async def _tell(self, pod: Pod) -> None:
        """Make the Event that is due; one that can't be made is not worth doing anything again."""
        note = self._restraint.due(pod.uid, now=self._clock())
        wait = self._restraint.wait(pod.uid, now=self._clock())
        if wait is not None:
            self.mark([pod.key], after=wait)
        if note is None:
            return
        body = event(pod, note, now=self._now())
        try:
            await self._writer.create_event(pod.key.namespace, body)
            self._metrics.writes.labels(what="event").inc()
        except NumapinError as error:
            self._metrics.errors.labels(where="event").inc()
            log.warning("event lost", extra={"pod": str(pod.key), "error": str(error)})

    def _look_again(self, pin: PinRecord, judgement: Judgement) -> None:
        """Come back when the agent's last word would be too old."""
        observed = _observed(pin)
        until = None if observed is None else silent_from(observed)
        if until is None or judgement.verdict == "NoSignal":
            return
        after = (until - self._now()).total_seconds()
        if after > 0:
            self.mark([pin.key], after=after + 1)

    # -- policies ---------------------------------------------------------------------

    async def _policy(self, key: PolicyKey) -> None:
        record = self._store.policies.get(key.policy)
        if record is None:
            return
        old = record.status.conditions if record.status is not None else []
        ready = conditions.settle(
            [conditions.accepted(record.spec)],
            old,
            now=self._now(),
            generation=record.generation,
        )
        status = build.counts(
            self._store.counts(key.policy), generation=record.generation, conditions=ready
        )
        if record.status == status:
            return
        body = build.policy_status(key.policy, status)
        answer = await self._call("policy", self._writer.apply_policy_status, body)
        self.mark(self._store.put("numapolicies", answer) - {key})
