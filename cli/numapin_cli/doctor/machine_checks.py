"""What a cluster's nodes and their agents say, and who else decides about CPUs there. Pure.

Thousands of nodes don't make thousands of lines: what is wrong in one way is one finding,
with the first few names.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from numapin_api.node import CORROBORATING, Capabilities, NumaNode
from numapin_cli.doctor.cluster_facts import ClusterFacts
from numapin_cli.doctor.findings import Finding, Level, found, hidden, some

CGROUP_VERSION: Final = 2
"""The only one that agents write."""


def examine(facts: ClusterFacts) -> list[Finding]:
    """Every check of nodes, in the order in which people read them."""
    return [
        *_missing_agents(facts),
        *_conditions(facts),
        *_machines(facts),
        *_cpu_manager(facts),
        _tools(facts),
        *_neighbours(facts),
        *_devices(facts),
    ]


def _sockets(node: NumaNode) -> int | None:
    return len(node.status.topology.sockets) if node.status and node.status.topology else None


def _missing_agents(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.nodes is None or facts.numa_nodes is None:
        yield hidden("nodes", "nodes and NumaNodes")
        return
    known = {n.metadata.name: n for n in facts.numa_nodes}
    pods = facts.agent_pods or {}
    silent = [n for n in facts.nodes if n not in known and n not in pods]
    dead = [
        n
        for n in facts.nodes
        if pods.get(n) is False or (facts.agent_pods is not None and n in known and n not in pods)
    ]
    several = [n for n in dead if n not in known or _sockets(known[n]) != 1]
    single = [n for n in dead if n not in several]
    seen = "runs on" if facts.agent_pods is not None else "has reported from"
    if silent:
        yield found(
            "nodes",
            "warn",
            f"no agent {seen} {some(silent)}: pods there are not pinned",
            "where that is not meant, look at agent.nodeSelector, agent.affinity and "
            "agent.tolerations of the chart",
            on=some(silent),
        )
    remedy = "kubectl get pods -A -o wide -l app.kubernetes.io/component=agent; look at its log"
    if several:
        message = f"no ready agent on {some(several)}: nothing is pinned anew there"
        yield found("nodes", "fail", message, remedy, on=some(several))
    if single:
        message = f"no ready agent on {some(single)}, of one socket"
        yield found("nodes", "warn", message, remedy, on=some(single))
    if not silent and not dead:
        ready = "is ready on" if facts.agent_pods is not None else "has reported from"
        yield found("nodes", "ok", f"an agent {ready} each of {len(facts.nodes)} nodes")


def _conditions(facts: ClusterFacts) -> Iterator[Finding]:
    """NumaNodes that are not Ready, or Degraded, by reason."""
    by: dict[tuple[Level, str, str], list[tuple[str, str]]] = defaultdict(list)
    for node in facts.numa_nodes or ():
        for c in node.status.conditions if node.status else ():
            if (c.type, c.status) == ("Ready", "False"):
                level: Level = "warn" if _sockets(node) == 1 else "fail"
                by[level, "not ready", c.reason].append((node.metadata.name, c.message))
                break
            if (c.type, c.status) == ("Degraded", "True"):
                by["warn", "degraded", c.reason].append((node.metadata.name, c.message))
    for (level, how, reason), nodes in by.items():
        names = some([name for name, _ in nodes])
        yield found(
            "conditions",
            level,
            f"{names} {how} ({reason}): {nodes[0][1]}",
            f"docs/troubleshoot.md has a section {reason}",
            on=names,
        )
    if facts.numa_nodes and not by:
        yield found("conditions", "ok", f"{len(facts.numa_nodes)} NumaNodes report no problem")


def _machines(facts: ClusterFacts) -> Iterator[Finding]:
    """What the machines are, by what their agents say."""
    if not facts.numa_nodes:
        return
    several = [n for n in facts.numa_nodes if (_sockets(n) or 0) > 1]
    if several:
        said = f"{len(several)} of {len(facts.numa_nodes)} nodes have more than one socket"
        yield found("sockets", "ok", said)
    else:
        yield found(
            "sockets",
            "warn",
            "no node has more than one socket",
            "there is nothing to keep pods away from; numapin gains nothing in this cluster",
        )
    capable = [
        (n.metadata.name, n.status.capabilities)
        for n in several
        if n.status and n.status.capabilities
    ]
    off = [name for name, c in capable if not c.numa_balancing]
    if off:
        yield found(
            "numaBalancing",
            "warn",
            f"kernel.numa_balancing is off on {some(off)}: pins there can't be verified",
            "sysctl kernel.numa_balancing=1 on these nodes",
            on=some(off),
        )
    elif capable:
        yield found("numaBalancing", "ok", "on wherever there are several sockets")
    blind = [
        name
        for name, c in capable
        if any(s.level == "none" and s.name not in CORROBORATING for s in c.signals)
    ]
    if blind:
        yield found(
            "counters",
            "warn",
            f"not all kernel signals are had on {some(blind)}",
            "numapin nodes says which and why; verdicts there rest on placement",
            on=some(blind),
        )
    elif capable:
        levels = sorted(
            {s.level for _, c in capable for s in c.signals if s.name not in CORROBORATING}
        )
        yield found("counters", "ok", f"all kernel signals are had ({', '.join(levels)})")
    yield from _cgroups(capable)


def _cgroups(capable: Sequence[tuple[str, Capabilities]]) -> Iterator[Finding]:
    old = [name for name, c in capable if c.cgroup_version != CGROUP_VERSION]
    kinds = sorted({f"v{c.cgroup_version} {c.cgroup_driver}" for _, c in capable})
    said = f"cgroup version and driver: {', '.join(kinds)}"
    if old:
        yield found(
            "cgroup",
            "fail",
            f"{said}; {some(old)} without cgroup v2: nothing is pinned there",
            "boot these nodes with systemd.unified_cgroup_hierarchy=1",
            on=some(old),
        )
    elif kinds:
        yield found("cgroup", "ok", said)


def _cpu_manager(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.kubelets is None:
        yield found(
            "cpuManager",
            "unknown",
            "the kubelets' configuration can't be read (get nodes/proxy)",
            "run numapin doctor --node on a node, or ask somebody who may",
        )
        return
    static = [n for n, k in facts.kubelets.items() if k.cpu_manager == "static"]
    if static:
        yield found(
            "cpuManager",
            "warn",
            f"the kubelet's CPU manager policy is static on {some(static)}",
            "don't label Guaranteed pods with whole CPUs there: numapin stands back with Conflict",
            on=some(static),
        )
    elif facts.kubelets:
        yield found(
            "cpuManager", "ok", f"not static on any of {len(facts.kubelets)} nodes looked at"
        )


def _tools(facts: ClusterFacts) -> Finding:
    if facts.tools is None:
        return hidden("otherTools", "DaemonSets")
    if not facts.tools:
        return found("otherTools", "ok", "no DaemonSet of another pinning tool that is known")
    said = some([f"{tool} ({name})" for name, tool in facts.tools.items()])
    return found(
        "otherTools",
        "warn",
        f"{said}: may write cpusets of containers",
        "let one tool decide about a pod: numapin stands back with Conflict where they disagree",
    )


def _neighbours(facts: ClusterFacts) -> Iterator[Finding]:
    """What agents know of others on their nodes, which DaemonSets don't tell."""
    where: dict[tuple[str, bool, str], list[str]] = defaultdict(list)
    for node in facts.numa_nodes or ():
        for n in node.status.neighbours if node.status else ():
            where[n.name, n.stand_down, n.message].append(node.metadata.name)
    for (name, stand_down, message), nodes in sorted(where.items()):
        yield found(
            "neighbours",
            "warn" if stand_down else "ok",
            f"{name}: {message}",
            "numapin pins nothing on these nodes: keep one of both off them, by agent.nodeSelector "
            "or by the other's own"
            if stand_down
            else "",
            on=some(nodes),
        )


def _devices(facts: ClusterFacts) -> Iterator[Finding]:
    """Nodes where the kubelet does not say which pods hold devices."""
    why: dict[str, list[str]] = defaultdict(list)
    for node in facts.numa_nodes or ():
        capabilities = node.status.capabilities if node.status else None
        if capabilities is not None and capabilities.devices_unknown:
            why[capabilities.devices_unknown].append(node.metadata.name)
    for reason, nodes in sorted(why.items()):
        yield found(
            "devices",
            "warn",
            f"which pods hold devices is not known: {reason}",
            "pins don't go to where devices are; where the kubelet's directory is another, set "
            "agent.hostPaths.kubelet",
            on=some(nodes),
        )
