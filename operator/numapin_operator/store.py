"""What the operator knows of the cluster, and what each change makes dirty.

A small in-memory copy of five kinds. Every change answers with the keys that have to be
reconciled because of it; nothing is decided here, nothing written, and no clock is read.
Objects are kept by key with their uid and resourceVersion: an event that is older than what
is known (our own write comes back by the watch) is dropped.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

from numapin_operator.build import Counts
from numapin_operator.placement.values import Spot
from numapin_operator.pods import Key, Pod, read_pod
from numapin_operator.records import (
    NodeRecord,
    PinRecord,
    PolicyKey,
    PolicyRecord,
    read_node,
    read_pin,
    read_policy,
)
from numapin_operator.tenants import Neighbour, neighbour

Kind = Literal["namespaces", "numapolicies", "numanodes", "pods", "numapins"]
KINDS: Final[tuple[Kind, ...]] = ("namespaces", "numapolicies", "numanodes", "pods", "numapins")
"""In the order in which they are listed: pins last, so that a pin whose pod is not known
is an orphan and not merely early."""

Dirt = set[Key | PolicyKey]
ObjectKey = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""
Version = tuple[ObjectKey, str, str]
"""An object's key, uid and resourceVersion."""
Ghost = tuple[ObjectKey, str]
"""The key and uid of an object that is gone."""


class Seen(NamedTuple):
    """The last that was heard of an object.

    Attributes:
        uid: metadata.uid.
        version: metadata.resourceVersion.
        serial: rises with everything heard; tells what was heard before a LIST began.
    """

    uid: str
    version: str
    serial: int


def object_key(obj: Mapping[str, Any]) -> ObjectKey:
    """Namespace and name of any object."""
    meta = obj["metadata"]
    return meta.get("namespace") or "", meta["name"]


def older(version: str, known: str) -> bool:
    """Whether a resourceVersion is older than another; False where they can't be compared.

    Comparable as integers by KEP-5504 (Kubernetes 1.35) and in practice always, with etcd.
    """
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)


def newer(version: str, known: str) -> bool:
    """Whether an object of that version may tell more than what is known.

    The same version does not: the answer to our own write comes back by the watch.
    """
    return version == "" or not (version == known or older(version, known))


def _room(pin: PinRecord | None) -> tuple[int, bool] | None:
    """What a pin takes: its socket, and whether its memory is bound there; None for nothing."""
    return None if pin is None or pin.socket is None else (pin.socket, pin.binds_memory)


