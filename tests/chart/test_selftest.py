"""The program of ``helm test`` under the rights that the chart gives it while it runs."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kubernetes.client import ApiException
from support.apiserver import client
from support.chart import NAMESPACE, Helm, render
from support.install import Installed
from support.objects import example
from support.resources import Resources, request
from support.wait import until

from numapin_operator.selftest import trial
from numapin_operator.selftest.kube import KubeApi

pytestmark = pytest.mark.integration

NAME = "numapin-test"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PLACES = {
    "ServiceAccount": ("serviceaccounts", "/api/v1"),
    "Role": ("roles", RBAC),
    "RoleBinding": ("rolebindings", RBAC),
    "ClusterRole": ("clusterroles", RBAC),
    "ClusterRoleBinding": ("clusterrolebindings", RBAC),
    "Pod": ("pods", "/api/v1"),
}


@pytest.fixture(scope="module")
def token(helm: Helm, installed: Installed) -> str:
    """What helm makes for the test, and the token of its pod."""
    made: dict[str, Any] = {}
    for obj in render(helm):
        if obj["metadata"]["name"] == NAME:
            plural, base = PLACES[obj["kind"]]
            namespace = obj["metadata"].get("namespace")
            made[obj["kind"]] = Resources(installed.admin, plural, namespace, base=base).create(obj)
    assert made.keys() == PLACES.keys()
    # What a controller makes in a whole cluster.
    accounts = Resources(installed.admin, "serviceaccounts", NAMESPACE, base="/api/v1")
    accounts.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    numa_nodes = Resources(installed.admin, "numanodes")
    node = example("NumaNode")
    status = node.pop("status")
    numa_nodes.create(node)
    numa_nodes.merge("numa-0", {"status": status}, status=True)
    bound = {"apiVersion": "v1", "kind": "Pod", "name": NAME, "uid": made["Pod"]["metadata"]["uid"]}
    answer = request(
        installed.admin,
        "POST",
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token",
        {"spec": {"audiences": [], "boundObjectRef": bound}},
    )
    return str(answer["status"]["token"])


def test_pins_a_pod_and_tidies_up(installed: Installed, token: str):
    """The test plays the operator, which no pod of this cluster runs."""
    pods = Resources(installed.admin, "pods", NAMESPACE, base="/api/v1")
    pins = Resources(installed.admin, "numapins", NAMESPACE)
    said: list[str] = []

    def made() -> dict[str, Any] | None:
        found = [p for p in pods.list() if p["metadata"]["name"] == f"{NAME}-pinned"]
        return found[0] if found else None

    def made_or_failed() -> dict[str, Any] | None:
        if tried.done():
            tried.result()
        return made()

    with client(installed.apiserver, token=token) as account, ThreadPoolExecutor(1) as beside:
        api = KubeApi(account, namespace=NAMESPACE, name=NAME)
        tried = beside.submit(
            lambda: trial.run(
                api, seconds=30, say=said.append, clock=time.monotonic, sleep=time.sleep
            )
        )
        pod = until(made_or_failed, what="the pod to be made", seconds=30)
        assert pod is not None
        pin = example("NumaPin")
        status = pin.pop("status") | {"verdict": "Verified", "evidence": "ByPlacement"}
        pin["metadata"] = {"name": f"{NAME}-pinned", "namespace": NAMESPACE}
        pin["spec"]["podUID"] = pod["metadata"]["uid"]
        pins.create(pin)
        pins.merge(f"{NAME}-pinned", {"status": status}, status=True)
        tried.result(timeout=40)
    assert "verdict: Verified (ByPlacement)" in said
    assert said[-1] == "deleted the pod"
    assert made() is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-numa-0"),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-numa-0"),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{NAME}"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
        ("POST", "/api/v1/namespaces/default/pods"),
        ("GET", "/apis/numapin.io/v1alpha1/numapins"),
        ("DELETE", "/apis/numapin.io/v1alpha1/numanodes/numa-0"),
    ],
)
def test_may_do_nothing_else(installed: Installed, token: str, method, path):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}
    with (
        client(installed.apiserver, token=token) as account,
        pytest.raises(ApiException) as refused,
    ):
        request(account, method, path, pod if method == "POST" else None)
    assert refused.value.status == 403
