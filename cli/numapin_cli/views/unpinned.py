"""Why a pod has no NumaPin: the way from the label to the pin, step by step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE, PIN_SELECTOR
from numapin_api.node import NumaNode
from numapin_cli.views.explanation import CheckRow, Explanation


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cluster holds besides the pod; None where we may not look.

    Attributes:
        installed: whether numapin's kinds are there.
        operators: Deployments of the operator.
        nodes: the NumaNode of the pod's node, none if there is none.
    """

    installed: bool | None
    operators: Sequence[Mapping[str, Any]] | None
    nodes: Sequence[NumaNode] | None


def explain_unpinned(pod: Mapping[str, Any], around: Surroundings) -> Explanation:
    """Which step towards a pin was not taken, and what to do about it.

    Args:
        pod: as the API server sends it.
        around: the rest of the cluster.
    """
    meta = pod["metadata"]
    found = tuple(_steps(pod, around))
    checks = tuple(check for check, _ in found)
    advice = tuple(todo for check, todo in found if check.ok is False and todo)
    failed = next((c for c in checks if c.ok is False), None)
    return Explanation(
        namespace=meta["namespace"],
        name=meta["name"],
        node=(pod.get("spec") or {}).get("nodeName"),
        pod_uid=meta.get("uid"),
        created=meta.get("creationTimestamp"),
        message=(
            f"not pinned: {failed.message}"
            if failed
            else "not pinned: all is in place, but the operator has made no NumaPin yet"
        ),
        checks=checks,
        next=advice or (f"wait a few seconds, then look at the operator's log: {_log(around)}",),
    )


def _log(around: Surroundings) -> str:
    for operator in around.operators or ():
        meta = operator["metadata"]
        return f"kubectl logs deployment/{meta['name']} -n {meta['namespace']}"
    return "kubectl logs of its Deployment, label app.kubernetes.io/component=operator"


def _steps(pod: Mapping[str, Any], around: Surroundings) -> Iterator[tuple[CheckRow, str]]:
    meta = pod["metadata"]
    yield _label(meta)
    yield _installed(around)
    if around.installed is not False:
        yield _operator(around)
    yield _alive(pod)
    node = (pod.get("spec") or {}).get("nodeName")
    yield _scheduled(node, meta)
    if node and around.nodes is not None:
        yield _agent(node, next(iter(around.nodes), None))


def _check(name: str, ok: bool | None, found: str, wanted: str, message: str) -> CheckRow:
    return CheckRow(name=name, ok=ok, found=found, wanted=wanted, message=message)


def _label(meta: Mapping[str, Any]) -> tuple[CheckRow, str]:
    value = (meta.get("labels") or {}).get(PIN_LABEL)
    where = f"{meta['name']} -n {meta['namespace']}"
    if value == PIN_LABEL_VALUE:
        return _check("label", True, PIN_SELECTOR, PIN_SELECTOR, "the pod asks to be pinned"), ""
    if value is None:
        found, message = "no label", f"the pod does not have the label {PIN_SELECTOR}"
    else:
        found = f"{PIN_LABEL}={value}"
        message = f'label {PIN_LABEL} is "{value}"; only "{PIN_LABEL_VALUE}" asks for a pin'
    return (
        _check("label", False, found, PIN_SELECTOR, message),
        f"kubectl label pod {where} --overwrite {PIN_SELECTOR}",
    )


def _installed(around: Surroundings) -> tuple[CheckRow, str]:
    wanted = "numapin.io/v1alpha1"
    if around.installed is None:
        return _check("installed", None, "unknown", wanted, "the cluster's kinds can't be read"), ""
    if around.installed:
        return _check("installed", True, wanted, wanted, "numapin's kinds are there"), ""
    return (
        _check("installed", False, "none", wanted, "numapin is not installed in this cluster"),
        "helm install numapin charts/numapin --namespace numapin-system --create-namespace",
    )


def _operator(around: Surroundings) -> tuple[CheckRow, str]:
    wanted = "1 available replica"
    if around.operators is None:
        message = "you may not list Deployments, so whether the operator runs is not known"
        return _check("operator", None, "unknown", wanted, message), ""
    if not around.operators:
        message = "no Deployment of numapin's operator was found"
        advice = "helm upgrade --install numapin charts/numapin --namespace numapin-system"
        return _check("operator", False, "no Deployment", wanted, message), advice
    meta = around.operators[0]["metadata"]
    available = sum((o.get("status") or {}).get("availableReplicas") or 0 for o in around.operators)
    if available:
        return _check("operator", True, str(available), wanted, "the operator runs"), ""
    return (
        _check("operator", False, "0", wanted, "the operator is not available"),
        f"kubectl describe deployment {meta['name']} -n {meta['namespace']}",
    )


def _alive(pod: Mapping[str, Any]) -> tuple[CheckRow, str]:
    phase = (pod.get("status") or {}).get("phase") or "Unknown"
    wanted = "Pending or Running"
    if pod["metadata"].get("deletionTimestamp"):
        return _check("alive", False, "terminating", wanted, "the pod is being deleted"), ""
    if phase in {"Succeeded", "Failed"}:
        return _check("alive", False, phase, wanted, f"the pod has ended ({phase})"), ""
    return _check("alive", True, phase, wanted, f"the pod is {phase}"), ""


def _scheduled(node: str | None, meta: Mapping[str, Any]) -> tuple[CheckRow, str]:
    if node:
        return _check("scheduled", True, node, "a node", f"the pod is on node {node}"), ""
    return (
        _check("scheduled", False, "none", "a node", "the pod has not been scheduled yet"),
        f"kubectl describe pod {meta['name']} -n {meta['namespace']}",
    )


def _agent(node: str, found: NumaNode | None) -> tuple[CheckRow, str]:
    wanted = "NumaNode, Ready"
    advice = (
        "kubectl get pods -A -o wide -l app.kubernetes.io/component=agent "
        f"--field-selector spec.nodeName={node}"
    )
    if found is None or found.status is None:
        message = f"no numapin agent has reported from node {node}"
        return _check("agent", False, "no NumaNode", wanted, message), advice
    ready = next((c for c in found.status.conditions if c.type == "Ready"), None)
    if ready is not None and ready.status == "True":
        return _check("agent", True, wanted, wanted, f"the agent of node {node} is ready"), ""
    reason = "no condition Ready" if ready is None else f"{ready.reason}: {ready.message}"
    message = f"the agent of node {node} is not ready: {reason}"
    return _check("agent", False, "not ready", wanted, message), advice
