"""What the accounts of operator and agent may and may not do, one real request a row.

The same rows are sent to a real API server with the tokens that the pods get, and printed
as the table of docs/security.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from support.chart import NAMESPACE
from support.objects import example
from support.resources import APPLY, JSON, MERGE

from numapin_api import names

OWN = f"/apis/{names.API_VERSION}"
PINS = f"{OWN}/namespaces/default/numapins"
TRACES = f"{OWN}/namespaces/default/numatraces"
PODS = "/api/v1/namespaces/default/pods"
HERE = f"/api/v1/namespaces/{NAMESPACE}"
SECRETS = "/api/v1/namespaces/default/secrets"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
LABEL = {"metadata": {"labels": {"touched": "yes"}}}
OBSERVED = {
    "apiVersion": names.API_VERSION,
    "kind": "NumaPin",
    "status": {"observed": {"generation": 1, "phase": "Waiting"}},
}
EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"generateName": "db-"},
    "type": "Warning",
    "reason": "Drifted",
    "message": "",
    "involvedObject": {"kind": "Pod", "name": "db", "namespace": "default"},
}


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "db"},
    "spec": {"containers": [{"name": "db", "image": "none"}]},
}
# Whoever could bind a role could have every right.
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "x"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "cluster-admin",
    },
}


def numa_node(name: str) -> dict[str, Any]:
    """A NumaNode without a status."""
    return {"apiVersion": names.API_VERSION, "kind": "NumaNode", "metadata": {"name": name}}


def trace(name: str, *, node: str) -> dict[str, Any]:
    """A NumaTrace without a status."""
    found = example("NumaTrace")
    found["metadata"] = {"name": name, "namespace": "default"}
    found["spec"]["nodeName"] = node
    return {k: v for k, v in found.items() if k != "status"}


def running(name: str) -> dict[str, Any]:
    """The status of a NumaTrace, as an agent writes it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "NumaTrace",
        "metadata": {"name": name},
        "status": {"phase": "Running"},
    }


def pin(name: str, *, node: str) -> dict[str, Any]:
    """A NumaPin without a status."""
    found = example("NumaPin")
    found["metadata"] = {"name": name, "namespace": "default"}
    found["spec"]["nodeName"] = node
    return {k: v for k, v in found.items() if k != "status"}


@dataclass(frozen=True)
class Right:
    """One request, and who gets it through.

    Attributes:
        of: what it is about, for the table.
        verb: what is done, for the table.
        method: of HTTP.
        path: with query.
        body: what is sent.
        content: its type; None is that of the method.
        operator: whether the operator's account may.
        agent: whether the account of the agent on numa-0 may.
    """

    of: str
    verb: str
    method: str
    path: str
    body: Any = None
    content: str | None = None
    operator: bool = False
    agent: bool = False

    @property
    def media_type(self) -> str:
        """The type of the body."""
        return self.content or (MERGE if self.method == "PATCH" else JSON)

    def __str__(self) -> str:
        return f"{self.verb} {self.of}: {self.method} {self.path}"


def _apply(of: str, verb: str, path: str, body: Any, **who: bool) -> Right:
    """Server-side apply, as both programs write."""
    return Right(of, verb, "PATCH", path, body, APPLY, **who)


BOTH = {"operator": True, "agent": True}

