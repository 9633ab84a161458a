"""Finds who is to be asked: the node, the namespace for the NumaTrace, and whether one answers.

What can be said before anything is made is said here, rather than after a minute without an
answer. Agents are looked for as far as the user may: a tenant can trace a pod without seeing
them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numapin_api.errors import ApiError
from numapin_api.trace import NumaTrace
from numapin_cli.answers import INSTALL
from numapin_cli.failures import ForbiddenError
from numapin_cli.kube import AGENT_SELECTOR
from numapin_cli.live.agents import choose, ready
from numapin_cli.tracing.rights import advice
from numapin_cli.tracing.spec import OfNode, OfPod

Json = Mapping[str, Any]


class Objects(Protocol):
    """What is read of a cluster; ``Cluster`` is one such. Each raises ApiError."""

    namespace: str

    def kinds(self) -> Collection[str]:
        """Plurals of numapin's kinds that there are."""

    def pod(self, namespace: str, name: str) -> Json | None:
        """One pod."""

    def agent_pods(self, namespace: str | None = None) -> list[Json]:
        """The agent's pods."""


@dataclass(frozen=True, slots=True)
class Place:
    """Who is asked, and where.

    Attributes:
        node: whose agent is asked.
        namespace: that the NumaTrace is made in.
        pod: that it is about; None is the whole node.
    """

    node: str
    namespace: str
    pod: str | None = None

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.pod} on {self.node}" if self.pod else self.node


def find(cluster: Objects, whom: OfPod | OfNode) -> Place:
    """Find who is to be asked.

    Args:
        cluster: where.
        whom: what the user said.

    Raises:
        ApiError: nobody can answer; says what to do.
    """
    kinds = cluster.kinds()
    if NumaTrace.PLURAL not in kinds:
        raise ApiError(
            "the numapin of this cluster is too old to be asked (it has no NumaTraces): "
            "upgrade its chart"
            if kinds
            else INSTALL
        )
    if isinstance(whom, OfNode):
        return Place(whom.name, _of_numapin(cluster, whom))
    namespace = whom.namespace or cluster.namespace
    try:
        pod = cluster.pod(namespace, whom.name)
    except ForbiddenError as error:
        raise ForbiddenError(advice(str(error), namespace=namespace)) from error
    node = node_of(pod, namespace=namespace, name=whom.name)
    try:
        agents = cluster.agent_pods()
    except ForbiddenError:
        return Place(node, namespace, whom.name)
    answering(agents, node)
    return Place(node, namespace, whom.name)


def _of_numapin(cluster: Objects, whom: OfNode) -> str:
    try:
        agents = cluster.agent_pods(whom.namespace)
    except ForbiddenError as error:
        if whom.namespace is not None:
            return whom.namespace
        raise ForbiddenError(
            f"numapin's namespace can't be looked for: {error}; name it with --numapin-namespace"
        ) from error
    return answering(agents, whom.name)


def node_of(pod: Json | None, *, namespace: str, name: str) -> str:
    """The node that a pod runs on. Pure.

    Args:
        pod: as the API server sent it; None if there is none.
        namespace: that it was looked for in.
        name: of the pod.

    Raises:
        ApiError: it runs on none.
    """
    if pod is None:
        raise ApiError(
            f"there is no pod {name} in namespace {namespace}: kubectl get pods -n {namespace}"
        )
    node = (pod.get("spec") or {}).get("nodeName")
    phase = (pod.get("status") or {}).get("phase") or "Pending"
    look = f"kubectl describe pod {name} -n {namespace} says why"
    if not node:
        raise ApiError(f"pod {namespace}/{name} has no node yet: {look}")
    if phase == "Pending":
        raise ApiError(f"pod {namespace}/{name} does not run yet on {node}: {look}")
    if phase in {"Succeeded", "Failed"}:
        raise ApiError(f"pod {namespace}/{name} runs no more ({phase}): name one that does")
    return str(node)


def answering(agents: Collection[Json], node: str) -> str:
    """The namespace of the agent that is ready on a node. Pure.

    Args:
        agents: the agent's pods.
        node: that is to be asked.

    Raises:
        ApiError: none is ready there.
    """
    if not agents:
        raise ApiError(
            f"no agent of numapin is found (pods labelled {AGENT_SELECTOR}): look at its "
            "DaemonSet, kubectl get daemonsets -A -l app.kubernetes.io/name=numapin"
        )
    chosen = choose(agents, nodes={node})
    if node in chosen.problems:
        raise ApiError(f"{node} can't be asked: {chosen.problems[node]}")
    agent = chosen.agents[0]
    pods = {(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in agents}
    if not ready(pods[agent.namespace, agent.name]):
        raise ApiError(
            f"{node} can't be asked: its agent is not ready: "
            f"kubectl describe pod {agent.name} -n {agent.namespace}"
        )
    return agent.namespace
