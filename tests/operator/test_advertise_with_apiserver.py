"""NodeResourceTopologies in a real API server: ours are written, others' are refused us."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException, ApiextensionsV1Api
from support.operator_objects import two_sockets
from support.resources import Resources, request
from support.wait import until

from numapin_lab.controlplane import ControlPlane
from numapin_operator.advertise.loop import COMPARED, Advertiser, KubeTopologies
from numapin_operator.advertise.zones import API_VERSION, KIND, foreign
from numapin_operator.kube import KubeCluster, connect
from numapin_operator.store import Store
from numapin_operator.writer import ApiWriter, Pace

pytestmark = pytest.mark.integration

NAME = "noderesourcetopologies.topology.node.k8s.io"
_TEXT = {"type": "string"}
_QUANTITY = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


ZONE = _object(
    ["name", "type"],
    name=_TEXT,
    type=_TEXT,
    parent=_TEXT,
    costs=_list(_object(["name", "value"], name=_TEXT, value={"type": "integer"})),
    resources=_list(
        _object(
            ["name", "capacity", "allocatable", "available"],
            name=_TEXT,
            capacity=_QUANTITY,
            allocatable=_QUANTITY,
            available=_QUANTITY,
        )
    ),
)
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": NAME,
        # Names that end in k8s.io are protected.
        "annotations": {
            "api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1870"
        },
    },
    "spec": {
        "group": "topology.node.k8s.io",
        "scope": "Cluster",
        "names": {"kind": KIND, "plural": "noderesourcetopologies"},
        "versions": [
            {
                "name": "v1alpha2",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": _object(["zones"], zones=_list(ZONE))},
            }
        ],
    },
}
"""What matters here of the one that its producers bring along."""


@pytest.fixture(scope="module")
def topologies(kube: ApiClient) -> Iterator[Resources]:
    api = ApiextensionsV1Api(kube)
    api.create_custom_resource_definition(CRD)
    found = Resources(kube, "noderesourcetopologies", base=f"/apis/{API_VERSION}")

    def served() -> bool:
        try:
            return found.list() == []
        except ApiException:
            return False

    until(served, what="the CRD to be served", seconds=60)
    yield found
    api.delete_custom_resource_definition(NAME)


def report(store: Store, name: str, version: int, **status: Any) -> None:
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    store.put("numanodes", {"metadata": meta, "status": two_sockets() | status})


def test_ours_is_kept_up_to_date_and_others_are_left_alone(
    apiserver: ControlPlane, kube: ApiClient, topologies: Resources
) -> None:
    store, failures = Store(), []
    cluster = KubeCluster(connect(str(apiserver.kubeconfig)))

    async def send(method: str, path: str, body: dict[str, Any], content: str) -> dict[str, Any]:
        return cluster.call(method, path, body=body, content=content)

    topology_of = KubeTopologies(cluster, ApiWriter(send, Pace(1000)))
    made = Advertiser(store, topology_of, failed=lambda: failures.append(1))
    theirs = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "theirs"},
        "zones": [{"name": "node-0", "type": "Node"}],
    }
    topologies.create(theirs)
    for name in ("ours", "theirs"):
        report(store, name, 1)
    asyncio.run(made.once())
    found = topologies.get("ours")
    assert not foreign(found)
    assert [z["name"] for z in found["zones"]] == ["socket-0", "socket-1", "node-0", "node-1"]
    assert topologies.get("theirs")["zones"] == theirs["zones"]

    report(store, "ours", 2, reservedCpus="0")
    asyncio.run(made.once())
    found = topologies.get("ours")
    assert found["zones"][0]["resources"][0]["allocatable"] == "1"

    # Somebody deletes it, and nothing else happens.
    request(kube, "DELETE", topologies.path("ours"))
    for _ in range(COMPARED):
        asyncio.run(made.once())
    assert topologies.get("ours")["zones"] == found["zones"]
    assert topologies.get("theirs")["zones"] == theirs["zones"]
    found = topologies.get("ours")

    # Another producer takes it over, as nri-plugins do, by a whole update.
    found["zones"] = theirs["zones"]
    topologies.merge("ours", {"zones": found["zones"]})
    report(store, "ours", 3, reservedCpus="1")
    asyncio.run(made.once())
    assert topologies.get("ours")["zones"] == theirs["zones"]
    assert failures == []
