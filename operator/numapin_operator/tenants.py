"""The pods of a node as the planner sees them: where they are, what they use, who may go. Pure.

Used by the operator before it moves a pod or has one leave a crowded socket, and by ``numapin
plan`` to say what it would do.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from numapin_api.cpulist import NodeSet
from numapin_api.pin import Observed
from numapin_operator.before import taken, told_devices
from numapin_operator.placement.crowd import Crowd
from numapin_operator.placement.state import Tenant
from numapin_operator.placement.values import NOWHERE, Candidate, Node, Pinned, Spot
from numapin_operator.pods import Key, Pod
from numapin_operator.records import PinRecord
from numapin_operator.select import Choice, Invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour(Pinned):
    """Another pod's pin, with what tells whether that pod could go.

    Attributes:
        pod: the pod.
        pin: its pin; None while it is being made.
        namespace_labels: of its namespace.
    """

    pod: Pod
    pin: PinRecord | None = None
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


def _resident(observed: Observed | None) -> Mapping[int, int]:
    """Where a pod's memory is, by the agent's last report.

    Args:
        observed: what the agent says of the pod.
    """
    return {} if observed is None else {m.node: m.bytes for m in observed.memory}


def candidate(
    pod: Pod, observed: Observed | None, current: Spot | None, devices: NodeSet
) -> Candidate:
    """A pod as the planner sees it.

    Args:
        pod: the pod.
        observed: what the agent says of it.
        current: where it is pinned.
        devices: NUMA nodes of its devices.
    """
    return Candidate(
        requests=pod.requests,
        resident=_resident(observed),
        current=current,
        cpu_limit_millis=pod.cpu_limit_millis,
        workload=pod.workload,
        namespace=pod.key.namespace,
        labels=pod.labels or {},
        devices=devices,
    )


def crowd(
    neighbours: Iterable[Pinned], node: Node, choose: Callable[[Neighbour], Choice | Invalid]
) -> Crowd:
    """Who could leave a node's crowded sockets, and who takes room there all the same.

    Args:
        neighbours: the pins of a node.
        node: the node.
        choose: the policy of a pod.
    """
    tenants: list[Tenant] = []
    fixed: list[Pinned] = []
    for one in neighbours:
        choice = choose(one) if isinstance(one, Neighbour) else None
        if not isinstance(one, Neighbour) or not isinstance(choice, Choice):
            fixed.append(one)
        elif choice.mode != "Enforce" or taken(node, one.pod) is not None or _refused(one):
            # It goes, or not, by a rule of its own as soon as it is looked at.
            fixed.append(one)
        else:
            status = None if one.pin is None else one.pin.status()
            observed = None if status is None else status.observed
            vain = one.pin is not None and one.pin.in_vain
            found = tenant(one.pod, node, choice, spot=one.spot, observed=observed)
            tenants.append(replace(found, in_vain=vain))
    return Crowd(tenants, fixed)


def left_behind(
    neighbours: Iterable[Pinned], before: Spot | None, after: Spot | None
) -> tuple[Key, ...]:
    """Pods on the sockets that one leaves: what is asked for there is another thing now.

    Args:
        neighbours: the pins of the node.
        before: where the pod was; None for nowhere.
        after: where it goes.
    """
    if before is None or (after is not None and after.sockets == before.sockets):
        return ()
    return tuple(
        n.pod.key
        for n in neighbours
        if isinstance(n, Neighbour) and set(n.spot.sockets) & set(before.sockets)
    )


def neighbour(
    spot: Spot, pod: Pod, pin: PinRecord | None, namespace_labels: Mapping[str, str]
) -> Neighbour:
    """The pin of a pod as the others on its node see it.

    Args:
        spot: where it is.
        pod: the pod.
        pin: its pin; None while it is being made.
        namespace_labels: of its namespace.
    """
    return Neighbour(
        spot,
        pod.requests,
        pod.workload,
        pod.key.namespace,
        pod.labels or {},
        pod=pod,
        pin=pin,
        namespace_labels=namespace_labels,
    )


def _refused(one: Neighbour) -> bool:
    return one.pin is not None and one.pin.refused


def _cpu_millis(observed: Observed | None) -> int | None:
    """CPU time that a pod took over the last window, in millicores."""
    counters = None if observed is None else observed.counters
    if counters is None or not counters.seconds:
        return None
    return round(counters.cpu_nanoseconds / counters.seconds / 1e6)


def held(pod: Pod, node: Node, choice: Choice) -> NodeSet:
    """NUMA nodes of a pod's devices, as far as they are known and its policy looks at them.

    Args:
        pod: the pod.
        node: where it runs.
        choice: its policy.
    """
    known = None if choice.devices == "Ignore" else told_devices(node, pod)
    return NOWHERE if known is None else known


def unplaced_devices(pod: Pod, node: Node, choice: Choice) -> bool:
    """Whether a pod asks for devices that count, and nobody has said yet where those are.

    Args:
        pod: the pod.
        node: where it runs.
        choice: its policy.
    """
    return pod.devices and choice.devices != "Ignore" and told_devices(node, pod) is None


def tenant(  # noqa: PLR0913 (each is another thing known of a pod)
    pod: Pod,
    node: Node,
    choice: Choice,
    *,
    spot: Spot | None,
    observed: Observed | None = None,
    movable: bool = True,
) -> Tenant:
    """A pod of a node.

    Args:
        pod: the pod.
        node: where it runs.
        choice: its policy, annotations applied.
        spot: where it is pinned; None while it waits.
        observed: what the agent says of it.
        movable: nothing else speaks against moving it now.
    """
    stays = pod.terminating or unplaced_devices(pod, node, choice)
    return Tenant(
        name=str(pod.key),
        pod=candidate(pod, observed, spot, held(pod, node, choice)),
        choice=choice,
        cpu_millis=_cpu_millis(observed),
        movable=movable and not stays,
    )
