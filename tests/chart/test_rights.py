"""The chart's rights, tried with real requests by the tokens that the pods get."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from kubernetes.client import ApiClient, ApiException
from support.chart import NAMESPACE
from support.install import Installed
from support.objects import example
from support.resources import APPLY, MERGE, Resources, request
from support.wait import until

from numapin_api import names
from numapin_api.names import AGENT_MANAGER, OPERATOR_MANAGER

pytestmark = pytest.mark.integration

OWN = f"/apis/{names.API_VERSION}"
PINS = f"{OWN}/namespaces/default/numapins"
PODS = "/api/v1/namespaces/default/pods"
HERE = f"/api/v1/namespaces/{NAMESPACE}"
LABEL = {"metadata": {"labels": {"touched": "yes"}}}


def pin(name: str, *, node: str) -> dict[str, object]:
    found = example("NumaPin")
    found["metadata"] = {"name": name, "namespace": "default"}
    found["spec"]["nodeName"] = node
    return {k: v for k, v in found.items() if k != "status"}


@pytest.fixture(scope="module")
def cluster(installed: Installed) -> Installed:
    admin = installed.admin
    # A controller would make it.
    Resources(admin, "serviceaccounts", "default", base="/api/v1").create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    )
    Resources(admin, "pods", "default", base="/api/v1").create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "db"},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": "db", "image": "none"}],
            },
        }
    )
    pins = Resources(admin, "numapins", "default")
    for name, node in (("db", "numa-0"), ("other", "numa-1")):
        pins.create(pin(name, node=node))
    Resources(admin, "numapolicies").create(example("NumaPolicy"))
    nodes = Resources(admin, "numanodes")
    nodes.create(numa_node("numa-1"))
    return installed


def numa_node(name: str) -> dict[str, object]:
    return {"apiVersion": names.API_VERSION, "kind": "NumaNode", "metadata": {"name": name}}


@pytest.fixture(scope="module")
def agent(cluster: Installed) -> Iterator[ApiClient]:
    """The token of the agent's pod on numa-0."""
    with cluster.account("agent", node="numa-0") as client:
        yield client


@pytest.fixture(scope="module")
def operator(cluster: Installed) -> Iterator[ApiClient]:
    """The token of the operator's pod."""
    with cluster.account("operator", node="numa-1") as client:
        yield client


