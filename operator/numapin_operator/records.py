"""What the operator keeps of each object: small frozen values, read once.

Pins are kept as packed JSON beside the few fields that planning needs, because 100,000
validated models would take most of a gigabyte. Words that many objects share are interned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Any, Final, NamedTuple

from numapin_api.cpulist import CpuSet
from numapin_api.node import NumaNode
from numapin_api.pin import Move, NumaPin, NumaPinSpec, NumaPinStatus
from numapin_api.policy import NumaPolicy, NumaPolicySpec, NumaPolicyStatus
from numapin_api.topology import Topology
from numapin_operator.build import RELEASED_ANNOTATION
from numapin_operator.checks import Eyes, eyes
from numapin_operator.moves import in_vain, judged, made_way
from numapin_operator.packed import pack, unpack
from numapin_operator.placement.read import read_machine
from numapin_operator.placement.values import Node, Spot
from numapin_operator.pods import Key
from numapin_operator.select import INVALID_POLICY

_RECENT: Final = 64
"""One look at a pin reads its spec and status several times."""


@lru_cache(_RECENT)
def _spec(packed: bytes) -> NumaPinSpec:
    return NumaPinSpec.model_validate_json(unpack(packed))


@lru_cache(_RECENT)
def _status(packed: bytes) -> NumaPinStatus:
    return NumaPinStatus.model_validate_json(unpack(packed))


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node as something to look at for moves; no tuple, so that it equals no ``PolicyKey``."""

    node: str


class PolicyKey(NamedTuple):
    """A NumaPolicy as something to reconcile; a pod and its pin are a ``Key``."""

    policy: str


@dataclass(frozen=True, slots=True)
class PinRecord:
    """A NumaPin as it stands in the API.

    Attributes:
        key: namespace and name.
        uid: its own uid.
        version: metadata.resourceVersion.
        generation: metadata.generation.
        pod_uid: spec.podUID.
        owners: uids of its owners.
        node: spec.nodeName.
        policy: spec.policy.
        socket: spec.socket.
        also: further sockets of a pod that one doesn't hold.
        cpus: spec.cpus, empty when absent.
        binds_memory: spec.mems is there.
        lenient: and memory is Preferred.
        numa_node_only: granularity NumaNode.
        enforced: mode Enforce: it takes room.
        refused: the agent found no room for what the pod really uses.
        waiting: it wants room that it did not get.
        no_room: it has no socket, because none has room.
        pinned: condition Pinned is True.
        verdict: status.verdict, empty when absent.
        released: value of the release annotation.
        move: its last move.
        on_the_move: it was moved, and whether that has helped is not known yet.
        made_way: it is where it was moved; others are to be moved until that can be known.
        in_vain: it was moved, and that has not helped.
        packed_spec: the spec.
        packed_status: the status; None before anybody wrote one.
    """

    key: Key
    uid: str
    version: str
    generation: int
    pod_uid: str
    owners: tuple[str, ...]
    node: str
    policy: str
    socket: int | None
    also: tuple[int, ...]
    cpus: str
    binds_memory: bool
    lenient: bool
    numa_node_only: bool
    enforced: bool
    refused: bool
    waiting: bool
    no_room: bool
    pinned: bool
    verdict: str
    released: str | None
    move: Move | None
    on_the_move: bool
    made_way: bool
    in_vain: bool
    packed_spec: bytes
    packed_status: bytes | None

    def spec(self) -> NumaPinSpec:
        """The spec as a model."""
        return _spec(self.packed_spec)

    def status(self) -> NumaPinStatus | None:
        """The status as a model; None before anybody wrote one."""
        return None if self.packed_status is None else _status(self.packed_status)

    def spot(self, topology: Topology | None) -> Spot | None:
        """Where it is, whether or not it is enforced; None without a socket."""
        if self.socket is None:
            return None
        numa_node: int | None = None
        if self.numa_node_only and topology is not None:
            # CPUs that went offline since don't make it a pin of the whole socket.
            online = {c for n in topology.nodes for c in n.cpus}
            cpus = CpuSet(c for c in CpuSet.parse(self.cpus) if c in online)
            numa_node = next(
                (n.id for n in topology.nodes if n.socket == self.socket and cpus <= n.cpus), None
            )
        return Spot(
            self.socket,
            numa_node,
            memory=self.binds_memory,
            also=self.also,
            lenient=self.lenient,
        )


