"""Looks at one node and says which pod to move there, if any: one at a time.

Between the store and the pure search: who is pinned where and uses what, which sockets have
been too busy for long enough, who waits. It writes nothing; the reconcile loop makes the move
by deciding the pod anew.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from numapin_api.base import Condition
from numapin_api.pin import Move
from numapin_api.policy import NumaPolicySpec, Rebalance, percent, seconds
from numapin_operator import moves
from numapin_operator.placement.crowd import asked
from numapin_operator.placement.rebalance import (
    Bounds,
    Busy,
    Proposal,
    Usage,
    rebalance,
    too_busy,
)
from numapin_operator.placement.room import WHOLE, Room, sockets
from numapin_operator.placement.state import Tenant, begin
from numapin_operator.placement.values import Node
from numapin_operator.pods import Key
from numapin_operator.records import PinRecord
from numapin_operator.select import Choice, select
from numapin_operator.store import Store
from numapin_operator.tenants import tenant

LOOK_SECONDS: Final = 15.0
"""Between two looks at a node whose pods may be moved."""
FRUITLESS_SECONDS: Final = 300.0
"""Until the same pods in the same places are searched again: only what each uses has changed. What
the node uses is published seldom, so that a change of it is worth a search at once."""


@dataclass(frozen=True, slots=True)
class Search:
    """One question to the pure search; takes up to a second on a node of many pods."""

    node: Node
    pinned: tuple[Tenant, ...]
    usage: Usage
    bounds: Bounds


def search(asked: Search, now: datetime) -> tuple[Key, Move] | None:
    """The next move, to be called beside the event loop: it needs nothing but its arguments.

    Args:
        asked: of ``Rebalancer.look``.
        now: when it is made.

    Returns:
        The pod and where it is to go; None when nothing is worth moving.
    """
    found = rebalance(asked.node, asked.pinned, asked.usage, asked.bounds)
    if not found:
        return None
    namespace, name = found[0].name.split("/", 1)
    return Key(namespace, name), _move(found[0], now)


class Rebalancer:
    """Finds moves.

    Args:
        store: what is known.
        default: the policy of pods that match none.
    """

    def __init__(self, store: Store, default: NumaPolicySpec) -> None:
        self._store, self._default = store, default
        self._patience: moves.Patience[Busy] = moves.Patience()
        self._fruitless: dict[str, tuple[int, float]] = {}

    @property
    def wanted(self) -> bool:
        """Whether any policy moves pods: else nothing needs to be looked at."""
        return any(spec.placement.rebalance.mode == "Auto" for spec in self._specs())

    def _specs(self) -> list[NumaPolicySpec]:
        return [self._default, *(p.spec for p in self._store.policies.values())]

    def _settings(self) -> dict[str, Rebalance]:
        found = {name: p.spec.placement.rebalance for name, p in self._store.policies.items()}
        return found | {"(default)": self._default.placement.rebalance}

    def _tenants(self, node: Node, *, now: datetime) -> tuple[list[Tenant], list[Tenant]]:
        """The pinned pods of a node, and those that wait for room there, by age."""
        store = self._store
        policies = {name: p.spec for name, p in store.policies.items()}
        pinned: list[Tenant] = []
        waiting: list[Tenant] = []
        for pod in store.pods_of(node.name):
            pin = store.pins.get(pod.key)
            if pin is None or pin.pod_uid != pod.uid or pod.finished:
                continue
            choice = select(
                pod,
                namespace_labels=store.namespaces.get(pod.key.namespace, {}),
                policies=policies,
                default=self._default,
                topology=node.topology,
            )
            if not isinstance(choice, Choice) or choice.mode != "Enforce":
                continue
            status = pin.status()
            observed = None if status is None else status.observed
            conditions = [] if status is None else status.conditions
            spot = pin.spot(node.topology)
            if spot is not None and pin.enforced:
                past = _record(pin, conditions)
                may = moves.movable(past, choice.rebalance, now=now)
                pinned.append(tenant(pod, node, choice, spot=spot, observed=observed, movable=may))
            elif pin.no_room:
                waiting.append(tenant(pod, node, choice, spot=None, observed=observed))
        return pinned, waiting

    def under_way(self, node: str | None = None) -> Counter[str]:
        """Pods on the move by policy, on one node or on all.

        Not one that stands in its new place and waits only for the moves that are to follow.
        """
        return Counter(pin.policy for pin in self._store.moving(node) if not pin.made_way)

    def affordable(self, pod: Key) -> bool:
        """Whether the policy of a pinned pod lets one more pod be on the move."""
        pin = self._store.pins.get(pod)
        left = moves.budget(self._settings(), self.under_way())
        return pin is not None and left.get(pin.policy, 1) > 0

    def _quiet(self, node: Node) -> bool:
        """Whether nothing can be worth moving there, told without looking at each pod's policy.

        Most nodes are, most of the time; reading the status of 100,000 pins every quarter of a
        minute would be all that the operator does.
        """
        least = min(
            percent(spec.placement.rebalance.threshold)
            for spec in self._specs()
            if spec.placement.rebalance.mode == "Auto"
        )
        asked: Counter[int] = Counter()
        wanted: Counter[int] = Counter()
        for pod in self._store.pods_of(node.name):
            pin = self._store.pins.get(pod.key)
            if pin is None:
                continue
            if pin.no_room:
                return False
            if pin.socket is not None and pin.enforced:
                asked[pin.socket] += pod.requests.cpu_millis
                wanted[pin.socket] += pod.requests.memory_bytes
        for place in sockets(Room(node, ())):
            busy, there = place.room.busy(place.mask), place.room.available(place.mems)
            cpus, memory = place.cpu_capacity, place.memory_total
            used = asked[place.socket] if busy is None else busy
            held = wanted[place.socket] if there is None else memory - there
            if used * 100 >= least * cpus or (memory and held * 100 >= least * memory):
                return False
            if asked[place.socket] > cpus or wanted[place.socket] > memory:
                return False
        return True

    def look(self, name: str, *, now: datetime, clock: float) -> Search | None:
        """Whether a move on a node is to be searched for now, and among what.

        Args:
            name: of the node.
            now: wall clock, with time zone.
            clock: monotonic seconds.

        Returns:
            What ``search`` takes; None when nothing can be worth moving, something is on the
            move, or the same search has found nothing lately.
        """
        record = self._store.nodes.get(name)
        node = None if record is None else record.plan
        if node is None or node.taken_by or not self.wanted:
            return None
        if self._quiet(node):
            self._patience.see(name, {}, now=clock)
            self._fruitless.pop(name, None)
            return None
        pinned, waiting = self._tenants(node, now=now)
        hot = self._patience.see(name, _busy(node, pinned), now=clock)
        if not (hot or waiting) or self.under_way(name):
            return None
        asked = hash((
            hot,
            tuple(node.busy.items()),
            tuple(node.available.items()),
            tuple(t.name for t in waiting),
            tuple((t.name, t.pod.current, t.movable) for t in pinned),
        ))  # fmt: skip
        before = self._fruitless.get(name)
        if before is not None and before[0] == asked and clock - before[1] < FRUITLESS_SECONDS:
            return None
        # When a move is made, the places are others, and it is another question.
        self._fruitless[name] = asked, clock
        left = moves.budget(self._settings(), self.under_way())
        usage = Usage(hot=hot, waiting=tuple(waiting))
        return Search(node, tuple(pinned), usage, Bounds(budget=left))

    def ask_again(self, name: str) -> None:
        """What was found on a node could not be made use of: the next look may search anew."""
        self._fruitless.pop(name, None)

    def fate(self, pin: PinRecord) -> moves.Fate:
        """What has become of the pod that a pin was moved to make room for."""
        who = None if pin.move is None else pin.move.room_for
        pod = None if who is None else self._store.pods.get(Key(*who.split("/", 1)))
        if pod is None or pod.finished or pod.terminating or pod.node != pin.node:
            return "Gone"
        its = self._store.pins.get(pod.key)
        if its is None or its.pod_uid != pod.uid:
            return "Waits"
        if its.socket is not None and its.pinned and not its.refused:
            return "Placed"
        return "Waits" if its.enforced and (its.socket is not None or its.waiting) else "Gone"

    def load(self, name: str, left: Move, *, now: datetime) -> int | None:
        """Percent in use of the busier resource of the socket that a move led away from.

        What is asked for where that was too much; None where the node says nothing.
        """
        record = self._store.nodes.get(name)
        node, socket = None if record is None else record.plan, left.from_socket
        if node is None:
            return None
        if left.crowded:
            return asked(node, self._store.neighbours(name), socket)
        pinned, _ = self._tenants(node, now=now)
        found = begin(node, pinned).loads.get(socket)
        return None if found is None else 100 * found // WHOLE


def _record(pin: PinRecord, conditions: list[Condition]) -> moves.Record:
    judgement = moves.judged(pin.move, conditions)
    return moves.Record(pin.pinned, pin.move, None if judgement is None else judgement.status)


def _busy(node: Node, pinned: list[Tenant]) -> Mapping[Busy, float]:
    """The sockets that are too busy for a policy, and how long they must have been for that."""
    after = {t.choice.policy: float(seconds(t.choice.rebalance.after)) for t in pinned}
    return {busy: after[busy[1]] for busy in too_busy(node, pinned)}


def _move(found: Proposal, now: datetime) -> Move:
    return Move(
        from_socket=found.from_socket,
        to_socket=found.to_socket,
        time=now.replace(microsecond=0),
        reason=found.reason,
        message=found.message[:1024],
        gain=round(found.gain),
        load=round(found.load),
        bytes_to_move=found.bytes_to_move,
        room_for=found.room_for,
        further=None if found.room_for is None else found.further,
    )
