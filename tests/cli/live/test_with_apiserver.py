"""The way from numapin top to a real agent, through a real API server's pod proxy."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient, CoreV1Api
from support.agent_process import AgentProcess, FakeNode

from numapin_lab import ports
from numapin_lab.controlplane import ControlPlane

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180, func_only=True)]

NODE = "top-0"
LABELS = {"app.kubernetes.io/name": "numapin", "app.kubernetes.io/component": "agent"}


def own_address() -> str:
    """Of this machine; the API server forwards to no loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 9))  # nothing is sent
        return str(s.getsockname()[0])


@pytest.fixture
def agent(
    kube: ApiClient, apiserver: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[AgentProcess]:
    """An agent on a made-up node, whose pod the API server knows; a pod without the label."""
    core = CoreV1Api(kube)
    core.create_node({"metadata": {"name": NODE}})
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
    node = FakeNode.make(tmp_path)
    port = ports.choose(("agent",))["agent"]
    made = AgentProcess(
        node, NODE, apiserver.kubeconfig, port, ("--metrics-address", "0.0.0.0", "--no-counters")
    )
    for name, labels in (("agent", LABELS), ("redis-0", {})):
        metrics = {"name": "metrics", "containerPort": port}
        core.create_namespaced_pod(
            namespace,
            {
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "nodeName": NODE,
                    "containers": [{"name": "c", "image": "none", "ports": [metrics]}],
                },
            },
        )
        address = own_address()
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        core.patch_namespaced_pod_status(name, namespace, {"status": status})
    uid = core.read_namespaced_pod("redis-0", namespace).metadata.uid
    node.kernel.memory(node.pod(uid), N0=3 << 20, N1=1 << 20)
    made.start()
    yield made
    made.end()


def test_top_and_advise_reach_the_agent(numapin, agent, apiserver, namespace):
    agent.await_ready()
    here = ("-n", namespace, "--kubeconfig", apiserver.kubeconfig, "-o", "json")
    run = numapin("top", "--once", "-d", "1", *here)
    assert run.status == 0, run.err
    found = json.loads(run.out)
    assert [(p["name"], p["node"], p["memoryBytes"]) for p in found["pods"]] == [
        ("redis-0", NODE, 4 << 20)
    ]
    assert "nothing is counted there" in found["remarks"][0]["message"]
    run = numapin("advise", "--window", "5s", *here)
    assert run.status == 0, run.err
    by_name = {p["name"]: p for p in json.loads(run.out)["pods"]}
    assert by_name["redis-0"]["advice"] == "Unknown"
    assert by_name["redis-0"]["memoryBytes"] == 4 << 20

    agent.end()
    run = numapin("top", "--once", "-d", "1", *here)
    assert run.status == 1
    assert json.loads(run.out)["pods"] == []
    problem = json.loads(run.out)["problems"][0]
    assert problem["node"] == NODE
    assert "is the agent up? kubectl logs agent" in problem["message"]
    # Neither by the proxy nor through a kubelet, which this node has not got.
    assert "error trying to reach service" in problem["message"]
    assert f"port-forward to {namespace}/agent was refused with" in problem["message"]
