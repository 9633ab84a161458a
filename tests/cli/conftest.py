"""Runs the command line in this process, and makes the objects that it shows."""

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.client import CoreV1Api, CustomObjectsApi
from rich.console import Console, RenderableType
from support.kubeconfig import kubeconfig

from numapin_api import names
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_cli.main import main
from numapin_cli.views.explain import render

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Run:
    status: int
    out: str
    err: str


@pytest.fixture
def numapin(capsys):
    """Call the command line: what it printed where, and its exit status."""

    def call(*arguments: object, argv0: str = "numapin") -> Run:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments], argv0)
        captured = capsys.readouterr()
        code = ended.value.code
        return Run(
            code if isinstance(code, int) else int(code is not None), captured.out, captured.err
        )

    return call


@pytest.fixture
def text():
    """What people see of a renderable on a terminal so many columns wide."""

    def text(renderable: RenderableType, width: int = 80) -> str:
        console = Console(width=width, file=io.StringIO())
        console.print(renderable)
        assert isinstance(console.file, io.StringIO)
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        return "\n".join(line.rstrip() for line in lines)

    return text


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A copy with some values changed, however deep; None takes a key out."""
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            result[key] = merged(base[key], value)
        else:
            result[key] = value
    return result


def counters(**numbers: float) -> dict[str, Any]:
    return {"since": ago(70), "seconds": 60.0, "cpuNanoseconds": 90_000_000_000} | numbers


VERIFIED: dict[str, Any] = {
    "metadata": {
        "name": "redis-0",
        "namespace": "shop",
        "generation": 1,
        "creationTimestamp": ago(600),
    },
    "spec": {
        "podUID": "0c2b8caf",
        "nodeName": "numa-0",
        "policy": "databases",
        "socket": 1,
        "cpus": "2-3",
        "mems": "1",
    },
    "status": {
        "observed": {
            "generation": 1,
            "phase": "Pinned",
            "applied": {"cpus": "2-3", "mems": "1", "time": ago(130)},
            "effective": {"cpus": "2-3", "mems": "1"},
            "containers": [{"name": "redis", "cpus": "2-3", "mems": "1"}],
            "memory": [{"node": 0, "bytes": 4 << 20}, {"node": 1, "bytes": 396 << 20}],
            "threads": 4,
            "baseline": counters(
                seconds=30.0,
                migratedPages=30_000,
                crossSocketMigratedPages=24_000,
                migrationNanoseconds=600_000_000,
                hintFaultPagesLocal=600,
                hintFaultPagesRemote=400,
                crossSocketTaskMigrations=900,
            ),
            "baselineMemory": [{"node": 0, "bytes": 200 << 20}, {"node": 1, "bytes": 200 << 20}],
            "counters": counters(
                migratedPages=120,
                crossSocketMigratedPages=60,
                hintFaultPagesLocal=5990,
                hintFaultPagesRemote=10,
                movedByPinPages=51_200,
            ),
        },
        "verdict": "Verified",
        "evidence": "Measured",
        "localPercent": 99.0,
        "crossSocketPagesPerSecond": 1.0,
        "conditions": [
            {
                "type": "Pinned",
                "status": "True",
                "reason": "InForce",
                "message": "socket 1",
                "lastTransitionTime": ago(130),
            },
            {
                "type": "Verified",
                "status": "True",
                "reason": "Measured",
                "message": "99.0% of the memory is on NUMA nodes 1",
                "lastTransitionTime": ago(60),
            },
        ],
    },
}

NODE: dict[str, Any] = {
    "metadata": {"name": "numa-0"},
    "status": {
        "topology": {
            "sockets": [
                {"id": 0, "cpus": "0-1", "nodes": [0]},
                {"id": 1, "cpus": "2-3", "nodes": [1]},
            ],
            "nodes": [
                {"id": 0, "cpus": "0-1", "memoryBytes": 3 << 30, "socket": 0},
                {"id": 1, "cpus": "2-3", "memoryBytes": 3 << 30, "socket": 1},
                {"id": 2, "cpus": "", "memoryBytes": 8 << 30},
            ],
            "distances": [[10, 21, 30], [21, 10, 30], [30, 30, 10]],
        },
        "usage": {
            "nodes": [
                {"id": 0, "memoryAvailableBytes": 2 << 30},
                {"id": 1, "memoryAvailableBytes": 1 << 30},
                {"id": 2, "memoryAvailableBytes": 8 << 30},
            ]
        },
        "capabilities": {
            "kernel": "6.12.117+deb13-cloud-amd64",
            "cgroupVersion": 2,
            "cgroupDriver": "systemd",
            "numaBalancing": True,
            "signals": [
                {"name": "numaMigrations", "level": "fentry"},
                {"name": "hintFaults", "level": "fentry"},
                {"name": "taskMigrations", "level": "fentry"},
                {"name": "pinMoves", "level": "none", "reason": "no such tracepoint"},
            ],
        },
        "agentVersion": "0.1.0",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "AsExpected",
                "message": "",
                "lastTransitionTime": ago(600),
            }
        ],
    },
}


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def pin_json():
    """A verified NumaPin as JSON, with changes."""
    return lambda **change: merged(VERIFIED, change)


@pytest.fixture
def pin(pin_json):
    """A verified NumaPin, with changes."""
    return lambda **change: NumaPin.read(pin_json(**change))


@pytest.fixture
def numa_node():
    """The NumaNode of a two-socket node with a memory-only NUMA node, with changes."""
    return lambda **change: NumaNode.read(merged(NODE, change))


@pytest.fixture
def shown(now, text):
    """What people see of an explanation."""
    return lambda e: text(render(e, now=now))


@pytest.fixture
def here(tmp_path, apiserver, namespace):
    """Options that name the test's cluster, its namespace being that of the context."""
    path = kubeconfig(tmp_path / "config", apiserver, token=apiserver.token, namespace=namespace)
    return ("--kubeconfig", path)


@pytest.fixture
def make(kube, namespace):
    """Create an object in the cluster, status included, and return it."""
    custom, core = CustomObjectsApi(kube), CoreV1Api(kube)
    # admission wants one for every pod, and no controller makes it here
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
    ours = (names.GROUP, names.VERSION)

    def make(obj: dict, plural: str) -> dict:
        obj = json.loads(json.dumps(obj))
        meta = {"name": obj["metadata"]["name"]}
        if plural == "pods":
            return core.create_namespaced_pod(namespace, obj)
        scope = (namespace,) if plural == "numapins" else ()
        create = (
            custom.create_namespaced_custom_object if scope else custom.create_cluster_custom_object
        )
        patch = (
            custom.patch_namespaced_custom_object_status
            if scope
            else custom.patch_cluster_custom_object_status
        )
        kind = {"numapins": "NumaPin", "numanodes": "NumaNode"}[plural]
        body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": meta}
        create(*ours, *scope, plural, body | ({"spec": obj["spec"]} if "spec" in obj else {}))
        return patch(*ours, *scope, plural, meta["name"], {"status": obj.get("status")})

    return make
