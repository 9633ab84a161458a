"""Asks a cluster what the doctor wants to know; what may not be asked stays unknown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from numapin_api import names
from numapin_api.crd import KINDS, crd
from numapin_api.errors import ApiError
from numapin_cli.answers import Json
from numapin_cli.doctor import tools
from numapin_cli.doctor.cluster_facts import ClusterFacts, CrdState, Workload
from numapin_cli.doctor.kubelet import KubeletFacts
from numapin_cli.failures import ForbiddenError, UnreadableError
from numapin_cli.kube import Cluster

MOST_KUBELETS: Final = 20
"""Each is asked through the API server, one after the other."""
NEEDS: Final = (
    ("list", names.GROUP, "numapins"),
    ("list", names.GROUP, "numanodes"),
    ("list", names.GROUP, "numapolicies"),
    ("list", "", "pods"),
    ("list", "", "nodes"),
    ("list", "apps", "deployments"),
    ("list", "apps", "daemonsets"),
)
"""What numapin's commands read, in all namespaces."""
_COMPONENT: Final = "app.kubernetes.io/component"
_VERSION: Final = "app.kubernetes.io/version"
_OS: Final = "kubernetes.io/os"
Answer = TypeVar("Answer")


def gather(cluster: Cluster, *, now: datetime, client_version: str) -> ClusterFacts:
    """Look at a cluster.

    Args:
        cluster: the one.
        now: wall clock.
        client_version: of this command.
    """
    try:
        server = cluster.version()
        denied = tuple(_denied(cluster))
        crds = _crds(cluster)
    except ApiError as e:
        return ClusterFacts(now=now, client_version=client_version, problem=str(e))
    if "missing" in crds.values():
        return ClusterFacts(
            now=now, client_version=client_version, server_version=server, denied=denied, crds=crds
        )
    unreadable: list[str] = []

    def ours(ask: Callable[[], Answer]) -> Answer | None:
        try:
            return _allowed(ask)
        except UnreadableError as e:
            unreadable.append(str(e))
            return None

    numa_nodes, pins = ours(cluster.numa_nodes), ours(lambda: cluster.pins(None))
    daemonsets = _allowed(cluster.daemonsets)
    nodes = _allowed(cluster.nodes)
    pods = _allowed(cluster.agent_pods)
    return ClusterFacts(
        now=now,
        client_version=client_version,
        server_version=server,
        denied=denied,
        crds=crds,
        operators=_each(_allowed(cluster.operators), _deployment),
        agents=_each(_agents(daemonsets), _daemonset),
        agent_pods=None if pods is None else agent_pods(pods),
        nodes=_each(_linux(nodes), lambda n: str(n["metadata"]["name"])),
        numa_nodes=numa_nodes,
        pins=pins,
        pods=_allowed(lambda: cluster.opted_in_pods(None)),
        tools=None if daemonsets is None else foreign(daemonsets),
        kubelets=_kubelets(cluster, nodes),
        unreadable=tuple(unreadable),
    )


def _allowed(ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except ForbiddenError:
        return None


def _each(found: Iterable[Json] | None, read: Callable[[Json], Answer]) -> Sequence[Answer] | None:
    return None if found is None else [read(o) for o in found]


def _denied(cluster: Cluster) -> Iterable[str]:
    for verb, group, resource in NEEDS:
        if not cluster.may(verb, group, resource):
            yield f"{verb} {resource}{f'.{group}' if group else ''}"


def _crds(cluster: Cluster) -> Mapping[str, CrdState]:
    wanted = {kind.name: crd(kind) for kind in KINDS}
    try:
        found = {name: cluster.definition(name) for name in wanted}
    except ForbiddenError:
        return dict.fromkeys(wanted, "unknown" if cluster.installed() else "missing")
    return {name: crd_state(wanted[name], found[name]) for name in wanted}


def crd_state(wanted: Json, found: Json | None) -> CrdState:
    """How a CRD of the cluster compares with the one that this version would install.

    Args:
        wanted: as generated here.
        found: as the API server holds it, with all that it adds; None when there is none.
    """
    if found is None:
        return "missing"
    ours, theirs = ({v["name"]: v for v in c["spec"]["versions"]} for c in (wanted, found))
    same = ours.keys() <= theirs.keys() and all(
        _holds(v["schema"], theirs[name].get("schema")) for name, v in ours.items()
    )
    return "current" if same else "differs"


def _holds(wanted: object, found: object) -> bool:
    """Whether all that is wanted is there; an empty collection may be left out on the wire."""
    if isinstance(wanted, Mapping):
        there: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        return all(_holds(v, there.get(k)) for k, v in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_holds, wanted, found))
    return wanted == found or (not wanted and not found)


