"""Manifests as people write them for ``numapin plan``: a machine, pods, pins, policies."""

from copy import deepcopy
from typing import Any

GIB = 1 << 30
LABEL = {"numapin.io/pin": "true"}


def node(name: str = "n1", **status: Any) -> dict[str, Any]:
    topology = {
        "sockets": [{"id": 0, "cpus": "0-3", "nodes": [0]}, {"id": 1, "cpus": "4-7", "nodes": [1]}],
        "nodes": [
            {"id": 0, "cpus": "0-3", "memoryBytes": 8 * GIB, "socket": 0},
            {"id": 1, "cpus": "4-7", "memoryBytes": 8 * GIB, "socket": 1},
        ],
        "distances": [[10, 21], [21, 10]],
    }
    return {
        "apiVersion": "numapin.io/v1alpha1",
        "kind": "NumaNode",
        "metadata": {"name": name},
        "status": {"topology": topology, **status},
    }


def pod(name: str, cpu: str = "1", memory: str = "1Gi", **more: Any) -> dict[str, Any]:
    meta = {"name": name, "labels": LABEL, **more.pop("metadata", {})}
    spec = {
        "nodeName": "n1",
        "containers": [
            {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def pin(name: str, socket: int, uid: str = "u") -> dict[str, Any]:
    return {
        "apiVersion": "numapin.io/v1alpha1",
        "kind": "NumaPin",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "podUID": uid,
            "nodeName": "n1",
            "policy": "(default)",
            "socket": socket,
            "cpus": "0-3" if socket == 0 else "4-7",
            "mems": str(socket),
        },
    }


def policy(name: str, **spec: Any) -> dict[str, Any]:
    kind = {"apiVersion": "numapin.io/v1alpha1", "kind": "NumaPolicy"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


def changed(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at a path like ``spec/containers/0/name`` put in its place."""
    whole: Any = deepcopy(obj)
    *parents, last = path.split("/")
    at = whole
    for step in parents:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    at[int(last) if isinstance(at, list) else last] = value
    return whole
