"""What a pod asks for, counted exactly as the kube-scheduler counts it.

The planner fills sockets by requests. If it counted otherwise than the scheduler, a node
that the scheduler thinks half empty would be full to us, or the other way round. The rules
are those of ``PodRequests`` in k8s.io/component-helpers/resource/helpers.go (KEP-753
sidecars, KEP-2837 pod-level resources, KEP-1287 in-place resize, KEP-688 overhead).

Limits are read only to warn of a limit that a socket can't serve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

MAX_QUANTITY = (1 << 63) - 1
"""resource.Quantity.Value() saturates at int64."""


@dataclass(frozen=True, slots=True)
class Requests:
    """CPU and memory of a pod.

    Attributes:
        cpu_millis: thousandths of a CPU.
        memory_bytes: bytes.
    """

    cpu_millis: int = 0
    memory_bytes: int = 0

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(self.cpu_millis + other.cpu_millis, self.memory_bytes + other.memory_bytes)

    def upper(self, other: "Requests") -> "Requests":
        """The larger of each resource."""
        return Requests(
            max(self.cpu_millis, other.cpu_millis), max(self.memory_bytes, other.memory_bytes)
        )


NOTHING = Requests()


def quantity(value: object, *, scale: int = 1) -> int:
    """Parse a Kubernetes quantity such as ``100m``, ``1.5Gi`` or ``1e3``.

    Args:
        value: the quantity as it stands in JSON (string or number).
        scale: multiply by this before rounding; 1000 for millicores.

    Returns:
        The amount rounded up, as Value() and MilliValue() do, at most ``MAX_QUANTITY``.

    Raises:
        ValueError: it is no quantity.
    """
    try:
        amount: Decimal = parse_quantity(value)  # type: ignore[no-untyped-call]
        if not amount.is_finite():
            raise ValueError(f"{value!r:.60} is no quantity")
        # Compared first: as an int, 1e999999 would take a million digits.
        if abs(amount) >= MAX_QUANTITY:
            return MAX_QUANTITY if amount > 0 else -MAX_QUANTITY
        whole = int((amount * scale).to_integral_value(rounding=ROUND_CEILING))
    except ArithmeticError as error:
        raise ValueError(f"{value!r:.60} is no quantity") from error
    return max(-MAX_QUANTITY, min(whole, MAX_QUANTITY))


def _amounts(resources: Mapping[str, Any] | None) -> Requests:
    """The CPU and memory of a ResourceList."""
    found = resources or {}
    return Requests(
        cpu_millis=quantity(found.get("cpu", 0), scale=1000),
        memory_bytes=quantity(found.get("memory", 0)),
    )


def _container(
    container: Mapping[str, Any], status: Mapping[str, Any], *, infeasible: bool
) -> Requests:
    """``determineContainerReqs``: while a resize is under way, the larger of want and have."""
    want = _amounts((container.get("resources") or {}).get("requests"))
    if not status.get("resources"):
        return want
    have = _amounts((status["resources"] or {}).get("requests")).upper(
        _amounts(status.get("allocatedResources"))
    )
    return have if infeasible else want.upper(have)


def _statuses(pod: Mapping[str, Any], field: str) -> dict[str, Mapping[str, Any]]:
    return {s["name"]: s for s in (pod.get("status") or {}).get(field) or ()}


def _infeasible(pod: Mapping[str, Any]) -> bool:
    """``IsPodResizeInfeasible``: the kubelet refused the resize for good."""
    return any(
        c.get("type") == "PodResizePending"
        and c.get("status") == "True"
        and c.get("reason") == "Infeasible"
        for c in (pod.get("status") or {}).get("conditions") or ()
    )


def effective(pod: Mapping[str, Any]) -> Requests:
    """CPU and memory requests of a pod as the scheduler counts them.

    Args:
        pod: a v1 Pod as the API server sends it.

    Raises:
        ValueError: a quantity is malformed (the API server would have refused it).
    """
    spec: Mapping[str, Any] = pod.get("spec") or {}
    refused = _infeasible(pod)
    statuses = _statuses(pod, "containerStatuses")
    total = Requests()
    for container in spec.get("containers") or ():
        total += _container(container, statuses.get(container["name"], {}), infeasible=refused)

    statuses = _statuses(pod, "initContainerStatuses")
    sidecars = starting = Requests()
    for container in spec.get("initContainers") or ():
        own = _container(container, statuses.get(container["name"], {}), infeasible=refused)
        if container.get("restartPolicy") == "Always":
            # A sidecar runs beside everything that starts after it, and beside the pod.
            total += own
            sidecars += own
            starting = starting.upper(sidecars)
        else:
            starting = starting.upper(sidecars + own)
    total = total.upper(starting)

    pod_level = (spec.get("resources") or {}).get("requests") or {}
    if "cpu" in pod_level:
        total = Requests(quantity(pod_level["cpu"], scale=1000), total.memory_bytes)
    if "memory" in pod_level:
        total = Requests(total.cpu_millis, quantity(pod_level["memory"]))
    return total + _amounts(spec.get("overhead"))


def cpu_limit(pod: Mapping[str, Any]) -> int | None:
    """The CPU that a pod may use at most, in millicores; None if any container has no limit.

    Init containers that end are left out: they don't run beside the pod.
    """
    spec: Mapping[str, Any] = pod.get("spec") or {}
    pod_level = (spec.get("resources") or {}).get("limits") or {}
    if "cpu" in pod_level:
        return quantity(pod_level["cpu"], scale=1000)
    total = 0
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        limits = (container.get("resources") or {}).get("limits") or {}
        if "cpu" not in limits:
            return None
        total += quantity(limits["cpu"], scale=1000)
    return total
