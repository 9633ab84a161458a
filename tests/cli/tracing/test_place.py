"""Who is asked, and what is said when nobody can be."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from numapin_api.errors import ApiError
from numapin_cli.failures import ForbiddenError
from numapin_cli.tracing.place import Place, find
from numapin_cli.tracing.spec import OfNode, OfPod

POD = OfPod("redis-0", None)
NODE = OfNode("numa-0", None)
KINDS = frozenset({"numapins", "numatraces"})


def pod(phase: str = "Running", node: str | None = "numa-0") -> dict[str, Any]:
    return {
        "metadata": {"name": "redis-0", "namespace": "shop"},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase},
    }


def agent(node: str = "numa-0", *, phase: str = "Running", ready: str = "True") -> dict[str, Any]:
    return {
        "metadata": {"name": f"agent-{node}", "namespace": "infra"},
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
    }


@dataclass
class Fake:
    """A cluster that holds one pod and some agents, and allows what it is told to."""

    found: dict[str, Any] | None = field(default_factory=pod)
    agents: list[dict[str, Any]] = field(default_factory=lambda: [agent()])
    plurals: frozenset[str] = KINDS
    forbidden: tuple[str, ...] = ()
    namespace: str = "shop"

    def kinds(self):
        return self.plurals

    def pod(self, namespace, name):
        assert (namespace, name) == ("shop", "redis-0")
        if "pod" in self.forbidden:
            raise ForbiddenError('not allowed: User "jane" cannot get resource "pods"')
        return self.found

    def agent_pods(self, namespace=None):
        if "agents" in self.forbidden:
            raise ForbiddenError('not allowed: User "jane" cannot list resource "pods"')
        return [a for a in self.agents if namespace in {None, a["metadata"]["namespace"]}]


@pytest.mark.parametrize(
    ("cluster", "whom", "place"),
    [
        (Fake(), POD, Place("numa-0", "shop", "redis-0")),
        (Fake(namespace="bank"), OfPod("redis-0", "shop"), Place("numa-0", "shop", "redis-0")),
        (Fake(forbidden=("agents",)), POD, Place("numa-0", "shop", "redis-0")),
        (Fake(), NODE, Place("numa-0", "infra")),
        (Fake(), OfNode("numa-0", "infra"), Place("numa-0", "infra")),
        (Fake(forbidden=("agents",)), OfNode("numa-0", "infra"), Place("numa-0", "infra")),
    ],
)
def test_found(cluster, whom, place):
    assert find(cluster, whom) == place


@pytest.mark.parametrize(
    ("cluster", "whom", "said"),
    [
        (Fake(plurals=frozenset()), POD, "numapin is not installed in this cluster"),
        (Fake(plurals=frozenset({"numapins"})), POD, "too old to be asked (it has no NumaTraces)"),
        (Fake(found=None), POD, "there is no pod redis-0 in namespace shop"),
        (Fake(found=pod("Pending", None)), POD, "pod shop/redis-0 has no node yet"),
        (Fake(found=pod("Pending")), POD, "pod shop/redis-0 does not run yet on numa-0"),
        (Fake(found=pod("Succeeded")), POD, "pod shop/redis-0 runs no more (Succeeded)"),
        (Fake(forbidden=("pod",)), POD, "--clusterrole=numapin-tracer --user=jane -n shop"),
        (Fake(agents=[]), POD, "no agent of numapin is found"),
        (Fake(agents=[agent("other")]), POD, "numa-0 can't be asked: no agent runs there"),
        (
            Fake(agents=[agent(phase="Pending")]),
            POD,
            "numa-0 can't be asked: its agent is Pending: "
            "kubectl describe pod agent-numa-0 -n infra",
        ),
        (
            Fake(agents=[agent(ready="False")]),
            NODE,
            "numa-0 can't be asked: its agent is not ready: "
            "kubectl describe pod agent-numa-0 -n infra",
        ),
        (Fake(), OfNode("numa-0", "elsewhere"), "no agent of numapin is found"),
        (Fake(forbidden=("agents",)), NODE, "name it with --numapin-namespace"),
    ],
)
def test_nobody_can_be_asked(cluster, whom, said):
    with pytest.raises(ApiError) as refused:
        find(cluster, whom)
    assert said in str(refused.value)
