"""What must be known, or out of the way, before a pod is planned. Pure.

Another tool that pins on the node; devices that the kubelet has not given yet; memory of a
running pod that the agent has not seen yet. Each wait has an end that does not hang on a
device plugin or another tool: nothing here can hold a pod for ever.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from numapin_api.cpulist import NodeSet
from numapin_api.pin import Verdict
from numapin_operator.placement.values import NOWHERE, Node
from numapin_operator.pods import Pod
from numapin_operator.select import Choice
from numapin_operator.text import listed

DEVICES_WAIT: Final = timedelta(seconds=30)
"""From its binding to a node until the kubelet has long admitted a pod and the agent has told
of its devices; a pod waits no longer for that."""
AWAITING_DEVICES: Final = "AwaitingDevices"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a pod is not planned now: the reason and message of its condition, and the verdict."""

    reason: str
    message: str
    verdict: Verdict


def taken(node: Node, pod: Pod) -> Obstacle | None:
    """Another tool pins this pod: numapin stands down.

    Args:
        node: where it runs.
        pod: the pod.
    """
    if node.taken_by:
        return Obstacle(
            "Conflict",
            f"node {node.name} is left to another tool that pins there: {listed(node.taken_by)}",
            "Conflict",
        )
    if pod.exclusive and (node.exclusive or node.static_cpu_manager):
        # Before any is given, too: this pod may be the first to get some, on whatever socket.
        given = f"; {node.exclusive} are given so" if node.exclusive else ""
        return Obstacle(
            "Conflict",
            f"the kubelet of node {node.name} gives this pod CPUs of its own (CPU manager policy "
            f"static; a Guaranteed pod that asks for whole CPUs{given})",
            "Conflict",
        )
    return None


def devices_wait(pod: Pod, *, now: datetime) -> float:
    """Seconds for which a pod may still wait for word of its devices; 0 when it may not.

    Args:
        pod: a scheduled pod.
        now: with time zone.
    """
    try:
        bound = datetime.fromisoformat(pod.scheduled or pod.created)
    except ValueError:
        return 0.0
    if bound.tzinfo is None:
        bound = bound.replace(tzinfo=UTC)
    return max(0.0, (bound + DEVICES_WAIT - now).total_seconds())


def told_devices(node: Node, pod: Pod) -> NodeSet | None:
    """NUMA nodes of a pod's devices as its node's agent tells; None if it tells of none."""
    told = node.devices or {}
    return told.get((*pod.key, pod.uid), told.get((*pod.key, "")))


def devices(
    pod: Pod, node: Node, choice: Choice, *, pinned: bool, overdue: bool
) -> NodeSet | Obstacle:
    """NUMA nodes of the pod's devices; empty without, or where the plugin gives no hint.

    Args:
        pod: a scheduled pod.
        node: where it runs.
        choice: its policy.
        pinned: it has a place: that is not given up for want of knowledge.
        overdue: it has waited for long enough.

    Returns:
        The NUMA nodes, or why it waits or can't be placed.
    """
    if choice.devices == "Ignore":
        return NOWHERE
    known = told_devices(node, pod)
    if known is not None:
        return known
    if pinned or not pod.devices:
        return NOWHERE
    if node.devices is not None and not overdue:
        return Obstacle(
            AWAITING_DEVICES,
            "the pod asks for devices: the agent is to say first where those are that the "
            "kubelet gives it",
            "Pending",
        )
    if choice.devices == "Prefer":
        return NOWHERE
    why = (
        f"the agent of node {node.name} can't ask the kubelet for them"
        if node.devices is None
        else f"the kubelet has named none {DEVICES_WAIT.total_seconds():.0f} s after the pod came"
    )
    return Obstacle(
        "DevicesUnknown",
        f"placement.devices is Require, and where the pod's devices are is not known: {why}",
        "Unplaceable",
    )
