"""Whether numapin is installed in a cluster, whole and of one version. Pure.

Each check makes one finding, or one for each way in which something is wrong. The checks of
machines and of pins, which need an installation, are in modules of their own.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from numapin_cli.doctor import machine_checks, pin_checks
from numapin_cli.doctor.cluster_facts import ClusterFacts, CrdState
from numapin_cli.doctor.findings import Finding, found, hidden, some
from numapin_cli.doctor.versions import Version, skew

OLDEST_KUBERNETES: Final = (1, 32)
"""As in the chart's kubeVersion: selectable fields of CRDs, by which agents see their own pins
only, and the node name in service-account tokens are GA from 1.32."""
UPGRADE: Final = "helm upgrade --install numapin charts/numapin --namespace numapin-system"


def examine(facts: ClusterFacts) -> list[Finding]:
    """Every check of a cluster, in the order in which people read them."""
    said = [_api(facts)]
    if facts.server_version is None:
        return said
    said += [*_access(facts), *_crds(facts)]
    if facts.crds is not None and "missing" in facts.crds.values():
        return said
    return [
        *said,
        _operator(facts),
        _agents(facts),
        *_versions(facts),
        *machine_checks.examine(facts),
        *pin_checks.examine(facts),
    ]


def _api(facts: ClusterFacts) -> Finding:
    if facts.server_version is None:
        remedy = "check --kubeconfig, --context and whether the cluster is up"
        return found("api", "fail", facts.problem, remedy)
    version = Version.parse(facts.server_version)
    if version is not None and (version.major, version.minor) < OLDEST_KUBERNETES:
        return found(
            "api",
            "fail",
            f"Kubernetes {facts.server_version} is older than 1.32",
            "upgrade the cluster: agents select their own NumaPins by a field, which needs 1.32",
        )
    return found("api", "ok", f"Kubernetes {facts.server_version} answers")


def _access(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.denied:
        yield found(
            "access",
            "warn",
            f"you may not {', '.join(facts.denied)}",
            "some answers below are unknown; bind a ClusterRole that allows these to your user",
        )
    else:
        yield found("access", "ok", "you may read all that numapin's commands show")


def _crds(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.crds is None:
        yield hidden("crds", "CustomResourceDefinitions")
        return
    by_state: dict[CrdState, list[str]] = defaultdict(list)
    for name, state in facts.crds.items():
        by_state[state].append(name)
    if names := by_state.get("missing"):
        yield found(
            "crds",
            "fail",
            f"{some(names)} not installed",
            f"{UPGRADE} --create-namespace --set crds.install=true",
        )
    if names := by_state.get("differs"):
        yield found(
            "crds",
            "warn",
            f"{some(names)} differ from what numapin {facts.client_version} knows",
            f"upgrade the chart ({UPGRADE}) or use the command line of the cluster's version",
        )
    if names := by_state.get("unknown"):
        yield found(
            "crds",
            "unknown",
            f"{some(names)} are served; you may not read their schemas",
            "ask somebody who may get CustomResourceDefinitions",
        )
    if by_state.keys() == {"current"}:
        names = by_state["current"]
        yield found("crds", "ok", f"{some(names)} are those of numapin {facts.client_version}")


def _operator(facts: ClusterFacts) -> Finding:
    if facts.operators is None:
        return hidden("operator", "Deployments")
    if not facts.operators:
        return found("operator", "fail", "no Deployment of the operator was found", UPGRADE)
    if len(facts.operators) > 1:
        names = some([o.name for o in facts.operators])
        return found(
            "operator",
            "fail",
            f"{len(facts.operators)} operators ({names}) plan against each other",
            "keep one release: helm list -A -f numapin, then helm uninstall the other",
        )
    one = facts.operators[0]
    if not one.ready:
        return found(
            "operator",
            "fail",
            f"{one.name} has no available pod: no pod gets a socket or a verdict",
            f"kubectl describe deployment {_where(one.name)}",
        )
    return found("operator", "ok", f"{one.name} runs")


def _where(name: str) -> str:
    namespace, _, short = name.partition("/")
    return f"{short} -n {namespace}"


def _agents(facts: ClusterFacts) -> Finding:
    if facts.agents is None:
        return hidden("agents", "DaemonSets")
    if not facts.agents:
        return found("agents", "fail", "no DaemonSet of the agent was found", UPGRADE)
    wanted, ready = (sum(getattr(a, k) for a in facts.agents) for k in ("wanted", "ready"))
    said = f"{ready} of {wanted} agents are ready"
    if ready < wanted or not wanted:
        return found(
            "agents",
            "fail",
            said,
            f"kubectl describe daemonset {_where(facts.agents[0].name)}",
        )
    return found("agents", "ok", said)


def _versions(facts: ClusterFacts) -> Iterator[Finding]:
    for message in facts.unreadable:
        yield found(
            "versions",
            "fail",
            message,
            "use the command line of the cluster's version; what is below about such objects is "
            "unknown",
        )
    parts: dict[str, set[str]] = {"command line": {facts.client_version}}
    parts["operator"] = {o.version for o in facts.operators or () if o.version}
    parts["agents"] = {
        n.status.agent_version
        for n in facts.numa_nodes or ()
        if n.status and n.status.agent_version
    }
    said = ", ".join(f"{part} {some(sorted(v))}" for part, v in parts.items() if v)
    apart = skew({v for versions in parts.values() for v in versions})
    if apart == "same":
        yield found("versions", "ok", said)
    elif apart == "near":
        yield found(
            "versions",
            "warn",
            f"{said}: not all of one version",
            "wait for a rolling upgrade to end, or upgrade the part that was left behind",
        )
    else:
        yield found(
            "versions",
            "fail",
            f"{said}: more than one minor version apart",
            f"upgrade what is older: {UPGRADE}; pip install the command line of that version",
        )
