"""Which agents to ask: one for each node that is meant, and what is said of those without.

Pure: from pods as the API server sends them. It asks nobody.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

DEFAULT_PORT: Final = 9465
_PORT_NAME: Final = "metrics"


@dataclass(frozen=True, slots=True, order=True)
class AgentPod:
    """Where an agent answers.

    Attributes:
        node: that it runs on.
        namespace: of its pod.
        name: of its pod.
        port: of its metrics.
    """

    node: str
    namespace: str
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whom to ask.

    Attributes:
        agents: by node.
        problems: node → why it can't be asked, and what to do next.
    """

    agents: tuple[AgentPod, ...]
    problems: Mapping[str, str]


def choose(pods: Iterable[Json], *, nodes: Collection[str] | None) -> Chosen:
    """One agent a node.

    Args:
        pods: of agents, in all namespaces.
        nodes: that are meant; None for all that have an agent.
    """
    found: dict[str, list[Json]] = {}
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName")
        if node:
            found.setdefault(node, []).append(pod)
    agents, problems = [], {}
    for node in sorted(found if nodes is None else nodes):
        running = [p for p in found.get(node, ()) if _running(p)]
        if running:
            # While a DaemonSet is rolled out, a node may have two.
            agents.append(_agent(node, max(running, key=_preference)))
        else:
            problems[node] = _none(found.get(node, ()))
    return Chosen(tuple(agents), problems)


def _running(pod: Json) -> bool:
    status = pod.get("status") or {}
    return status.get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")


def ready(pod: Json) -> bool:
    """Whether a pod says that it is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _preference(pod: Json) -> tuple[bool, str]:
    return ready(pod), pod["metadata"].get("creationTimestamp") or ""


def _agent(node: str, pod: Json) -> AgentPod:
    meta = pod["metadata"]
    ports = (p for c in pod["spec"].get("containers") or () for p in c.get("ports") or ())
    port = next((p["containerPort"] for p in ports if p.get("name") == _PORT_NAME), DEFAULT_PORT)
    return AgentPod(node, meta["namespace"], meta["name"], port)


def _none(pods: Collection[Json]) -> str:
    if not pods:
        return (
            "no agent runs there; numapin nodes lists the nodes that have one, agent.nodeSelector "
            "and agent.tolerations of the chart say where they run"
        )
    pod = min(pods, key=lambda p: str(p["metadata"]["name"]))
    meta, phase = pod["metadata"], (pod.get("status") or {}).get("phase") or "Unknown"
    state = "terminating" if meta.get("deletionTimestamp") else phase
    return f"its agent is {state}: kubectl describe pod {meta['name']} -n {meta['namespace']}"
