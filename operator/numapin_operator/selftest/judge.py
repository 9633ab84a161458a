"""What to make for a try, and what the objects say of it. Pure: objects in, words out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin, Verdict

Json = Mapping[str, Any]

_PASSED: Final[frozenset[Verdict]] = frozenset({"Verified", "Observing"})
_FAILED: Final[frozenset[Verdict]] = frozenset(
    {"Ineffective", "Drifted", "Conflict", "Unplaceable", "Invalid"}
)
_MOST_NODES: Final = 50
"""A node selector term for each would make the pod of a big cluster hundreds of kilobytes."""
_GRACE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to see at one moment.

    Attributes:
        lines: for people, the most important last.
        passed: whether the try is over, and well; None while it goes on.
    """

    lines: tuple[str, ...]
    passed: bool | None = None


def eligible(nodes: Iterable[NumaNode]) -> tuple[str, ...]:
    """Names of the nodes where a pod can be pinned: their agent is ready, they have two sockets."""
    return tuple(
        sorted(
            node.metadata.name
            for node in nodes
            if node.status is not None
            and node.status.topology is not None
            and sum(1 for socket in node.status.topology.sockets if socket.cpus) > 1
            and any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
        )
    )


def pod(own: Json, nodes: Iterable[str], *, seconds: int) -> dict[str, Any]:
    """The pod to be pinned.

    Args:
        own: the tester's own pod; the image, how to get it and the owner are taken from it.
        nodes: where it may run.
        seconds: how long the try may take.
    """
    meta, spec = own["metadata"], own["spec"]
    (tester,) = spec["containers"]
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
        for name in list(nodes)[:_MOST_NODES]
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-pinned",
            "namespace": meta["namespace"],
            "labels": {PIN_LABEL: PIN_LABEL_VALUE, "app.kubernetes.io/component": "test-pinned"},
            # Whatever becomes of the tester: this pod goes with it.
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": seconds + _GRACE_SECONDS,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "imagePullSecrets": spec.get("imagePullSecrets", []),
            "securityContext": spec["securityContext"],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
                }
            },
            "containers": [
                {
                    "name": "load",
                    "image": tester["image"],
                    "imagePullPolicy": tester["imagePullPolicy"],
                    "command": ["python3", "-m", "numapin_operator.selftest.load"],
                    "securityContext": tester["securityContext"],
                    "resources": {
                        "requests": {"cpu": "50m", "memory": "64Mi"},
                        "limits": {"memory": "128Mi"},
                    },
                }
            ],
        },
    }


def look(made: Json, pin: NumaPin | None) -> Seen:
    """What pod and NumaPin say now.

    Args:
        made: the pod as it stands in the API.
        pin: its NumaPin; None while there is none.
    """
    phase = (made.get("status") or {}).get("phase", "Pending")
    node = made["spec"].get("nodeName")
    lines = [f"pod: {phase}" + (f" on node {node}" if node else f"; {_unscheduled(made)}")]
    if phase in {"Failed", "Succeeded"}:
        said = made["status"].get("message") or made["status"].get("reason") or "no reason given"
        return Seen((*lines, f"the pod ended before it was judged: {said}"), passed=False)
    if pin is None or pin.spec.pod_uid != made["metadata"]["uid"]:
        return Seen((*lines, "pin: none yet, the operator makes it once the pod has a node"))
    lines.append(f"pin: {_where(pin)}, by policy {pin.spec.policy}")
    status = pin.status
    if status is None or status.verdict is None:
        return Seen((*lines, "verdict: none yet"))
    lines += [
        f"{c.type}={c.status}: {c.reason}" + (f": {c.message}" if c.message else "")
        for c in status.conditions
    ]
    evidence = f" ({status.evidence})" if status.evidence else ""
    lines.append(f"verdict: {status.verdict}{evidence}")
    passed = True if status.verdict in _PASSED else False if status.verdict in _FAILED else None
    return Seen(tuple(lines), passed)


def _unscheduled(made: Json) -> str:
    for condition in (made.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("message"):
            return f"no node: {condition['message']}"
    return "no node yet"


def _where(pin: NumaPin) -> str:
    spec = pin.spec
    if spec.socket is None:
        return "no socket"
    mems = f", NUMA nodes {spec.mems}" if spec.mems else ""
    return f"socket {spec.socket}, CPUs {spec.cpus}{mems}"