RIGHTS = [
    Right("pods", "list", "GET", "/api/v1/pods", **BOTH),
    Right("pods", "watch", "GET", "/api/v1/pods?watch=true&timeoutSeconds=1", **BOTH),
    Right("pods", "get", "GET", f"{PODS}/db"),
    Right("pods", "create", "POST", PODS, {"metadata": {"name": "x"}}),
    Right("pods", "change", "PATCH", f"{PODS}/db", LABEL),
    Right("pods", "replace", "PUT", f"{PODS}/db", POD),
    Right("pods", "delete", "DELETE", f"{PODS}/db"),
    Right("pods", "delete all", "DELETE", PODS),
    Right("pods", "change the status of", "PATCH", f"{PODS}/db/status", LABEL),
    Right("pods", "run commands in", "POST", f"{PODS}/db/exec?command=sh&stdout=true"),
    Right("pods", "read logs of", "GET", f"{PODS}/db/log"),
    Right("pods", "evict", "POST", f"{PODS}/db/eviction", {"kind": "Eviction"}),
    Right("pods", "bind", "POST", f"{PODS}/db/binding", {"kind": "Binding"}),
    Right("pods", "resize", "PATCH", f"{PODS}/db/resize", LABEL),
    Right("pods", "add containers to", "PATCH", f"{PODS}/db/ephemeralcontainers", LABEL),
    Right("namespaces", "list", "GET", "/api/v1/namespaces", operator=True),
    Right(
        "namespaces",
        "watch",
        "GET",
        "/api/v1/namespaces?watch=true&timeoutSeconds=1",
        operator=True,
    ),
    Right("namespaces", "change", "PATCH", "/api/v1/namespaces/default", LABEL),
    Right("nodes", "get", "GET", "/api/v1/nodes/numa-0", agent=True),
    Right("nodes", "list", "GET", "/api/v1/nodes"),
    Right("nodes", "change", "PATCH", "/api/v1/nodes/numa-0", LABEL),
    Right("nodes", "change the status of", "PATCH", "/api/v1/nodes/numa-0/status", LABEL),
    Right(
        "nodes",
        "create",
        "POST",
        "/api/v1/nodes",
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"}},
    ),
    Right("nodes", "delete", "DELETE", "/api/v1/nodes/numa-0"),
    Right("nodes", "reach the kubelet of", "GET", "/api/v1/nodes/numa-0/proxy/configz"),
    Right("Events", "create", "POST", "/api/v1/namespaces/default/events", EVENT, operator=True),
    Right("Events", "list", "GET", "/api/v1/events"),
    Right("Events", "change", "PATCH", "/api/v1/namespaces/default/events/x", LABEL),
    Right("Events", "list (events.k8s.io)", "GET", "/apis/events.k8s.io/v1/events"),
    Right(
        "Events",
        "create (events.k8s.io)",
        "POST",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        {"apiVersion": "events.k8s.io/v1", "kind": "Event"},
    ),
    Right("NumaPolicies", "list", "GET", f"{OWN}/numapolicies", operator=True),
    Right(
        "NumaPolicies",
        "change the status of",
        "PATCH",
        f"{OWN}/numapolicies/databases/status",
        {"status": {"matched": 3}},
        operator=True,
    ),
    Right("NumaPolicies", "create", "POST", f"{OWN}/numapolicies", example("NumaPolicy")),
    Right("NumaPolicies", "change", "PATCH", f"{OWN}/numapolicies/databases", LABEL),
    Right("NumaPolicies", "delete", "DELETE", f"{OWN}/numapolicies/databases"),
    Right("NumaPins", "list", "GET", f"{OWN}/numapins", **BOTH),
    _apply("NumaPins", "create", f"{PINS}/new", pin("new", node="numa-0"), operator=True),
    _apply("NumaPins", "change", f"{PINS}/db", pin("db", node="numa-0"), operator=True),
    Right("NumaPins", "delete", "DELETE", f"{PINS}/spare", operator=True),
    Right("NumaPins", "get", "GET", f"{PINS}/db"),
    Right("NumaPins", "delete all", "DELETE", PINS),
    _apply(
        "NumaPins of its own node",
        "change the status of",
        f"{PINS}/db/status",
        {**OBSERVED, "metadata": {"name": "db"}},
        **BOTH,
    ),
    _apply(
        "NumaPins of other nodes",
        "change the status of",
        f"{PINS}/other/status",
        {**OBSERVED, "metadata": {"name": "other"}},
        operator=True,
    ),
    Right("NumaTraces", "list", "GET", f"{OWN}/numatraces", **BOTH),
    Right("NumaTraces", "create", "POST", TRACES, trace("new", node="numa-0")),
    Right("NumaTraces", "change", "PATCH", f"{TRACES}/db", LABEL),
    Right("NumaTraces", "get", "GET", f"{TRACES}/db"),
    Right("NumaTraces", "delete", "DELETE", f"{TRACES}/spare", operator=True),
    _apply(
        "NumaTraces of its own node",
        "change the status of",
        f"{TRACES}/db/status",
        running("db"),
        agent=True,
    ),
    _apply(
        "NumaTraces of other nodes",
        "change the status of",
        f"{TRACES}/other/status",
        running("other"),
    ),
    Right("NumaNodes", "list", "GET", f"{OWN}/numanodes", operator=True),
    Right("NumaNodes", "delete", "DELETE", f"{OWN}/numanodes/numa-1"),
    Right("NumaNodes", "delete all", "DELETE", f"{OWN}/numanodes"),
    _apply(
        "its own NumaNode", "create", f"{OWN}/numanodes/numa-0", numa_node("numa-0"), agent=True
    ),
    Right("its own NumaNode", "get", "GET", f"{OWN}/numanodes/numa-0", agent=True),
    _apply(
        "its own NumaNode",
        "change the status of",
        f"{OWN}/numanodes/numa-0/status",
        {**numa_node("numa-0"), "status": {"agentVersion": "0.1.0"}},
        agent=True,
    ),
    _apply("other nodes' NumaNodes", "create", f"{OWN}/numanodes/numa-2", numa_node("numa-2")),
    Right("other nodes' NumaNodes", "change", "PATCH", f"{OWN}/numanodes/numa-1", LABEL),
    Right(
        "other nodes' NumaNodes",
        "change the status of",
        "PATCH",
        f"{OWN}/numanodes/numa-1/status",
        {"status": {"agentVersion": "0"}},
    ),
    Right("Secrets", "list", "GET", "/api/v1/secrets"),
    Right("Secrets", "list in its own namespace", "GET", f"{HERE}/secrets"),
    Right("Secrets", "get", "GET", f"{SECRETS}/x"),
    Right("Secrets", "create", "POST", SECRETS, SECRET),
    Right("Secrets", "change", "PATCH", f"{SECRETS}/x", LABEL),
    Right("Secrets", "replace", "PUT", f"{SECRETS}/x", SECRET),
    Right("Secrets", "delete", "DELETE", f"{SECRETS}/x"),
    Right("ConfigMaps", "list", "GET", f"{HERE}/configmaps"),
    Right("ConfigMaps", "change", "PATCH", f"{HERE}/configmaps/numapin-operator", LABEL),
    Right("Leases", "list", "GET", "/apis/coordination.k8s.io/v1/leases"),
    *(
        Right(
            "tokens of service accounts",
            f"make one of the {part}",
            "POST",
            f"{HERE}/serviceaccounts/numapin-{part}/token",
            {"spec": {}},
        )
        for part in ("agent", "operator")
    ),
    Right("roles", "list", "GET", f"{RBAC}/clusterroles"),
    Right("roles", "bind", "POST", f"{RBAC}/clusterrolebindings", BINDING),
    Right("roles", "change", "PATCH", f"{RBAC}/clusterroles/numapin-agent", LABEL),
    Right(
        "roles", "change the operator's", "PATCH", f"{RBAC}/clusterroles/numapin-operator", LABEL
    ),
    Right(
        "workloads of the release",
        "change the DaemonSet",
        "PATCH",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/numapin-agent",
        LABEL,
    ),
    Right(
        "workloads of the release",
        "change the Deployment",
        "PATCH",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/numapin-operator",
        LABEL,
    ),
    Right(
        "admission policies",
        "delete",
        "DELETE",
        f"{ADMISSION}/validatingadmissionpolicies/numapin-agent",
    ),
    Right(
        "admission policies",
        "unbind",
        "DELETE",
        f"{ADMISSION}/validatingadmissionpolicybindings/numapin-agent",
    ),
    Right(
        "CustomResourceDefinitions",
        "list",
        "GET",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ),
    Right(
        "CustomResourceDefinitions",
        "change",
        "PATCH",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/numapins.numapin.io",
        LABEL,
    ),
]


def table() -> Iterator[str]:
    """The lines of the table in docs/security.md."""
    yield "| of | requests | operator | agent |"
    yield "|---|---|---|---|"
    rows = groupby(RIGHTS, key=lambda r: (r.of, r.operator, r.agent))
    for (of, operator, agent), group in rows:
        verbs = ", ".join(r.verb for r in group)
        yield f"| {of} | {verbs} | {_answer(operator)} | {_answer(agent)} |"


def _answer(may: bool) -> str:
    return "**yes**" if may else "no"
