"""What a NumaPin means for this node, given the pods that are really here.

The agent takes nobody's word for it: an order is made only for a pod that it has itself
seen on this node, with that name, namespace and UID, and with the label still on it. It
deliberately plans nothing (the operator has) and touches nothing (the pinner does).
"""

from dataclasses import dataclass

from numapin_agent.pin.values import PinOrder
from numapin_agent.pods import PodView
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CpuListError
from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE
from numapin_api.pin import NumaPin, Phase
from numapin_api.policy import percent


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a NumaPin is not acted on.

    Attributes:
        reason: one CamelCase word for conditions.
        message: for people, with the names and values that disagree.
        transient: it may be that the pod just hasn't been seen yet.
        phase: what the pin is in then.
    """

    reason: str
    message: str
    transient: bool = False
    phase: Phase = "Refused"


def order(pin: NumaPin, pod: PodView | None, *, node_name: str) -> PinOrder | Refusal:
    """Turn a NumaPin into an order, or say why not.

    Args:
        pin: as the API server sent it.
        pod: the pod of that namespace and name on this node, if there is one.
        node_name: this Kubernetes node.
    """
    spec, name, namespace = pin.spec, pin.metadata.name, pin.metadata.namespace or ""
    where = f"{namespace}/{name}"
    if spec.node_name != node_name:
        return Refusal("OtherNode", f"spec.nodeName is {spec.node_name!r}, not {node_name!r}")
    if pod is None:
        return Refusal("PodNotFound", f"no pod {where} on node {node_name}", transient=True)
    if pod.uid != spec.pod_uid:
        return Refusal(
            "PodReplaced",
            f"pod {where} has UID {pod.uid}, not spec.podUID {spec.pod_uid}",
            transient=True,
        )
    if not pod.opted_in:
        message = f"pod {where} has no label {PIN_LABEL}={PIN_LABEL_VALUE}"
        return Refusal("LabelRemoved", message, phase="Unpinned")
    try:
        cpus = None if spec.cpus is None else CpuSet.parse(spec.cpus)
        mems = None if spec.mems is None else NodeSet.parse(spec.mems)
    except CpuListError as e:
        return Refusal(e.reason, f"spec.cpus or spec.mems: {e}")
    return PinOrder(
        namespace=namespace,
        name=name,
        uid=pod.cgroup_uid,
        generation=pin.metadata.generation or 0,
        mode=spec.mode,
        cpus=cpus or None,
        mems=mems or None,
        memory=spec.memory,
        headroom_percent=percent(spec.memory_headroom),
        container_names=pod.containers,
        mirrors=pod.mirrors,
    )


def wants_pin(order: PinOrder) -> bool:
    """Whether the order is to write a cpuset, not only to look."""
    return order.mode == "Enforce" and order.cpus is not None