class Store:
    """The copy. Not thread-safe: it lives in the event loop."""

    def __init__(self) -> None:
        self.pods: dict[Key, Pod] = {}
        self.pins: dict[Key, PinRecord] = {}
        self.nodes: dict[str, NodeRecord] = {}
        self.policies: dict[str, PolicyRecord] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._pods_of_node: defaultdict[str, set[Key]] = defaultdict(set)
        self._moving: defaultdict[str, set[Key]] = defaultdict(set)
        self._promises: dict[Key, Spot | None] = {}
        self._counts: dict[str, Counts] = {}
        self._seen: dict[Kind, dict[ObjectKey, Seen]] = {kind: {} for kind in KINDS}
        self._serial = 0

    # -- what is heard ----------------------------------------------------------------

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> Dirt:
        """Take in an object as it was listed, watched or answered.

        Returns:
            The keys that this makes dirty; none if nothing that matters changed.

        Raises:
            KeyError, ValueError, CpuListError: the object can't be read.
        """
        key = object_key(obj)
        meta = obj["metadata"]
        uid, version = meta.get("uid") or "", meta.get("resourceVersion") or ""
        known = self._seen[kind].get(key)
        if known is not None and known.uid == uid and not newer(version, known.version):
            return set()
        dirt = self._take(kind, obj)
        self._serial += 1
        self._seen[kind][key] = Seen(uid, version, self._serial)
        return dirt

    def _take(self, kind: Kind, obj: Mapping[str, Any]) -> Dirt:
        match kind:
            case "pods":
                return self._put_pod(read_pod(obj))
            case "numapins":
                return self._put_pin(read_pin(obj))
            case "numanodes":
                return self._put_node(read_node(obj))
            case "numapolicies":
                return self._put_policy(read_policy(obj))
            case "namespaces":
                return self._put_namespace(obj)

    def drop(self, kind: Kind, key: ObjectKey, uid: str | None = None) -> Dirt:
        """Forget an object that is gone, or a pod that lost its label.

        Args:
            kind: its kind.
            key: namespace and name.
            uid: if given, only the object with that uid: its name may be in use again.
        """
        known = self._seen[kind].get(key)
        if known is None or (uid is not None and known.uid != uid):
            return set()
        del self._seen[kind][key]
        match kind:
            case "pods":
                return self._drop_pod(Key(*key))
            case "numapins":
                return self._drop_pin(Key(*key))
            case "numanodes":
                self.nodes.pop(key[1], None)
                return {*self._pods_of_node[key[1]]}
            case "numapolicies":
                self.policies.pop(key[1], None)
                return {*self.pods}
            case "namespaces":
                self.namespaces.pop(key[1], None)
                return set()

    def _put_pod(self, pod: Pod) -> Dirt:
        if not pod.opted_in:
            return self._drop_pod(pod.key)
        old = self.pods.get(pod.key)
        self.pods[pod.key] = pod
        if old is not None and replace(old, version=pod.version) == pod:
            return set()
        dirt: Dirt = {pod.key}
        if old is not None and old.node and old.node != pod.node:
            self._pods_of_node[old.node].discard(pod.key)
            dirt |= self.waiting(old.node)
        if pod.node:
            self._pods_of_node[pod.node].add(pod.key)
            if old is not None and old.requests != pod.requests:
                # Where it is there may be too little now, and another than it may fit elsewhere.
                dirt |= self._pods_of_node[pod.node]
            elif old is not None and old.finished != pod.finished:
                dirt |= self.waiting(pod.node)
        return dirt

    def _drop_pod(self, key: Key) -> Dirt:
        old = self.pods.pop(key, None)
        if old is None:
            return {key} if key in self.pins else set()
        dirt: Dirt = {key}
        if old.node:
            self._pods_of_node[old.node].discard(key)
            dirt |= self.waiting(old.node)
        return dirt

    def _put_pin(self, pin: PinRecord) -> Dirt:
        old = self.pins.get(pin.key)
        self.pins[pin.key] = pin
        if old is not None and old.on_the_move:
            self._moving[old.node].discard(pin.key)
        if pin.on_the_move:
            self._moving[pin.node].add(pin.key)
        if old is not None and replace(old, version=pin.version) == pin:
            return set()
        dirt = self._policies_of(old, pin) | {pin.key}
        # Room that is taken is news to those that wait, too: they are told how much is free.
        if _room(old) != _room(pin):
            dirt |= self.waiting(pin.node)
        return dirt

    def _drop_pin(self, key: Key) -> Dirt:
        old = self.pins.pop(key, None)
        if old is None:
            return set()
        self._moving[old.node].discard(key)
        return self._policies_of(old, None) | self.waiting(old.node) | {key}

    def _policies_of(self, old: PinRecord | None, new: PinRecord | None) -> Dirt:
        """Count a pin's step from one state to the next; the policies whose counts change."""
        before = None if old is None else (old.policy, old.pinned, old.verdict == "Verified")
        after = None if new is None else (new.policy, new.pinned, new.verdict == "Verified")
        if before == after:
            return set()
        names = set()
        for state, sign in ((before, -1), (after, 1)):
            if state is None:
                continue
            name, pinned, verified = state
            had = self._counts.get(name, Counts())
            self._counts[name] = Counts(
                had.matched + sign, had.pinned + sign * pinned, had.verified + sign * verified
            )
            names.add(name)
        return {PolicyKey(name) for name in names if name in self.policies}

    def _put_node(self, node: NodeRecord) -> Dirt:
        old = self.nodes.get(node.name)
        self.nodes[node.name] = node
        if old == node:
            return set()
        same_machine = (
            old is not None
            and old.plan is not None
            and node.plan is not None
            and old.eyes == node.eyes
            and replace(
                old.plan,
                available=node.plan.available,
                busy=node.plan.busy,
                hugepages_free=node.plan.hugepages_free,
                devices=node.plan.devices,
            )
            == node.plan
        )
        if not same_machine or old is None:
            return {*self._pods_of_node[node.name]}
        return self.waiting(node.name) | self._with_other_devices(old, node)

    def _with_other_devices(self, old: NodeRecord, new: NodeRecord) -> Dirt:
        """Pods of which something else is said than before: Require may send them elsewhere."""
        before, after = ((n.plan.devices if n.plan is not None else None) or {} for n in (old, new))
        names = {k[:2] for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
        return {key for key in self._pods_of_node[new.name] if key in names}

    def _put_policy(self, policy: PolicyRecord) -> Dirt:
        old = self.policies.get(policy.name)
        self.policies[policy.name] = policy
        if old is not None and old.spec == policy.spec:
            return set() if old == policy else {PolicyKey(policy.name)}
        return {PolicyKey(policy.name), *self.pods}

    def _put_namespace(self, obj: Mapping[str, Any]) -> Dirt:
        name, labels = obj["metadata"]["name"], dict(obj["metadata"].get("labels") or {})
        old = self.namespaces.get(name)
        self.namespaces[name] = labels
        if old == labels:
            return set()
        return {key for key in self.pods if key.namespace == name}

    # -- what is asked ----------------------------------------------------------------

    def counts(self, policy: str) -> Counts:
        """Pins of a policy: kept up to date, for there may be 100,000 to count each second."""
        return self._counts.get(policy, Counts())

    def waiting(self, node: str) -> Dirt:
        """The pods of a node that did not get the room they want."""
        return {
            key
            for key in self._pods_of_node[node]
            if (pin := self.pins.get(key)) is not None and pin.waiting
        }

    def moving(self, node: str | None = None) -> list[PinRecord]:
        """Pins that are on the move, of a node or of all: few, and asked for often."""
        nodes = self._moving.values() if node is None else (self._moving.get(node, set()),)
        return [self.pins[key] for keys in nodes for key in keys]

    def pods_of(self, node: str) -> list[Pod]:
        """The pods of a node, oldest first."""
        return sorted(
            (self.pods[key] for key in self._pods_of_node.get(node, ())),
            key=lambda p: (p.created, p.key),
        )

    def promise(self, key: Key, spot: Spot | None) -> None:
        """Take room for a pin that is being written, before the API has it."""
        self._promises[key] = spot

    def fulfil(self, key: Key) -> None:
        """The write is over, well or badly: what the API has counts again."""
        self._promises.pop(key, None)

    def neighbours(self, node: str, but: Key | None = None) -> tuple[Neighbour, ...]:
        """The pins that take room on a node, without that of one pod."""
        record = self.nodes.get(node)
        topology = None if record is None or record.plan is None else record.plan.topology
        found: list[Neighbour] = []
        for key in self._pods_of_node[node]:
            pod, pin = self.pods[key], self.pins.get(key)
            if key == but or pod.finished:
                continue
            spot: Spot | None = None
            if key in self._promises:
                spot = self._promises[key]
            elif pin is not None and pin.enforced and pin.pod_uid == pod.uid:
                spot = pin.spot(topology)
            if spot is not None:
                labels = self.namespaces.get(key.namespace, {})
                found.append(neighbour(spot, pod, pin, labels))
        return tuple(found)

    def uid(self, kind: Kind, key: ObjectKey) -> str | None:
        """The uid of an object; None if it is not known."""
        seen = self._seen[kind].get(key)
        return None if seen is None else seen.uid

    def everything(self) -> list[Key | PolicyKey]:
        """All that can be reconciled, in order."""
        return self.in_order({*self.pods, *self.pins, *map(PolicyKey, self.policies)})

    def in_order(self, keys: Iterable[Key | PolicyKey]) -> list[Key | PolicyKey]:
        """Keys in the order of work: pods by age, then orphan pins, then policies.

        The order of a set hangs on the process' seed for hashes, and who is looked at first gets
        the room that is free.

        Args:
            keys: in any order.
        """

        def rank(key: Key | PolicyKey) -> tuple[int, str, tuple[str, ...]]:
            if isinstance(key, PolicyKey):
                return 2, "", key
            pod = self.pods.get(key)
            return (1, "", key) if pod is None else (0, pod.created, key)

        return sorted(keys, key=rank)

    # -- against what a LIST says -----------------------------------------------------

    def holds(self, kind: Kind) -> bool:
        """Whether there is any object of that kind."""
        return bool(self._seen[kind])

    @property
    def serial(self) -> int:
        """Rises with everything heard."""
        return self._serial

    def known(self, kind: Kind) -> dict[ObjectKey, str]:
        """The uid of everything known of a kind, by key; a copy."""
        return {key: seen.uid for key, seen in self._seen[kind].items()}

    def ghosts(self, kind: Kind, unlisted: Mapping[ObjectKey, str], *, since: int) -> list[Ghost]:
        """Of objects that a LIST does not have, those known since before it began.

        kopf lists anew after 410 Gone and then says nothing of what was deleted meanwhile.

        Args:
            kind: the kind that was listed.
            unlisted: uid by key, as ``known`` said when the LIST began.
            since: ``serial`` when the LIST began.
        """
        now = self._seen[kind]
        return [
            (key, uid)
            for key, uid in unlisted.items()
            if (seen := now.get(key)) is not None and seen.uid == uid and seen.serial <= since
        ]

    def missed(self, kind: Kind, listed: Iterable[Version]) -> list[Version]:
        """Objects of a LIST that are not known, or only in an older version."""
        now = self._seen[kind]
        return [
            (key, uid, version)
            for key, uid, version in listed
            if (seen := now.get(key)) is None or seen.uid != uid or older(seen.version, version)
        ]
