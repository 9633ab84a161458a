"""Pods, NumaNodes and agents' reports for tests of the operator."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE

Json = dict[str, Any]


def ago(seconds: float = 0) -> str:
    """A metav1.Time so many seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(
    name: str,
    *,
    node: str | None = "numa-0",
    labelled: bool = True,
    cpu: str = "100m",
    memory: str = "64Mi",
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Json:
    """A pod, on its node already."""
    own = {PIN_LABEL: PIN_LABEL_VALUE} if labelled else {}
    spec: Json = {
        "containers": [
            {
                "name": "main",
                "image": "none",
                "resources": {"requests": {"cpu": cpu, "memory": memory}},
            }
        ]
    }
    if node is not None:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": own | dict(labels or {}),
            "annotations": dict(annotations or {}),
        },
        "spec": spec,
    }


def two_sockets(*, memory_bytes: int = 3 << 30, cpus_per_socket: int = 2) -> Json:
    """A NumaNode status: two sockets of one NUMA node each."""
    per = cpus_per_socket
    lists = [f"0-{per - 1}", f"{per}-{2 * per - 1}"]
    return {
        "topology": {
            "sockets": [{"id": i, "cpus": lists[i], "nodes": [i]} for i in (0, 1)],
            "nodes": [
                {"id": i, "cpus": lists[i], "memoryBytes": memory_bytes, "socket": i}
                for i in (0, 1)
            ],
            "distances": [[10, 21], [21, 10]],
        },
        "reservedCpus": "",
        "capabilities": {
            "kernel": "6.12.117",
            "cgroupVersion": 2,
            "cgroupDriver": "systemd",
            "numaBalancing": True,
            "signals": [
                {"name": "numaMigrations", "level": "fentry"},
                {"name": "hintFaults", "level": "fentry"},
            ],
        },
        "agentVersion": "0.1.0",
    }


def good_report(pin: Json, *, since: str, local: int = 100, seconds: float = 60.0) -> Json:
    """What an agent reports of a pin that works: samples, almost all of them local."""
    spec = pin["spec"]
    home = int(str(spec["mems"]).split("-")[0])
    total = 400 << 20
    there = total * local // 100
    return {
        "phase": "Pinned",
        "applied": {"cpus": spec["cpus"], "mems": spec["mems"], "time": since},
        "effective": {"cpus": spec["cpus"], "mems": spec["mems"]},
        "containers": [{"name": "main", "cpus": spec["cpus"], "mems": spec["mems"]}],
        "memory": [{"node": home, "bytes": there}, {"node": 1 - home, "bytes": total - there}],
        "threads": 4,
        "counters": {
            "since": since,
            "seconds": seconds,
            "hintFaultPagesLocal": 9900,
            "hintFaultPagesRemote": 100,
            "cpuNanoseconds": 30_000_000_000,
        },
    }


def condition(pin: Json, kind: str) -> tuple[str, str, str]:
    c = next(c for c in pin["status"]["conditions"] if c["type"] == kind)
    return c["status"], c["reason"], c["message"]
