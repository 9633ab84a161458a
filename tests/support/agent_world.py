"""A real API server and a node of plain files with the real agent on it, for tests."""

from typing import Any

from kubernetes.client import ApiClient, CoreV1Api
from support.agent_process import AgentProcess, FakeNode
from support.resources import Resources, request
from support.wait import until

from numapin_api.names import API_VERSION, OPERATOR_MANAGER, PIN_LABEL

ALL, ON_ONE = ("0-3", "0-1"), ("2-3", "1")
"""CPUs and NUMA nodes of a pod that is not pinned, and of one on socket 1."""


class World:
    """A node with its agent, and the API server."""

    def __init__(self, kube: ApiClient, namespace: str, node: FakeNode, agent: AgentProcess):
        self.core = CoreV1Api(kube)
        self.kube = kube
        self.namespace = namespace
        self.node = node
        self.agent = agent
        self.pins = Resources(kube, "numapins", namespace)
        self.nodes = Resources(kube, "numanodes")

    def pod(self, name: str, *, labelled: bool = True) -> str:
        """Make a pod on this node; its UID."""
        made = self.core.create_namespaced_pod(
            self.namespace,
            {
                "metadata": {"name": name, "labels": {PIN_LABEL: "true"} if labelled else {}},
                "spec": {
                    "nodeName": self.agent.node_name,
                    "containers": [{"name": "main", "image": "none"}],
                },
            },
        )
        return str(made.metadata.uid)

    def pin(self, name: str, uid: str, **spec: Any) -> dict[str, Any]:
        """Make a NumaPin to socket 1, as the operator does."""
        wanted = {
            "podUID": uid,
            "nodeName": self.agent.node_name,
            "policy": "(default)",
            "socket": 1,
            "cpus": "2-3",
            "mems": "1",
            **spec,
        }
        return self.pins.apply(
            name,
            {
                "apiVersion": API_VERSION,
                "kind": "NumaPin",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {k: v for k, v in wanted.items() if v is not None},
            },
            manager=OPERATOR_MANAGER,
        )

    def unpin(self, name: str) -> None:
        """Delete a NumaPin."""
        request(self.kube, "DELETE", self.pins.path(name))

    def observed(self, name: str) -> dict[str, Any]:
        """What the agent published."""
        return dict(self.pins.get(name).get("status", {}).get("observed", {}))

    def await_phase(self, name: str, phase: str) -> dict[str, Any]:
        """Wait for a phase; what was published with it."""
        return until(
            lambda: (seen := self.observed(name)).get("phase") == phase and seen,
            what=f"{name} to be {phase}; it is {self.observed(name)};\n{self.agent.log()}",
        )

    def await_effective(self, uid: str, cpus: str, mems: str) -> None:
        """Wait until the kernel has a pod on these CPUs and NUMA nodes."""
        until(
            lambda: self.node.effective(uid) == (cpus, mems),
            what=f"{cpus} {mems}, not {self.node.effective(uid)};\n{self.agent.log()}",
        )
