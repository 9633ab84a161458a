"""What a pod asks for, counted exactly as the kube-scheduler counts it.

The planner fills sockets by requests. If it counted otherwise than the scheduler, a node
that the scheduler thinks half empty would be full to us, or the other way round. The rules
are those of ``PodRequests`` in k8s.io/component-helpers/resource/helpers.go (KEP-753
sidecars, KEP-2837 pod-level resources, KEP-1287 in-place resize, KEP-688 overhead).

Limits are read only to warn of a limit that a socket can't serve.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

MAX_QUANTITY = (1 << 63) - 1
"""resource.Quantity.Value() saturates at int64."""


HUGEPAGES: Final = "hugepages-"
"""Before the size in a resource's name (v1.ResourceHugePagesPrefix)."""
_PAGE_SIZE = re.compile(r"([1-9][0-9]{0,9})(Ki|Mi|Gi)", re.ASCII)
_UNITS: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_NATIVE_DOMAIN: Final = "kubernetes.io/"
_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?", re.ASCII
)
"""A number with an exponent or a suffix (apimachinery's pkg/api/resource/quantity.go)."""
_SUFFIXES: Final = {
    **{suffix: Decimal(10) ** (3 * n) for n, suffix in enumerate("kMGTPE", start=1)},
    **{suffix: Decimal(10) ** (-3 * n) for n, suffix in enumerate("mun", start=1)},
    **{f"{suffix}i": Decimal(1024) ** n for n, suffix in enumerate("KMGTPE", start=1)},
}
QUANTITIES: Final = (
    "a number, alone or with an exponent or one of the suffixes n, u, m, k, M, G, T, P, E, Ki, Mi, "
    "Gi, Ti, Pi, Ei, like 1.5, 1e3, 500m, 4Gi"
)
"""What ``quantity`` takes, for messages."""


@dataclass(frozen=True, slots=True)
class Requests:
    """CPU and memory of a pod.

    Attributes:
        cpu_millis: thousandths of a CPU.
        memory_bytes: bytes.
        hugepages: bytes of huge pages by the size of a page in bytes, ascending; none of 0.
    """

    cpu_millis: int = 0
    memory_bytes: int = 0
    hugepages: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(
            self.cpu_millis + other.cpu_millis,
            self.memory_bytes + other.memory_bytes,
            self._huge(other, add=True),
        )

    def upper(self, other: "Requests") -> "Requests":
        """The larger of each resource."""
        return Requests(
            max(self.cpu_millis, other.cpu_millis),
            max(self.memory_bytes, other.memory_bytes),
            self._huge(other, add=False),
        )

    def _huge(self, other: "Requests", *, add: bool) -> tuple[tuple[int, int], ...]:
        if not other.hugepages:
            return self.hugepages
        found = dict(self.hugepages)
        for page, amount in other.hugepages:
            had = found.get(page, 0)
            found[page] = had + amount if add else max(had, amount)
        return tuple(sorted(found.items()))


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
    # str() of a float is its shortest form, what stood in the JSON: 0.1 is 100m, not 101m.
    text = str(value).strip() if type(value) in {str, int, float} else ""
    m = _QUANTITY.fullmatch(text)
    if m is None:
        raise ValueError(f"{value!r:.60} is no quantity")
    try:
        amount = Decimal(m[1] + (m[2] or ""))
        if m[3]:
            amount *= _SUFFIXES[m[3]]
        # Compared first: as an int, 1e999999 would take a million digits.
        if abs(amount) >= MAX_QUANTITY:
            return MAX_QUANTITY if amount > 0 else -MAX_QUANTITY
        whole = int((amount * scale).to_integral_value(rounding=ROUND_CEILING))
    except ArithmeticError as error:
        raise ValueError(f"{value!r:.60} is no quantity") from error
    return max(-MAX_QUANTITY, min(whole, MAX_QUANTITY))


def page_bytes(size: str) -> int | None:
    """The bytes of one huge page of a size such as ``2Mi``; None if that is no size."""
    m = _PAGE_SIZE.fullmatch(size)
    return None if m is None else int(m[1]) * _UNITS[m[2]]


def _page_sizes(resources: Mapping[str, Any]) -> dict[int, str]:
    """The resource's name by the bytes of a page, of all huge pages in a ResourceList."""
    return {
        page: name
        for name in resources
        if name.startswith(HUGEPAGES)
        and (page := page_bytes(name.removeprefix(HUGEPAGES))) is not None
    }


