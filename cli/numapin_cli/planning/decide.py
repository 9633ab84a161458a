"""Pods decided in order by the operator's own step, with nothing written anywhere. Pure.

The same selection, checks and planner as in the operator, so that the answer is the one that
it would give. Two differences, both because nothing runs here: a running pod without a pin is
planned by what it asks for instead of waiting for an agent's word of its memory, and a pod
that waits for word of its devices is planned as when that wait is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from numapin_api.errors import ManifestError
from numapin_api.policy import NumaPolicySpec
from numapin_cli.planning.manifests import Objects
from numapin_operator import step
from numapin_operator.placement.plan import Option, options
from numapin_operator.placement.rebalance import Proposal
from numapin_operator.placement.series import settle
from numapin_operator.placement.state import Tenant
from numapin_operator.pods import Key, Pod
from numapin_operator.records import PinRecord
from numapin_operator.select import Choice
from numapin_operator.store import Kind, Store
from numapin_operator.tenants import tenant

Json = Mapping[str, Any]
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Of moves that are told of and not made."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A pod and what was decided.

    Attributes:
        pod: the pod.
        decision: as the operator would apply it.
        options: what was weighed; empty where it did not come to that.
    """

    pod: Pod
    decision: step.Decision
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """All decisions, in the pods' order.

    Attributes:
        unscheduled: pods with the label that have no node yet.
        unlabelled: how many pods don't ask to be pinned.
        idle: NumaPins that take no room, as there is no labelled pod that they are of.
    """

    decided: list[Decided] = field(default_factory=list)
    unscheduled: list[Pod] = field(default_factory=list)
    moves: list[Proposal] = field(default_factory=list)
    unlabelled: int = 0
    idle: list[Key] = field(default_factory=list)


class Planner:
    """Decides pods one after the other, each with the ones before in their places.

    Args:
        objects: what is known.
        default: the policy of pods that match none.

    Raises:
        ManifestError: an object can't be read.
    """

    def __init__(self, objects: Objects, default: NumaPolicySpec) -> None:
        self._store, self._objects, self._default = Store(), objects, default
        self._order: dict[Key, None] = {}
        """As they were read first; a set has no order."""
        pin_uids = {
            (p["metadata"]["namespace"], p["metadata"]["name"]): p["spec"]["podUID"]
            for p in objects.pins
        }
        for namespace in objects.namespaces:
            self._put("namespaces", namespace)
        for policy in objects.policies:
            self._put("numapolicies", policy)
        for node in objects.nodes:
            self._put("numanodes", node)
        for pod in objects.pods:
            meta = pod["metadata"]
            key = Key(meta["namespace"], meta["name"])
            uid = meta.get("uid") or pin_uids.get(key) or str(uuid5(NAMESPACE_OID, str(key)))
            self._put("pods", {**pod, "metadata": {**meta, "uid": uid}})
            self._order.setdefault(key)
        self._pods_read = len(self._order)
        for pin in objects.pins:
            self._put("numapins", pin)

    def _put(self, kind: Kind, obj: Json) -> None:
        try:
            self._store.put(kind, obj)
        except (KeyError, TypeError, AttributeError, ValueError) as e:
            said = f"{e} is missing" if isinstance(e, KeyError) else str(e)
            raise ManifestError(f"{self._objects.where(obj)}: {said}") from e

    def _situation(self, pod: Pod) -> step.Situation:
        store = self._store
        pin = store.pins.get(pod.key)
        pin = pin if pin is not None and pin.pod_uid == pod.uid else None
        return step.Situation(
            # Of a pod that runs without a pin nobody has said yet where its memory is.
            pod=pod if pin is not None else replace(pod, running=False),
            pin=pin,
            node=store.nodes.get(pod.node or ""),
            neighbours=store.neighbours(pod.node or "", pod.key),
            policies={name: p.spec for name, p in store.policies.items()},
            namespace_labels=store.namespaces.get(pod.key.namespace, {}),
            default=self._default,
            now=_NO_TIME,
            overdue=True,
        )

    def answer(self, *, explain: bool = False, moves: bool = False) -> Answer:
        """Decide every pod.

        Args:
            explain: keep what was weighed.
            moves: also search for moves that are worth making.
        """
        decided: list[Decided] = []
        unscheduled: list[Pod] = []
        for key in self._order:
            pod = self._store.pods.get(key)
            if pod is None or pod.finished:
                continue
            if pod.node is None:
                unscheduled.append(pod)
                continue
            situation = self._situation(pod)
            decision = step.decide(situation)
            self._store.promise(key, decision.spot)
            decided.append(Decided(pod, decision, _options(situation) if explain else ()))
        return Answer(
            decided=decided,
            unscheduled=unscheduled,
            moves=self._moves(decided) if moves else [],
            unlabelled=self._pods_read - len(self._store.pods),
            idle=[key for key, pin in self._store.pins.items() if not self._has_pod(pin)],
        )

    def _has_pod(self, pin: PinRecord) -> bool:
        pod = self._store.pods.get(pin.key)
        return pod is not None and pod.uid == pin.pod_uid

    def _moves(self, decided: Sequence[Decided]) -> list[Proposal]:
        by_node: dict[str, list[Decided]] = {}
        for one in decided:
            by_node.setdefault(one.pod.node or "", []).append(one)
        return [move for name in by_node for move in self._moves_of(name, by_node[name])]

    def _moves_of(self, name: str, decided: Sequence[Decided]) -> list[Proposal]:
        record = self._store.nodes.get(name)
        node = None if record is None else record.plan
        if node is None:
            return []
        pinned: list[Tenant] = []
        waiting: list[Tenant] = []
        for one in decided:
            situation = self._situation(one.pod)
            choice, pin = step.chosen(situation), situation.pin
            if not isinstance(choice, Choice) or choice.mode != "Enforce":
                continue
            status = None if pin is None else pin.status()
            observed = None if status is None else status.observed
            refusal = one.decision.refusal
            if one.decision.spot is None and (refusal is None or refusal.reason != "NoRoom"):
                continue
            found = tenant(one.pod, node, choice, spot=one.decision.spot, observed=observed)
            (waiting if one.decision.spot is None else pinned).append(found)
        return list(settle(node, pinned, waiting, forced=True).moves)


def _options(situation: step.Situation) -> tuple[Option, ...]:
    asked = step.question(situation)
    if isinstance(asked, step.Decision):
        return ()
    return options(asked.node, asked.neighbours, asked.candidate, asked.choice)