def _labels(obj: Json) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _title(obj: Json) -> str:
    return f"{obj['metadata'].get('namespace')}/{obj['metadata']['name']}"


def _deployment(obj: Json) -> Workload:
    return Workload(
        name=_title(obj),
        version=_labels(obj).get(_VERSION),
        wanted=(obj.get("spec") or {}).get("replicas", 1),
        ready=(obj.get("status") or {}).get("availableReplicas") or 0,
    )


def _daemonset(obj: Json) -> Workload:
    status = obj.get("status") or {}
    return Workload(
        name=_title(obj),
        version=_labels(obj).get(_VERSION),
        wanted=status.get("desiredNumberScheduled") or 0,
        ready=status.get("numberReady") or 0,
    )


def _agents(daemonsets: Iterable[Json] | None) -> Iterable[Json] | None:
    ours = {"app.kubernetes.io/name": "numapin", _COMPONENT: "agent"}
    if daemonsets is None:
        return None
    return [d for d in daemonsets if ours.items() <= _labels(d).items()]


def foreign(daemonsets: Iterable[Json]) -> Mapping[str, str]:
    """DaemonSets of other pinning tools.

    Args:
        daemonsets: all of the cluster.

    Returns:
        namespace/name → the tool.
    """
    found = {}
    for d in daemonsets:
        containers = d["spec"]["template"]["spec"].get("containers") or ()
        tool = tools.workload(d["metadata"]["name"], [c.get("image") or "" for c in containers])
        if tool is not None:
            found[_title(d)] = tool
    return found


def agent_pods(pods: Iterable[Json]) -> Mapping[str, bool]:
    """Node → whether an agent's pod is ready there.

    Args:
        pods: of the agent; during a rollout a node may have two.
    """
    found: dict[str, bool] = {}
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName")
        conditions = (pod.get("status") or {}).get("conditions") or ()
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        if node:
            found[node] = found.get(node, False) or ready
    return found


def _linux(nodes: Iterable[Json] | None) -> Iterable[Json] | None:
    if nodes is None:
        return None
    return [n for n in nodes if _labels(n).get(_OS, "linux") == "linux"]


def _kubelets(cluster: Cluster, nodes: Iterable[Json] | None) -> Mapping[str, KubeletFacts] | None:
    """Kubelets of nodes that are Ready; None when no kubelet may be asked or answers."""
    found: dict[str, KubeletFacts] = {}
    for node in list(_ready(nodes))[:MOST_KUBELETS]:
        try:
            said = cluster.kubelet_config(node)
        except ForbiddenError:
            return None
        except ApiError:
            continue
        found[node] = KubeletFacts(
            cpu_manager=said.get("cpuManagerPolicy"),
            memory_manager=said.get("memoryManagerPolicy"),
            topology_manager=said.get("topologyManagerPolicy"),
        )
    return found or None


def _ready(nodes: Iterable[Json] | None) -> Iterable[str]:
    for node in _linux(nodes) or ():
        conditions = (node.get("status") or {}).get("conditions") or ()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            yield node["metadata"]["name"]
