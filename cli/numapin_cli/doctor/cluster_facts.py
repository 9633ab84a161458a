"""What the doctor wants to know of a cluster, as values. Pure: who asks is in ``cluster``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_cli.doctor.kubelet import KubeletFacts

CrdState = Literal["current", "differs", "missing", "unknown"]
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or DaemonSet of numapin's.

    Attributes:
        name: namespace/name.
        version: by its label.
        wanted: pods that there should be.
        ready: pods that are ready.
    """

    name: str
    version: str | None
    wanted: int
    ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """What was found in a cluster; None where it may not be looked at.

    Attributes:
        now: when.
        client_version: of this command.
        server_version: like v1.35.4; None when no server answers.
        problem: why none does.
        denied: requests that this user may not make.
        crds: state of each CRD by its name.
        operators: Deployments of the operator.
        agents: DaemonSets of the agent.
        agent_pods: node → whether its agent's pod is ready.
        nodes: names of the Linux nodes.
        numa_nodes: all NumaNodes.
        pins: all NumaPins.
        pods: opted-in pods.
        tools: DaemonSet (namespace/name) → the pinning tool that it runs.
        kubelets: node → how its kubelet manages CPUs.
        unreadable: what is said of objects that this version does not understand.
    """

    now: datetime
    client_version: str
    server_version: str | None = None
    problem: str = ""
    denied: tuple[str, ...] = ()
    crds: Mapping[str, CrdState] | None = None
    operators: Sequence[Workload] | None = None
    agents: Sequence[Workload] | None = None
    agent_pods: Mapping[str, bool] | None = None
    nodes: Sequence[str] | None = None
    numa_nodes: Sequence[NumaNode] | None = None
    pins: Sequence[NumaPin] | None = None
    pods: Sequence[Json] | None = None
    tools: Mapping[str, str] | None = None
    kubelets: Mapping[str, KubeletFacts] | None = None
    unreadable: tuple[str, ...] = ()
