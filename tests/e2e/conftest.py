"""One lab and one set of pods for all end-to-end tests: making them takes most of the time."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from rich.console import Console
from support import autopsy
from support.world import NAMESPACE, World, container, pod, resources

from numapin_api.names import API_VERSION
from numapin_lab import config, kernels
from numapin_lab.demo.cluster import Cluster
from numapin_lab.lab import Lab
from numapin_lab.steps import Steps

WINDOW = "20s"
SHOW_STATUS = "cat /proc/self/status"
DIES_ON_REQUEST = f"{SHOW_STATUS}; while [ ! -e /tmp/die ]; do sleep 1; done; exit 1"
TOUCH = (
    "exec sysbench memory --threads=2 --time=0 --memory-total-size=1000000T "
    "--memory-block-size=64M --memory-scope=global run"
)
BUSY = resources("200m", "96Mi", limits=False) | {"limits": {"cpu": "400m"}}
"""Enough to be measured, and something left of the emulated CPUs for the others."""
BAD = {
    "bad-socket-word": {"numapin.io/socket": "banana"},
    "bad-socket-number": {"numapin.io/socket": "7"},
    "bad-memory": {"numapin.io/memory": "Sometimes"},
    "bad-mode": {"numapin.io/mode": "enforce"},
    "bad-policy": {"numapin.io/policy": "no-such-policy"},
}
POLICY = {
    "apiVersion": API_VERSION,
    "kind": "NumaPolicy",
    "metadata": {"name": "e2e"},
    "spec": {
        "priority": 1000,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "verification": {"window": WINDOW},
    },
}
PODS = [
    pod(
        "guaranteed",
        container("main", resources=resources("100m", "64Mi", limits=True)),
        container("second", resources=resources("100m", "32Mi", limits=True)),
        init=[
            container("first", SHOW_STATUS, resources=resources("100m", "32Mi", limits=True)),
        ],
    ),
    pod("burstable", container(script=TOUCH, resources=BUSY)),
    pod("besteffort"),
    pod("crasher", container(script=DIES_ON_REQUEST)),
    pod("late", pinned=False),
    pod("socket-1", annotations={"numapin.io/socket": "1"}),
    pod("memory-none", annotations={"numapin.io/memory": "None"}),
    pod("observe", annotations={"numapin.io/mode": "Observe"}),
    pod("elsewhere", node="numa-1"),
    *(pod(name, annotations=annotations) for name, annotations in BAD.items()),
]


@pytest.fixture(scope="session")
def world(pytestconfig: pytest.Config) -> Iterator[World]:
    """The lab with two nodes and numapin, brought up unless it is; it stays up afterwards."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    # Minutes when everything has to be built: whoever waits shall see why.
    with capture.global_and_fixture_disabled():
        lab = Lab(Steps(Console(stderr=True)))
        now = lab.state()
        lab.up(
            topology=now.topology if now else config.DEFAULT_TOPOLOGY,
            count=max(2, len(now.nodes) if now else 0),
            kernel=now.kernel if now else kernels.DEFAULT_KERNEL,
        )
        lab.deploy()
    running = World(lab, Cluster(lab.paths.kubeconfig))
    running.cluster.ensure_namespace(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )
    # Pods that a demo left in this lab would take the emulated CPUs.
    running.kubectl("delete", "namespace", "demo", "--ignore-not-found", "--wait=false")
    running.apply(POLICY)
    names = [p["metadata"]["name"] for p in PODS]
    running.cluster.delete(NAMESPACE, names, seconds=420)
    for manifest in PODS:
        running.cluster.create(manifest)
    for name in names:
        running.cluster.await_ready(NAMESPACE, name, seconds=420)
    yield running
    running.cluster.delete(NAMESPACE, names, seconds=420)
    running.kubectl("delete", "numapolicy", "e2e", "--ignore-not-found")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what became of numapin's pods with each test that failed."""
    report = yield
    found: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed and "world" in found:
        autopsy.show(report, found["world"])
    return report
