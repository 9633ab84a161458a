"""How fast the operator answers a pod, how much it holds, and what a restart costs.

A real etcd and kube-apiserver on this machine, the operator as a process, nodes and pods as
objects only: no kubelet, so that nothing but API server and operator is in the figures.
Latency is from the moment the API server has answered the creation of a labelled, bound pod
to the moment a watch of NumaPins tells of its pin.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import tenacity
import urllib3
from bench.harness import Bed, Row, percentile
from bench.scale.shape import node_status
from kubernetes import client, watch

from numapin_api import crd
from numapin_api.names import (
    AGENT_MANAGER,
    API_VERSION,
    GROUP,
    PIN_LABEL,
    PIN_LABEL_VALUE,
    VERSION,
)
from numapin_lab import binaries, ports
from numapin_lab.controlplane import ControlPlane

TITLE = "operator: pod event to NumaPin"
NEEDS_LAB = False

NODES = 20
SINGLE_PODS = 200
SINGLE_PAUSE_SECONDS = 0.05
BURST_PODS = 1000
GOAL_MS = 100

Json = dict[str, Any]


def _pod(name: str, node: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {PIN_LABEL: PIN_LABEL_VALUE}},
        "spec": {
            "nodeName": f"node-{node}",
            "containers": [
                {
                    "name": "main",
                    "image": "none",
                    "env": [{"name": f"V{i}", "value": "x" * 60} for i in range(20)],
                    "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}},
                }
            ],
        },
    }


class _Pins:
    """When each NumaPin was first heard of."""

    def __init__(self, api: client.CustomObjectsApi) -> None:
        self.seen: dict[str, float] = {}
        self._changed = threading.Condition()
        self._watch = watch.Watch()
        self._thread = threading.Thread(target=self._run, args=(api,), daemon=True)
        self._thread.start()

    def _run(self, api: client.CustomObjectsApi) -> None:
        # The API server ends before this watch does.
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            for event in self._watch.stream(
                api.list_namespaced_custom_object, GROUP, VERSION, "default", "numapins"
            ):
                with self._changed:
                    if event["type"] == "ADDED":
                        name = event["object"]["metadata"]["name"]
                        self.seen.setdefault(name, time.monotonic())
                    self._changed.notify_all()

    def wait(self, names: set[str], seconds: float) -> None:
        """Return when all of them were heard of.

        Raises:
            TimeoutError: some were not, in that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: names <= self.seen.keys(), timeout=seconds):
                raise TimeoutError(f"{len(names - self.seen.keys())} pods got no NumaPin")

    def stop(self) -> None:
        """End the watch."""
        self._watch.stop()


class OperatorProcess:
    """The operator as a process.

    Args:
        kubeconfig: of the API server.
        flags: more of them.
    """

    def __init__(self, kubeconfig: Path, *flags: str) -> None:
        chosen = ports.choose(("liveness", "metrics"))
        self._health = f"http://127.0.0.1:{chosen['liveness']}/healthz"
        self.begun = time.monotonic()
        self.process = psutil.Popen(
            [
                *(sys.executable, "-m", "numapin_operator", f"--kubeconfig={kubeconfig}"),
                f"--liveness-port={chosen['liveness']}",
                f"--metrics-port={chosen['metrics']}",
                *("--log-level=warning", *flags),
            ],
            stdout=subprocess.DEVNULL,
            env=os.environ,
        )

    def ready(self, seconds: float = 60) -> float:
        """Wait until it is healthy; seconds since it was started."""

        def healthy() -> bool:
            with contextlib.suppress(OSError), urllib.request.urlopen(self._health) as answer:
                return bool(answer.status == 200)
            return False

        tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda ok: not ok),
            wait=tenacity.wait_fixed(0.05),
            stop=tenacity.stop_after_delay(seconds),
        )(healthy)
        return time.monotonic() - self.begun

    def megabytes(self) -> float:
        """Resident memory."""
        return float(self.process.memory_info().rss) / 1e6

    def peak_megabytes(self) -> float:
        """The most that was resident so far, as the kernel has kept it (VmHWM, proc(5))."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (kilobytes,) = (x.split()[1] for x in status.splitlines() if x.startswith("VmHWM"))
        return int(kilobytes) * 1024 / 1e6

    def cpu_seconds(self) -> float:
        """CPU time so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def settled(self) -> None:
        """Return when it has used hardly any CPU for a second."""
        while self.process.cpu_percent(interval=1.0) > 10:
            continue

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(timeout=20)