def _hugepages(resources: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    found = {page: quantity(resources[name]) for page, name in _page_sizes(resources).items()}
    return tuple(sorted((page, amount) for page, amount in found.items() if amount))


def _amounts(resources: Mapping[str, Any] | None) -> Requests:
    """The CPU, memory and huge pages of a ResourceList."""
    found = resources or {}
    return Requests(
        cpu_millis=quantity(found.get("cpu", 0), scale=1000),
        memory_bytes=quantity(found.get("memory", 0)),
        hugepages=_hugepages(found),
    )


def wants_devices(pod: Mapping[str, Any]) -> bool:
    """Whether a pod asks for devices of a device plugin.

    Those are extended resources: names with a domain that is not Kubernetes' own
    (``IsExtendedResourceName`` in pkg/apis/core/helper/helpers.go).

    Args:
        pod: a v1 Pod as the API server sends it.
    """
    spec: Mapping[str, Any] = pod.get("spec") or {}
    everyone = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for container in everyone:
        resources = container.get("resources") or {}
        # The API server copies an extended resource's limit to its request.
        for part in ("requests", "limits"):
            for name in resources.get(part) or ():
                if "/" in name and _NATIVE_DOMAIN not in name:
                    return True
    return False


def wants_exclusive_cpus(pod: Mapping[str, Any]) -> bool:
    """Whether the kubelet's static CPU manager would give a container CPUs of its own.

    It does so for containers of Guaranteed pods that ask for whole CPUs
    (``guaranteedCPUs`` in pkg/kubelet/cm/cpumanager/policy_static.go).

    Args:
        pod: a v1 Pod as the API server sends it.

    Raises:
        ValueError: a quantity is malformed.
    """
    if (pod.get("status") or {}).get("qosClass") != "Guaranteed":
        return False
    spec: Mapping[str, Any] = pod.get("spec") or {}
    everyone = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    millis = [
        quantity(((c.get("resources") or {}).get("requests") or {}).get("cpu", 0), scale=1000)
        for c in everyone
    ]
    return any(m > 0 and m % 1000 == 0 for m in millis)


def _container(
    container: Mapping[str, Any], status: Mapping[str, Any], *, infeasible: bool
) -> Requests:
    """``determineContainerReqs``: while a resize is under way, the larger of want and have."""
    want = _amounts((container.get("resources") or {}).get("requests"))
    if status.get("resources") is None:
        return want
    have = _amounts(status["resources"].get("requests")).upper(
        _amounts(status.get("allocatedResources"))
    )
    return have if infeasible else want.upper(have)


def _statuses(pod: Mapping[str, Any], field: str) -> dict[str, Mapping[str, Any]]:
    return {s["name"]: s for s in (pod.get("status") or {}).get(field) or ()}


def _infeasible(pod: Mapping[str, Any]) -> bool:
    """``IsPodResizeInfeasible``: the kubelet refused the resize for good."""
    return any(
        c.get("type") == "PodResizePending" and c.get("reason") == "Infeasible"
        for c in (pod.get("status") or {}).get("conditions") or ()
    )


def _pod_level(pod: Mapping[str, Any], *, infeasible: bool) -> Mapping[str, Any]:
    """Requests given for the pod as a whole (KEP-2837).

    While they are resized (KEP-5419), the larger of want and have; what the spec does not ask
    for is not given, whatever the status says.
    """
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    want = (spec.get("resources") or {}).get("requests") or {}
    if not want or status.get("resources") is None:
        return want
    all_of = [] if infeasible else [want]
    all_of += [status["resources"].get("requests") or {}, status.get("allocatedResources") or {}]
    return {name: max((one.get(name, 0) for one in all_of), key=_precise) for name in want}


def _precise(value: object) -> int:
    """Thousandths, so that 200m and 700m of a CPU differ."""
    return quantity(value, scale=1000)


def _replaced(total: Requests, whole: Mapping[str, Any]) -> Requests:
    """Each resource that is given for the pod replaces what its containers add up to."""
    given = _amounts(whole)
    kept = {n: amount for n, amount in total.hugepages if n not in _page_sizes(whole)}
    return Requests(
        given.cpu_millis if "cpu" in whole else total.cpu_millis,
        given.memory_bytes if "memory" in whole else total.memory_bytes,
        tuple(sorted({**kept, **dict(given.hugepages)}.items())),
    )


def effective(pod: Mapping[str, Any]) -> Requests:
    """CPU, memory and huge-page requests of a pod as the scheduler counts them.

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
        if container.get("restartPolicy") == "Always":
            own = _container(container, statuses.get(container["name"], {}), infeasible=refused)
            # A sidecar runs beside everything that starts after it, and beside the pod.
            total += own
            sidecars += own
            starting = starting.upper(sidecars)
        else:
            # One that ends is not resized: its status says nothing.
            own = _amounts((container.get("resources") or {}).get("requests"))
            starting = starting.upper(sidecars + own)
    total = total.upper(starting)

    total = _replaced(total, _pod_level(pod, infeasible=refused))
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
