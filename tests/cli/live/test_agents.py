"""Whom to ask, and what is said of those who can't be, or do not answer."""

import re

import pytest

from numapin_api.errors import ApiError
from numapin_cli.failures import ForbiddenError, NotFoundError, UnavailableError
from numapin_cli.live.agents import AgentPod, Chosen, choose
from numapin_cli.live.gather import MOST_NODES, Scope, agents, gather


def agent(node: str, name: str = "agent", *, ready: bool = True, **change: object) -> dict:
    phase = change.pop("phase", "Running")
    return {
        "metadata": {"name": name, "namespace": "numapin-system", **change},
        "spec": {
            "nodeName": node,
            "containers": [
                {"ports": [{"name": "other", "containerPort": 1}]},
                {"ports": [{"name": "metrics", "containerPort": 9500}]},
            ],
        },
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def test_all_nodes_that_have_one():
    found = choose([agent("b"), agent("a"), {"spec": {}}], nodes=None)
    assert found == Chosen(tuple(AgentPod(n, "numapin-system", "agent", 9500) for n in "ab"), {})


def test_only_the_nodes_that_are_meant_and_what_is_wrong_with_the_others():
    pods = [
        agent("a"),
        agent("going", deletionTimestamp="2026-11-25T08:00:00Z"),
        agent("waiting", phase="Pending"),
    ]
    found = choose(pods, nodes={"a", "going", "waiting", "typo"})
    assert [a.node for a in found.agents] == ["a"]
    assert "no agent runs there; numapin nodes" in found.problems["typo"]
    assert found.problems["going"].startswith(
        "its agent is terminating: kubectl describe pod agent"
    )
    assert found.problems["waiting"].startswith("its agent is Pending: kubectl describe")


def test_of_two_agents_on_a_node_the_one_that_is_ready():
    old = agent("a", "old", ready=False, creationTimestamp="2026-11-25T08:00:00Z")
    new = agent("a", "new", creationTimestamp="2026-11-25T09:00:00Z")
    late = agent("a", "late", ready=False, creationTimestamp="2026-11-25T10:00:00Z")
    assert [a.name for a in choose([old, new, late], nodes=None).agents] == ["new"]


def test_an_agent_whose_port_has_no_name():
    pod = agent("a")
    pod["spec"]["containers"] = [{}]
    assert choose([pod], nodes=None).agents[0].port == 9465


class Cluster:
    """Of so many nodes with an agent each; the pods of a namespace are on the first."""

    namespace = "default"

    def __init__(self, nodes: int, *, installed: bool = True) -> None:
        self.names = [f"n{i:03d}" for i in range(nodes)]
        self._installed = installed

    def installed(self) -> bool:
        return self._installed

    def agent_pods(self):
        return [agent(n) for n in self.names]

    def pods(self, namespace, *, node=None):
        return [{"spec": {"nodeName": self.names[0]}}, {"spec": {}}] if namespace == "shop" else []


@pytest.mark.parametrize(
    ("scope", "asked"),
    [
        (Scope(), MOST_NODES),
        (Scope(everywhere=True), MOST_NODES),
        (Scope(nodes=("n001", "n003")), 2),
        (Scope(namespace="shop"), 1),
        (Scope(namespace="shop", nodes=("n000", "n001")), 1),
    ],
)
def test_only_the_nodes_that_were_asked_for(scope, asked):
    assert len(agents(Cluster(MOST_NODES), scope).agents) == asked


@pytest.mark.parametrize(
    ("cluster", "scope", "said"),
    [
        (Cluster(MOST_NODES + 1), Scope(), "65 nodes would be asked.*--node.*-n.*--all-nodes"),
        (Cluster(3), Scope(namespace="none"), "no pod of namespace none runs$"),
        (Cluster(3), Scope(namespace="shop", nodes=("n001",)), "shop runs on node n001"),
        (Cluster(0), Scope(), "no agent of numapin runs.*kubectl get daemonsets"),
        (Cluster(0, installed=False), Scope(), "not installed.*charts/numapin"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_what_to_do(cluster, scope, said):
    with pytest.raises(ApiError, match=said):
        agents(cluster, scope)


def test_many_nodes_if_they_are_meant():
    everywhere = agents(Cluster(MOST_NODES + 1), Scope(everywhere=True))
    assert len(everywhere.agents) == MOST_NODES + 1


POD = AgentPod("a", "numapin-system", "agent-x", 9465)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ForbiddenError("not allowed: x"), "the right to get pods/proxy, or .* in numapin-system"),
        (NotFoundError("x"), "just been replaced"),
        (
            UnavailableError("x"),
            "is the agent up. kubectl logs agent-x -n numapin-system",
        ),
        (ApiError("the API server does not accept these credentials"), "credentials$"),
        (ValueError("no number"), "agent-x answers at port 9465 is no metrics of an agent: no num"),
    ],
)
def test_a_node_that_does_not_answer_is_named_and_the_others_are_shown(error, hint):
    good = AgentPod("b", "numapin-system", "agent-y", 9465)

    def scrape(whom: AgentPod) -> str:
        if whom.node == "a":
            raise error
        return ""

    found = gather(Chosen((POD, good), {"c": "no agent"}), scrape)
    assert found.readings.keys() == {"b"}
    assert found.problems.keys() == {"a", "c"}
    assert re.search(hint, found.problems["a"])


def test_a_bug_is_not_taken_for_a_node_that_does_not_answer():
    def scrape(_: AgentPod) -> str:
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        gather(Chosen((POD,), {}), scrape)
