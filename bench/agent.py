"""Memory, CPU and latency of the agent on a node of 110 pods, on this machine.

The agent is the real process against a real API server; the node is a tree of plain files
(``tests/support``) in memory, as cgroupfs and /run are, so what the kernel itself would add to
a cpuset write is not in the latency, and the kernel programs are not in the CPU time. CPU time
is the agent's own; latencies are those of a machine that has nothing else to do. A kubelet is
played by the real gRPC library, in the bench's process.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import tenacity
from bench.harness import Bed, Row, percentile
from kubernetes.client import ApiextensionsV1Api, Configuration, CoreV1Api, CustomObjectsApi
from kubernetes.client.api_client import ApiClient

from numapin_api import crd, names
from numapin_lab import binaries, ports
from numapin_lab.controlplane import ControlPlane
from numapin_lab.paths import checkout
from numapin_lab.steps import Steps

sys.path.append(str(checkout() / "tests"))

from support.agent_process import AgentProcess, FakeNode
from support.kubelet_server import Kubelet, container, device, pod, serve

TITLE = "Agent on a node of 110 pods"
NEEDS_LAB = False

_NODE = "bench-0"
_NAMESPACE = "bench"
_PODS = 110
_PINNED = 30
_WITH_DEVICES = 8
_CONTAINERS = 3
_STEADY_SECONDS = 60.0
_LATE = 100
_SCRAPES = 50
_MB = 1e6
_MEMORY = Path("/dev/shm")


def measure(bed: Bed) -> Iterable[Row]:  # noqa: ARG001 -- needs no lab
    """Start a control plane and an agent, and look at them for a minute and a half."""
    binaries.ensure(Steps())
    with (
        tempfile.TemporaryDirectory() as scratch,
        # The agent's records are on /run: on a disk, each pin would wait for fsync(2).
        tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as node,
        ControlPlane(Path(scratch) / "control-plane") as control,
    ):
        yield from _measure(control, Path(node))


def _measure(control: ControlPlane, root: Path) -> Iterator[Row]:
    kube = _client(control)
    for kind in crd.KINDS:
        ApiextensionsV1Api(kube).create_custom_resource_definition(crd.crd(kind))
    node = FakeNode.make(root)
    core = CoreV1Api(kube)
    core.create_node({"metadata": {"name": _NODE}})
    core.create_namespace({"metadata": {"name": _NAMESPACE}})
    core.create_namespaced_service_account(_NAMESPACE, {"metadata": {"name": "default"}})
    for n in range(_PODS):
        uid = _pod(kube, f"pod-{n}")
        node.pod(uid, *(f"{n:03d}{c}".ljust(64, "0") for c in range(_CONTAINERS)))
        if n < _PINNED:
            _pin(kube, f"pod-{n}", uid)
    agent = AgentProcess(
        node, _NODE, control.kubeconfig, ports.choose(("agent",))["agent"], ("--interval", "10s")
    )
    socket = node.root / "var/lib/kubelet/pod-resources/kubelet.sock"
    socket.parent.mkdir(parents=True)
    with serve(_kubelet(), socket):
        yield from _run(agent, kube, node)


def _kubelet() -> Kubelet:
    """A kubelet that says which of the pods hold a device."""
    found = Kubelet()
    for_one = {n: [device(n % 2)] if n < _WITH_DEVICES else [] for n in range(_PODS)}
    found.say(
        *(
            pod(f"pod-{n}", *[container(*devices)] * _CONTAINERS, namespace=_NAMESPACE)
            for n, devices in for_one.items()
        )
    )
    return found


def _run(agent: AgentProcess, kube: ApiClient, node: FakeNode) -> Iterator[Row]:
    begun = time.monotonic()
    agent.start()
    try:
        _await(lambda: agent.get("/readyz")[0] == 200)
        ready = time.monotonic() - begun
        _await(lambda: agent.get("/metrics")[1].count('socket="1"} 1.0') == _PINNED)
        yield Row("started → ready", ready, "s", goal="≤ 2 s", met=ready <= 2)
        assert agent.process is not None
        yield from _steady(agent, psutil.Process(agent.process.pid))
        yield from _latency(kube, node)
    finally:
        agent.end()


def _steady(agent: AgentProcess, process: psutil.Process) -> Iterator[Row]:
    """A minute with a scrape every ten seconds."""
    scrapes = []
    before, begun = _cpu(process), time.monotonic()
    while time.monotonic() - begun < _STEADY_SECONDS:
        start = time.monotonic()
        agent.get("/metrics")
        scrapes.append(time.monotonic() - start)
        time.sleep(10)
    share = 100 * (_cpu(process) - before) / (time.monotonic() - begun)
    memory = process.memory_full_info()
    rss = memory.rss / _MB
    what = f"{_PODS} pods, {_PINNED} pinned, scrape each 10 s"
    yield Row(f"RSS, {what}", rss, "MB", goal="≤ 60 MB, aim 40", met=rss <= 60)
    yield Row("of that private (USS)", memory.uss / _MB, "MB")
    yield Row(f"CPU, {what}", share, "% of a core", goal="≤ 0.2 %", met=share <= 0.2)
    yield Row("one scrape, median", statistics.median(scrapes) * 1000, "ms")
    before = _cpu(process)
    for _ in range(_SCRAPES):
        agent.get("/metrics")
    yield Row("CPU of one scrape", (_cpu(process) - before) / _SCRAPES * 1000, "ms")


def _latency(kube: ApiClient, node: FakeNode) -> Iterator[Row]:
    """Cgroups that appear, one after the other, for pods whose NumaPin is there already."""
    took = []
    for n in range(_LATE):
        uid = _pod(kube, f"late-{n}")
        _pin(kube, f"late-{n}", uid)
        _await_phase(kube, f"late-{n}", "Waiting")
        begun = time.monotonic()
        node.pod(uid)
        made = time.monotonic()
        while node.effective(uid)[0] != "2-3":
            time.sleep(0.0002)
        took.append(time.monotonic() - made if made - begun < 0.05 else time.monotonic() - begun)
        _await_phase(kube, f"late-{n}", "Pinned")
        node.remove(uid)
        _forget(kube, f"late-{n}")
    for percent, goal in ((50, 10), (99, 50)):
        found = percentile(took, percent) * 1000
        yield Row(
            f"pod cgroup made → pinned, p{percent} of {_LATE}",
            found,
            "ms",
            goal=f"≤ {goal} ms",
            met=found <= goal,
        )


def _await_phase(kube: ApiClient, name: str, phase: str) -> None:
    def there() -> bool:
        found = CustomObjectsApi(kube).get_namespaced_custom_object(
            names.GROUP, names.VERSION, _NAMESPACE, "numapins", name
        )
        return bool(found.get("status", {}).get("observed", {}).get("phase") == phase)

    _await(there)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _pod(kube: ApiClient, name: str) -> str:
    made = CoreV1Api(kube).create_namespaced_pod(
        _NAMESPACE,
        {
            "metadata": {"name": name, "labels": {names.PIN_LABEL: names.PIN_LABEL_VALUE}},
            "spec": {"nodeName": _NODE, "containers": [{"name": "main", "image": "none"}]},
        },
    )
    return str(made.metadata.uid)


def _pin(kube: ApiClient, name: str, uid: str) -> None:
    body: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": "NumaPin",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {
            "podUID": uid,
            "nodeName": _NODE,
            "policy": names.DEFAULT_POLICY,
            "socket": 1,
            "cpus": "2-3",
            "mems": "1",
        },
    }
    CustomObjectsApi(kube).create_namespaced_custom_object(
        names.GROUP, names.VERSION, _NAMESPACE, "numapins", body
    )


def _forget(kube: ApiClient, name: str) -> None:
    CustomObjectsApi(kube).delete_namespaced_custom_object(
        names.GROUP, names.VERSION, _NAMESPACE, "numapins", name
    )
    CoreV1Api(kube).delete_namespaced_pod(name, _NAMESPACE, grace_period_seconds=0)


def _client(control: ControlPlane) -> ApiClient:
    configuration = Configuration(host=control.url)
    configuration.ssl_ca_cert = str(control.ca)
    configuration.api_key = {"authorization": control.token}
    configuration.api_key_prefix = {"authorization": "Bearer"}
    return ApiClient(configuration)


def _await(true: Callable[[], object], seconds: float = 120) -> None:
    tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda answer: not answer),
        wait=tenacity.wait_fixed(0.02),
        stop=tenacity.stop_after_delay(seconds),
    )(true)
