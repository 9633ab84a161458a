"""The objects that the operator applies: NumaPins, their status, NumaPolicy status.

Exactly the fields that numapin-operator owns; what the agent owns (status.observed) never
appears here, so a server-side apply can't take it away.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from numapin_api.base import Condition
from numapin_api.names import API_VERSION, GROUP
from numapin_api.pin import Move, NumaPin, NumaPinSpec, NumaPinStatus
from numapin_api.policy import NumaPolicy, NumaPolicyStatus
from numapin_operator.placement.values import Placement
from numapin_operator.pods import Pod
from numapin_operator.select import INVALID_POLICY, NEVER_MOVED, Choice

RELEASED_ANNOTATION = f"{GROUP}/released"
"""On a NumaPin that onFailure Unpin released: what it was released from. As long as the
policy and the pod ask for the same again, the pin stays released."""


def fingerprint(choice: Choice, node: str) -> str:
    """A short name for everything that a release depends on."""
    # When it may be moved says nothing of whether its pin works.
    asked = replace(choice, rebalance=NEVER_MOVED)
    return sha256(f"{node} {asked!r}".encode()).hexdigest()[:16]


def spec(
    pod: Pod, choice: Choice | None, placement: Placement | None, *, move: Move | None = None
) -> NumaPinSpec:
    """The spec of a pod's pin.

    Args:
        pod: a scheduled pod.
        choice: its policy; None when its annotations are not understood.
        placement: where it goes; None when it is not to be pinned.
        move: its last move; forgotten once the pod is elsewhere.

    Raises:
        ValueError: the pod is not scheduled.
    """
    if pod.node is None:
        raise ValueError(f"pod {pod.key} is not scheduled")
    if choice is None:
        return NumaPinSpec(pod_uid=pod.uid, node_name=pod.node, policy=INVALID_POLICY)
    return NumaPinSpec(
        pod_uid=pod.uid,
        node_name=pod.node,
        policy=choice.policy,
        mode=choice.mode,
        granularity=choice.granularity,
        socket=None if placement is None else placement.socket,
        sockets=None
        if placement is None or not placement.also
        else [placement.socket, *placement.also],
        cpus=None if placement is None else str(placement.cpus),
        mems=None if placement is None or placement.mems is None else str(placement.mems),
        memory=choice.memory,
        memory_headroom=f"{choice.headroom_percent}%",
        verification=choice.verification,
        move=None
        if move is None or placement is None or placement.socket != move.to_socket
        else move,
    )


def owner(pod: Pod) -> dict[str, Any]:
    """The ownerReference to a pod.

    Without blockOwnerDeletion, which would need the right to update pods/finalizers.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod.key.name,
        "uid": pod.uid,
        "controller": True,
    }


def pin(pod: Pod, wanted: NumaPinSpec, released: str | None = None) -> dict[str, Any]:
    """The NumaPin of a pod, as applied."""
    metadata: dict[str, Any] = {
        "name": pod.key.name,
        "namespace": pod.key.namespace,
        "ownerReferences": [owner(pod)],
    }
    if released is not None:
        metadata["annotations"] = {RELEASED_ANNOTATION: released}
    return {
        "apiVersion": API_VERSION,
        "kind": NumaPin.KIND,
        "metadata": metadata,
        "spec": wanted.wire(),
    }


def pin_status(namespace: str, name: str, status: NumaPinStatus) -> dict[str, Any]:
    """The operator's part of a NumaPin's status, as applied."""
    wire = status.wire()
    wire.pop("observed", None)
    return {
        "apiVersion": API_VERSION,
        "kind": NumaPin.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "status": wire,
    }


def policy_status(name: str, status: NumaPolicyStatus) -> dict[str, Any]:
    """A NumaPolicy's status, as applied."""
    return {
        "apiVersion": API_VERSION,
        "kind": NumaPolicy.KIND,
        "metadata": {"name": name},
        "status": status.wire(),
    }


class Counts(NamedTuple):
    """Pins of one policy.

    Attributes:
        matched: all of them.
        pinned: those whose condition Pinned is True.
        verified: those whose verdict is Verified.
    """

    matched: int = 0
    pinned: int = 0
    verified: int = 0


def counts(
    found: Counts, *, generation: int | None, conditions: Sequence[Condition]
) -> NumaPolicyStatus:
    """How many pods a policy applies to, and how many of them are pinned and verified."""
    return NumaPolicyStatus(
        observed_generation=generation,
        matched=found.matched,
        pinned=found.pinned,
        verified=found.verified,
        conditions=list(conditions),
    )