NEVER = [
    # Nobody writes pods, or gets at what they hold.
    ("PATCH", f"{PODS}/db", LABEL),
    ("PATCH", f"{PODS}/db/status", LABEL),
    ("DELETE", f"{PODS}/db", None),
    ("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}),
    ("POST", f"{PODS}/db/exec?command=sh&stdout=true", None),
    ("GET", f"{PODS}/db/log", None),
    ("POST", f"{PODS}/db/eviction", {"apiVersion": "policy/v1", "kind": "Eviction"}),
    ("POST", f"{PODS}/db/binding", {"apiVersion": "v1", "kind": "Binding"}),
    ("PATCH", f"{PODS}/db/resize", LABEL),
    # Nor nodes.
    ("PATCH", "/api/v1/nodes/numa-0", LABEL),
    ("PATCH", "/api/v1/nodes/numa-0/status", LABEL),
    ("DELETE", "/api/v1/nodes/numa-0", None),
    ("GET", "/api/v1/nodes/numa-0/proxy/configz", None),
    # Nor anything secret, or a way to more rights.
    ("GET", "/api/v1/secrets", None),
    ("GET", f"{HERE}/secrets", None),
    ("GET", f"{HERE}/configmaps", None),
    ("PATCH", f"{HERE}/configmaps/numapin-operator", LABEL),
    ("POST", f"{HERE}/serviceaccounts/numapin-agent/token", {"spec": {}}),
    ("POST", f"{HERE}/serviceaccounts/numapin-operator/token", {"spec": {}}),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", None),
    ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/numapin-agent", LABEL),
    ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/numapin-operator", LABEL),
    ("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/numapin-agent", LABEL),
    ("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/numapin-operator", LABEL),
    (
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/numapin-agent",
        None,
    ),
    (
        "PATCH",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/numapins.numapin.io",
        LABEL,
    ),
    ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", None),
    ("GET", "/apis/coordination.k8s.io/v1/leases", None),
    # Policies are the user's.
    ("PATCH", f"{OWN}/numapolicies/databases", LABEL),
    ("POST", f"{OWN}/numapolicies", example("NumaPolicy")),
    ("DELETE", f"{OWN}/numapolicies/databases", None),
    ("DELETE", f"{OWN}/numanodes/numa-1", None),
    ("DELETE", f"{OWN}/numanodes", None),
]

NEVER_AGENT = [
    ("POST", PINS, pin("new", node="numa-0")),
    ("PATCH", f"{PINS}/db", {"spec": {"socket": 0}}),
    ("DELETE", f"{PINS}/db", None),
    ("DELETE", PINS, None),
    ("GET", f"{OWN}/numapolicies", None),
    ("PATCH", f"{OWN}/numapolicies/databases/status", {"status": {"matched": 1}}),
    ("GET", f"{OWN}/numanodes", None),
    ("GET", "/api/v1/nodes", None),
    ("GET", "/api/v1/namespaces", None),
    ("POST", "/api/v1/namespaces/default/events", {"apiVersion": "v1", "kind": "Event"}),
    ("GET", "/apis/events.k8s.io/v1/events", None),
]

NEVER_OPERATOR = [
    ("GET", "/api/v1/nodes", None),
    ("GET", f"{PODS}/db", None),
    ("POST", f"{OWN}/numanodes", numa_node("numa-0")),
    ("PATCH", f"{OWN}/numanodes/numa-1", LABEL),
    ("PATCH", f"{OWN}/numanodes/numa-1/status", {"status": {"agentVersion": "0"}}),
    ("DELETE", PINS, None),
    ("GET", "/api/v1/events", None),
]


def named(row: tuple[str, str, object]) -> str:
    method, path, _ = row
    return f"{method} {path}"


def refused(kube: ApiClient, row: tuple[str, str, object]) -> str:
    """Sends the request; what the API server answers is its reason to refuse."""
    method, path, body = row
    path, _, query = path.partition("?")
    content = MERGE if method == "PATCH" else "application/json"
    with pytest.raises(ApiException) as caught:
        request(
            kube,
            method,
            path,
            body,
            content=content,
            **dict(part.split("=") for part in query.split("&") if part),
        )
    assert caught.value.status == 403, caught.value.body
    return str(caught.value.body)


@pytest.mark.parametrize("row", NEVER + NEVER_AGENT, ids=named)
def test_agent_may_not(agent: ApiClient, row):
    assert "numapin-agent" in refused(agent, row)


@pytest.mark.parametrize("row", NEVER + NEVER_OPERATOR, ids=named)
def test_operator_may_not(operator: ApiClient, row):
    assert "numapin-operator" in refused(operator, row)


def event(version: str, **fields: object) -> dict[str, object]:
    return {
        "apiVersion": version,
        "kind": "Event",
        "metadata": {"generateName": "db-"},
        "type": "Warning",
        "reason": "Drifted",
        **fields,
    }


OBSERVED = {
    "apiVersion": names.API_VERSION,
    "kind": "NumaPin",
    "status": {"observed": {"generation": 1, "phase": "Waiting"}},
}


def test_agent_may_do_its_work(agent: ApiClient):
    for path in ("/api/v1/pods", PODS):
        request(agent, "GET", path, fieldSelector="spec.nodeName=numa-0")
    request(agent, "GET", f"{OWN}/numapins", fieldSelector="spec.nodeName=numa-0")
    request(agent, "GET", f"{PINS}/db")
    request(agent, "GET", "/api/v1/nodes/numa-0")
    pins = Resources(agent, "numapins", "default")
    pins.apply("db", {**OBSERVED, "metadata": {"name": "db"}}, manager=AGENT_MANAGER, status=True)
    nodes = Resources(agent, "numanodes")
    nodes.apply("numa-0", numa_node("numa-0"), manager=AGENT_MANAGER)
    nodes.apply(
        "numa-0",
        {**numa_node("numa-0"), "status": {"agentVersion": "0.1.0"}},
        manager=AGENT_MANAGER,
        status=True,
    )
    assert nodes.get("numa-0")["status"] == {"agentVersion": "0.1.0"}
    request(
        agent,
        "POST",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        event(
            "events.k8s.io/v1",
            eventTime=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            action="Pinning",
            reportingController="numapin.io/agent",
            reportingInstance="numa-0",
            regarding={"kind": "Pod", "name": "db", "namespace": "default"},
        ),
    )


def test_operator_may_do_its_work(operator: ApiClient):
    for path in ("/api/v1/pods", "/api/v1/namespaces"):
        request(operator, "GET", path)
    for kind in ("numapins", "numanodes", "numapolicies"):
        request(operator, "GET", f"{OWN}/{kind}")
    pins = Resources(operator, "numapins", "default")
    pins.apply("made", pin("made", node="numa-0"), manager=OPERATOR_MANAGER)
    head = {k: v for k, v in pin("made", node="numa-0").items() if k != "spec"}
    status = {"verdict": "Pending", "conditions": []}
    pins.apply("made", {**head, "status": status}, manager=OPERATOR_MANAGER, status=True)
    request(operator, "DELETE", f"{PINS}/made")
    Resources(operator, "numapolicies").merge("databases", {"status": {"matched": 3}}, status=True)
    request(
        operator,
        "POST",
        "/api/v1/namespaces/default/events",
        event(
            "v1", involvedObject={"kind": "Pod", "name": "db", "namespace": "default"}, message=""
        ),
    )


# RBAC can't tell nodes apart: the admission policy does.

ELSEWHERE = [
    ("numa-0", "create", f"{OWN}/numanodes/numa-2", numa_node("numa-2")),
    ("numa-0", "change", f"{OWN}/numanodes/numa-1", numa_node("numa-1")),
    (
        "numa-0",
        "status",
        f"{OWN}/numanodes/numa-1/status",
        {**numa_node("numa-1"), "status": {"agentVersion": "0"}},
    ),
    ("numa-0", "pin", f"{PINS}/other/status", {**OBSERVED, "metadata": {"name": "other"}}),
    ("numa-1", "pin", f"{PINS}/db/status", {**OBSERVED, "metadata": {"name": "db"}}),
    # A token that names no node, as a stolen or hand-made one would.
    (None, "pin", f"{PINS}/db/status", {**OBSERVED, "metadata": {"name": "db"}}),
]


@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: f"{row[0]} {row[1]} {row[2]}")
def test_agent_of_another_node_is_refused(cluster: Installed, row):
    node, _, path, body = row

    def answer() -> str:
        with cluster.account("agent", node=node) as client:
            try:
                request(
                    client,
                    "PATCH",
                    path,
                    {**body, "metadata": {**body["metadata"], "labels": {"tried": "yes"}}},
                    content=APPLY,
                    fieldManager=AGENT_MANAGER,
                    dryRun="All",
                )
            except ApiException as error:
                assert error.status == 403  # noqa: PT017 - the answer is read below
                return str(error.body)
        return ""

    # The API server compiles a new admission policy in its own time.
    told = until(answer, what="the admission policy to be in force")
    assert "may not write" in told
    assert f'the agent on node \\"{node or ""}\\"' in told


def test_admission_policy_is_about_agents_only(cluster: Installed, operator: ApiClient):
    for client in (cluster.admin, operator):
        Resources(client, "numapins", "default").merge(
            "other", {"status": {"verdict": "Pending"}}, status=True
        )
