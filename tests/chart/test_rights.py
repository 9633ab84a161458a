"""The chart's rights, tried with real requests by the tokens that the pods get."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient, ApiException
from support.install import Installed
from support.objects import example
from support.resources import APPLY, Resources, request
from support.rights import (
    OBSERVED,
    OWN,
    PINS,
    RIGHTS,
    TRACES,
    Right,
    numa_node,
    pin,
    running,
    table,
    trace,
)
from support.wait import until

from numapin_api.names import AGENT_MANAGER

pytestmark = pytest.mark.integration

DOCS = Path(__file__).parents[2] / "docs/security.md"


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
    for name, node in (("db", "numa-0"), ("spare", "numa-0"), ("other", "numa-1")):
        pins.create(pin(name, node=node))
    traces = Resources(admin, "numatraces", "default")
    for name, node in (("db", "numa-0"), ("spare", "numa-0"), ("other", "numa-1")):
        traces.create(trace(name, node=node))
    Resources(admin, "numapolicies").create(example("NumaPolicy"))
    nodes = Resources(admin, "numanodes")
    nodes.create(numa_node("numa-1"))
    until(lambda: "may not write" in answer(installed, *ELSEWHERE[0]), what="the admission policy")
    return installed


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


def refusal(client: ApiClient, right: Right) -> str:
    """Sends the request; why the API server refuses it, or nothing if it does not.

    Any other answer than 403 means that it was let through to what it asks for.
    """
    path, _, query = right.path.partition("?")
    asked = dict(part.split("=") for part in query.split("&") if part)
    if right.content == APPLY:
        asked |= {"fieldManager": AGENT_MANAGER, "force": "true"}
    try:
        request(client, right.method, path, right.body, content=right.media_type, **asked)
    except ApiException as error:
        if error.status != 403:
            raise
        return str(error.body)
    except ValueError:
        # A watch: not one JSON value, but answered.
        return ""
    return ""


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_agent(agent: ApiClient, right: Right):
    told = refusal(agent, right)
    assert ("numapin-agent" in told or "agent on node" in told) is not right.agent, told


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_operator(operator: ApiClient, right: Right):
    assert ("numapin-operator" in refusal(operator, right)) is not right.operator


def test_each_row_is_one_of_its_own():
    assert len({(r.of, r.verb) for r in RIGHTS}) == len(RIGHTS)


def test_documented_table_is_the_tested_one():
    assert "\n".join(table()) in DOCS.read_text()


# RBAC can't tell nodes apart: the admission policy does.

HERS = {**OBSERVED, "metadata": {"name": "other"}}
HIS = {**OBSERVED, "metadata": {"name": "db"}}
ELSEWHERE = [
    ("numa-0", f"{OWN}/numanodes/numa-2", numa_node("numa-2")),
    ("numa-0", f"{OWN}/numanodes/numa-1", numa_node("numa-1")),
    (
        "numa-0",
        f"{OWN}/numanodes/numa-1/status",
        {**numa_node("numa-1"), "status": {"agentVersion": "0"}},
    ),
    ("numa-0", f"{PINS}/other/status", HERS),
    ("numa-1", f"{PINS}/db/status", HIS),
    ("numa-0", f"{TRACES}/other/status", running("other")),
    (None, f"{TRACES}/db/status", running("db")),
    # The spec that is sent along with a status is not what counts.
    ("numa-0", f"{PINS}/other/status", {**HERS, "spec": pin("other", node="numa-0")["spec"]}),
    # A token that names no node, as a stolen or hand-made one would.
    (None, f"{PINS}/db/status", HIS),
    (None, f"{OWN}/numanodes/numa-0", numa_node("numa-0")),
]


def answer(cluster: Installed, node: str | None, path: str, body: dict[str, object]) -> str:
    """Has an agent apply that without effect; the API server's words if it refuses."""
    with cluster.account("agent", node=node) as client:
        try:
            request(
                client,
                "PATCH",
                path,
                {**body, "metadata": {**body["metadata"], "labels": {"tried": "yes"}}},
                content=APPLY,
                fieldManager=AGENT_MANAGER,
                force="true",
                dryRun="All",
            )
        except ApiException as error:
            assert error.status == 403  # noqa: PT017 - the answer is read below
            return str(error.body)
    return ""


@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: f"{row[0]} {row[1]}")
def test_agent_of_another_node_is_refused(cluster: Installed, row):
    told = answer(cluster, *row)
    assert "may not write" in told
    assert f'the agent on node \\"{row[0] or ""}\\"' in told


@pytest.mark.parametrize("node", ["numa-0", "numa-1"])
def test_each_of_two_agents_may_write_its_own(cluster: Installed, node: str):
    name = {"numa-0": "db", "numa-1": "other"}[node]
    assert answer(cluster, node, f"{OWN}/numanodes/{node}", numa_node(node)) == ""
    body = {**OBSERVED, "metadata": {"name": name}}
    assert answer(cluster, node, f"{PINS}/{name}/status", body) == ""
    assert answer(cluster, node, f"{TRACES}/{name}/status", running(name)) == ""


def test_admission_policy_is_about_agents_only(cluster: Installed, operator: ApiClient):
    for client in (cluster.admin, operator):
        Resources(client, "numapins", "default").merge(
            "other", {"status": {"verdict": "Pending"}}, status=True
        )


def test_no_role_of_users_gets_more(cluster: Installed):
    """No ClusterRole of ours is added to view, edit or admin."""
    roles = Resources(cluster.admin, "clusterroles", base="/apis/rbac.authorization.k8s.io/v1")
    ours = [r for r in roles.list() if "numapin" in r["metadata"]["name"]]
    assert ours
    for role in ours:
        labels = role["metadata"].get("labels", {})
        assert [x for x in labels if x.startswith("rbac.authorization.k8s.io/aggregate")] == []
