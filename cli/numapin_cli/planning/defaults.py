"""What an API server fills in of a pod, as far as its place depends on it. Pure.

Manifests mostly give limits alone, and no QoS class; the operator never sees such a pod. The
rules are those of ``SetDefaults_Pod`` (pkg/apis/core/v1/defaults.go) and ``ComputePodQOS``
(pkg/apis/core/v1/helper/qos/qos.go). Deliberately not those of admission: a LimitRange or a
RuntimeClass of the cluster is not known here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from numapin_operator.requests import HUGEPAGES, quantity

Json = Mapping[str, Any]
_COUNTED: Final = ("cpu", "memory")


def defaulted(pod: Json) -> dict[str, Any]:
    """A pod as the API server would have stored it.

    Args:
        pod: a v1 Pod as people write it, valid so far; what it says itself stands.
    """
    spec: dict[str, Any] = dict(pod.get("spec") or {})
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = [_container(one) for one in spec[field]]
    if (spec.get("resources") or {}).get("limits"):
        spec["resources"] = _whole(spec)
    status: dict[str, Any] = dict(pod.get("status") or {})
    status["qosClass"] = status.get("qosClass") or _qos(spec)
    return {**pod, "spec": spec, "status": status}


def _container(container: Json) -> dict[str, Any]:
    """What is limited and not asked for is asked for up to its limit."""
    resources = container.get("resources") or {}
    requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    if not requests:
        return dict(container)
    return {**container, "resources": {**resources, "requests": requests}}


def _containers(spec: Json) -> Iterator[Json]:
    for field in ("containers", "initContainers"):
        yield from spec.get(field) or ()


def _whole(spec: Json) -> dict[str, Any]:
    """Limits of the pod as a whole: asked for, too, unless a container asks for some of it.

    Where one does, the pod asks for what its containers add up to, as it would without.
    """
    resources: Json = spec["resources"]
    asked = {
        name for c in _containers(spec) for name in (c.get("resources") or {}).get("requests", ())
    }
    own = {
        name: value
        for name, value in resources["limits"].items()
        if name not in asked and (name in _COUNTED or name.startswith(HUGEPAGES))
    }
    return {**resources, "requests": {**own, **(resources.get("requests") or {})}}


def _qos(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, by CPU and memory."""
    whole = spec.get("resources") or {}
    everyone = [whole] if whole else [c.get("resources") or {} for c in _containers(spec)]
    asked = [_amounts(one.get("requests")) for one in everyone]
    limited = [_amounts(one.get("limits")) for one in everyone]
    if not any(asked) and not any(limited):
        return "BestEffort"
    if asked == limited and all(len(one) == len(_COUNTED) for one in limited):
        return "Guaranteed"
    return "Burstable"


def _amounts(resources: Json | None) -> dict[str, int]:
    """CPU and memory, where there is any, in thousandths."""
    found = {name: quantity((resources or {}).get(name, 0), scale=1000) for name in _COUNTED}
    return {name: amount for name, amount in found.items() if amount > 0}
