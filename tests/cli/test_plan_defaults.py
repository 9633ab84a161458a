"""What ``numapin plan`` fills in of a pod: by a table, and as a real API server does."""

from typing import Any

import pytest
from kubernetes.client import ApiClient

from numapin_cli.planning.defaults import defaulted
from numapin_operator.requests import Requests, effective

MIB = 1 << 20


def resources(requests: str = "", limits: str = "") -> dict[str, Any]:
    """``cpu=1,memory=1Gi`` for each."""
    parts = {"requests": requests, "limits": limits}
    return {k: dict(one.split("=") for one in v.split(",")) for k, v in parts.items() if v}


def pod(*containers: dict[str, Any], init: Any = (), **spec: Any) -> dict[str, Any]:
    def named(prefix: str, every: Any) -> list[dict[str, Any]]:
        return [
            {"name": f"{prefix}{i}", "image": "i", "resources": one} for i, one in enumerate(every)
        ]

    spec |= {"containers": named("c", containers)}
    if init:
        spec["initContainers"] = named("i", init)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": spec,
    }


TABLE = [
    ("nothing", pod({}), (0, 0), "BestEffort"),
    ("limits alone", pod(resources("", "cpu=3,memory=64Mi")), (3000, 64), "Guaranteed"),
    (
        "one of two asked for",
        pod(resources("cpu=500m", "cpu=1,memory=64Mi")),
        (500, 64),
        "Burstable",
    ),
    ("no limit of memory", pod(resources("", "cpu=2")), (2000, 0), "Burstable"),
    (
        "the same in other words",
        pod(resources("cpu=1000m,memory=65536Ki", "cpu=1,memory=64Mi")),
        (1000, 64),
        "Guaranteed",
    ),
    (
        "one container without",
        pod(resources("", "cpu=1,memory=64Mi"), {}),
        (1000, 64),
        "Burstable",
    ),
    (
        "an init container asks for more",
        pod(
            resources("", "cpu=1,memory=64Mi"),
            init=[resources("", "cpu=4,memory=32Mi")],
        ),
        (4000, 64),
        "Guaranteed",
    ),
    (
        "limits of the pod as a whole",
        pod({}, resources=resources("", "cpu=2,memory=128Mi")),
        (2000, 128),
        "Guaranteed",
    ),
    (
        "its containers ask for some of it",
        pod(
            resources("cpu=500m"),
            resources("cpu=250m"),
            resources=resources("", "cpu=2,memory=128Mi"),
        ),
        (750, 128),
        "Burstable",
    ),
    (
        "both for the pod",
        pod(
            resources("cpu=500m"),
            resources=resources("cpu=1,memory=64Mi", "cpu=2,memory=128Mi"),
        ),
        (1000, 64),
        "Burstable",
    ),
]
CASES = pytest.mark.parametrize(
    ("obj", "asks", "qos"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)


@CASES
def test_what_is_filled_in(obj: dict[str, Any], asks: tuple[int, int], qos: str):
    found = defaulted(obj)
    assert effective(found) == Requests(asks[0], asks[1] * MIB)
    assert found["status"]["qosClass"] == qos
    assert defaulted(found) == found


@pytest.mark.integration
@CASES
def test_it_is_what_the_api_server_fills_in(
    make, kube: ApiClient, obj: dict[str, Any], asks: tuple[int, int], qos: str
):
    stored = kube.sanitize_for_serialization(make(obj, "pods"))
    assert effective(stored) == Requests(asks[0], asks[1] * MIB)
    assert stored["status"]["qosClass"] == qos


def test_what_a_cluster_has_filled_in_stands():
    obj = pod(resources("cpu=1", "cpu=2")) | {"status": {"qosClass": "Guaranteed"}}
    assert defaulted(obj)["status"]["qosClass"] == "Guaranteed"
    assert effective(defaulted(obj)).cpu_millis == 1000