def read_pin(obj: Mapping[str, Any]) -> PinRecord:
    """Read a NumaPin as the API server sends it.

    Raises:
        pydantic.ValidationError: it is none.
    """
    pin = NumaPin.read(obj)
    spec, status, meta = pin.spec, pin.status, pin.metadata
    observed = None if status is None else status.observed
    refused = (
        observed is not None
        and observed.generation == meta.generation
        and observed.phase == "Refused"
        and observed.problem is not None
        and observed.problem.reason == "NoRoom"
    )
    return PinRecord(
        key=Key(intern(meta.namespace or ""), meta.name),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        generation=meta.generation or 0,
        pod_uid=spec.pod_uid,
        owners=tuple(
            spec.pod_uid if o.uid == spec.pod_uid else o.uid for o in meta.owner_references or ()
        ),
        node=intern(spec.node_name),
        policy=intern(spec.policy),
        socket=spec.socket,
        also=tuple(s for s in spec.sockets or () if s != spec.socket),
        cpus=intern(spec.cpus or ""),
        binds_memory=spec.mems is not None,
        lenient=spec.mems is not None and spec.memory == "Preferred",
        numa_node_only=spec.granularity == "NumaNode",
        enforced=spec.mode == "Enforce",
        refused=refused,
        # Room is not what a pod lacks whose annotations are not understood. Each neighbour that
        # goes has all that wait looked at, so these must not be made by the hundred.
        waiting=spec.policy != INVALID_POLICY
        and (refused or spec.socket is None or (spec.mems is None and spec.memory == "Strict")),
        no_room=spec.socket is None
        and status is not None
        and any(c.type == "Pinned" and c.reason == "NoRoom" for c in status.conditions),
        pinned=status is not None
        and any(c.type == "Pinned" and c.status == "True" for c in status.conditions),
        verdict=(status.verdict if status is not None else None) or "",
        move=spec.move,
        on_the_move=spec.move is not None
        and judged(spec.move, [] if status is None else status.conditions) is None,
        made_way=status is not None and made_way(spec.move, status.conditions),
        in_vain=status is not None and in_vain(spec.move, status.conditions),
        released=(meta.annotations or {}).get(RELEASED_ANNOTATION),
        packed_spec=pack(spec.model_dump_json(by_alias=True, exclude_none=True)),
        packed_status=None
        if status is None
        else pack(status.model_dump_json(by_alias=True, exclude_none=True)),
    )


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A NumaNode.

    Attributes:
        name: of the node.
        plan: for the planner; None while the agent has not reported a topology.
        eyes: for the verdicts.
    """

    name: str
    plan: Node | None
    eyes: Eyes


def read_node(obj: Mapping[str, Any]) -> NodeRecord:
    """Read a NumaNode as the API server sends it.

    Raises:
        pydantic.ValidationError: it is none.
        CpuListError: a cpulist in it is malformed.
    """
    node = NumaNode.read(obj)
    return NodeRecord(node.metadata.name, read_machine(node), eyes(node.status))


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A NumaPolicy."""

    name: str
    generation: int | None
    spec: NumaPolicySpec
    status: NumaPolicyStatus | None


def read_policy(obj: Mapping[str, Any]) -> PolicyRecord:
    """Read a NumaPolicy as the API server sends it.

    Raises:
        pydantic.ValidationError: it is none.
    """
    policy = NumaPolicy.read(obj)
    return PolicyRecord(
        policy.metadata.name, policy.metadata.generation, policy.spec, policy.status
    )