@contextlib.contextmanager
def _cluster() -> Iterator[tuple[ControlPlane, client.ApiClient]]:
    """A control plane with the CRDs and the nodes."""
    with tempfile.TemporaryDirectory() as directory:
        programs = binaries.ensure()
        plane = ControlPlane(
            Path(directory),
            programs=programs,
            apiserver_args=("--disable-admission-plugins=ServiceAccount",),
        )
        with plane, _client(plane) as api:
            extensions = client.ApiextensionsV1Api(api)
            for kind in crd.KINDS:
                extensions.create_custom_resource_definition(crd.crd(kind))
            _report_nodes(api)
            yield plane, api


def _client(plane: ControlPlane) -> client.ApiClient:
    configuration = client.Configuration(host=plane.url)
    configuration.ssl_ca_cert = str(plane.ca)
    configuration.api_key = {"authorization": plane.token}
    configuration.api_key_prefix = {"authorization": "Bearer"}
    return client.ApiClient(configuration)


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(client.ApiException),
    wait=tenacity.wait_fixed(0.2),
    stop=tenacity.stop_after_delay(30),
)
def _report_nodes(api: client.ApiClient) -> None:
    """Make the NumaNodes; their kind is served a moment after its definition was made."""
    custom = client.CustomObjectsApi(api)
    for number in range(NODES):
        head: Json = {
            "apiVersion": API_VERSION,
            "kind": "NumaNode",
            "metadata": {"name": f"node-{number}"},
        }
        place = (GROUP, VERSION, "numanodes", f"node-{number}")
        more: Json = {
            "field_manager": AGENT_MANAGER,
            "force": True,
            "_content_type": "application/apply-patch+yaml",
        }
        custom.patch_cluster_custom_object(*place, head, **more)
        custom.patch_cluster_custom_object_status(*place, head | {"status": node_status()}, **more)


def _create(core: client.CoreV1Api, name: str, number: int) -> float:
    core.create_namespaced_pod("default", json.loads(json.dumps(_pod(name, number % NODES))))
    return time.monotonic()


def _one_by_one(core: client.CoreV1Api, pins: _Pins) -> list[float]:
    """Milliseconds from each pod to its pin, with a pause after each pod."""
    made: dict[str, float] = {}
    for number in range(SINGLE_PODS):
        made[f"single-{number}"] = _create(core, f"single-{number}", number)
        time.sleep(SINGLE_PAUSE_SECONDS)
    pins.wait(set(made), 60)
    # The watch may tell of a pin before the creation of its pod was answered to us.
    return [max(0.0, pins.seen[name] - at) * 1000 for name, at in made.items()]


def _burst(core: client.CoreV1Api, pins: _Pins) -> float:
    """Seconds from the first pod of many to the last one's pin."""
    begun = time.monotonic()
    names = [f"burst-{number}" for number in range(BURST_PODS)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda n: _create(core, names[n], n), range(BURST_PODS)):
            continue
    pins.wait(set(names), 300)
    return max(pins.seen[name] for name in names) - begun


def measure(bed: Bed) -> Iterable[Row]:
    """Start, single pods, a burst, and a restart with everything in place."""
    del bed
    rows: list[Row] = []
    with _cluster() as (plane, api):
        core = client.CoreV1Api(api)
        operator = OperatorProcess(plane.kubeconfig, "--api-rate=1000")
        pins = _Pins(client.CustomObjectsApi(api))
        try:
            rows.append(Row("start to healthy", operator.ready(), "s"))
            rows.append(Row("resident memory, no pods", operator.megabytes(), "MB"))
            latencies = _one_by_one(core, pins)
            for percent in (50, 99):
                value = percentile(latencies, percent)
                goal = (
                    {"goal": f"<= {GOAL_MS} ms", "met": value <= GOAL_MS} if percent == 50 else {}
                )
                what = f"pod event to NumaPin, p{percent} of {SINGLE_PODS}"
                rows.append(Row(what, value, "ms", **goal))
            used = operator.cpu_seconds()
            seconds = _burst(core, pins)
            operator.settled()
            rows.append(Row(f"burst of {BURST_PODS} pods, all planned", seconds, "s"))
            per_pod = (operator.cpu_seconds() - used) / BURST_PODS
            rows.append(Row("CPU time per pod of the burst, with its status", per_pod * 1000, "ms"))
            pods = SINGLE_PODS + BURST_PODS
            rows.append(Row(f"resident memory, {pods} pods", operator.megabytes(), "MB"))
            operator.stop()
            operator = OperatorProcess(plane.kubeconfig, "--api-rate=1000")
            operator.ready()
            operator.settled()
            what = f"restart with {pods} pods in place, until quiet"
            rows.append(Row(what, time.monotonic() - operator.begun, "s"))
            rows.append(Row("resident memory after it", operator.megabytes(), "MB"))
        finally:
            pins.stop()
            operator.stop()
    return rows
