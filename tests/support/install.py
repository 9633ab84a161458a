"""A cluster of its own with the chart installed in one step, and clients with its accounts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import NotFoundException
from support.apiserver import client
from support.chart import CHART, NAMESPACE, Helm
from support.resources import Resources, request
from support.wait import until

from numapin_api.crd import KINDS
from numapin_lab.controlplane import ControlPlane

NODES = ("numa-0", "numa-1")


@dataclass(frozen=True)
class Installed:
    """A control plane where ``helm install`` has run.

    Attributes:
        apiserver: the control plane.
        admin: the administrator's client.
        output: what helm printed.
    """

    apiserver: ControlPlane
    admin: ApiClient
    output: str

    def account(self, component: str, *, node: str | None = None) -> ApiClient:
        """A client with the token of :meth:`token`."""
        return client(self.apiserver, token=self.token(component, node=node))

    def kubeconfig(self, component: str, path: Path, *, node: str) -> Path:
        """Write a kubeconfig with the token of :meth:`token`."""
        admins = yaml.safe_load(self.apiserver.kubeconfig.read_text())
        admins["users"][0]["user"] = {"token": self.token(component, node=node)}
        path.write_text(yaml.safe_dump(admins))
        return path

    def token(self, component: str, *, node: str | None = None) -> str:
        """The token that a pod of the component gets on a node.

        Args:
            component: operator or agent.
            node: where the pod runs; None is a token that no pod is bound to.
        """
        body: dict[str, object] = {"spec": {"audiences": []}}
        if node is not None:
            pod = Resources(self.admin, "pods", NAMESPACE, base="/api/v1").get(
                f"{component}-{node}"
            )
            body["spec"] = {
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": pod["metadata"]["name"],
                    "uid": pod["metadata"]["uid"],
                }
            }
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/numapin-{component}/token"
        made = request(self.admin, "POST", path, body)
        return str(made["status"]["token"])


@pytest.fixture(scope="module")
def installed(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The chart in a fresh cluster with two nodes and a pod of each component on each."""
    with ControlPlane(tmp_path_factory.mktemp("installed")) as apiserver:
        done = helm(
            f"--kubeconfig={apiserver.kubeconfig}",
            *("install", "numapin", CHART, f"--namespace={NAMESPACE}", "--create-namespace"),
        )
        assert done.returncode == 0, done.stderr
        with client(apiserver, token=apiserver.token) as admin:
            for node in NODES:
                Resources(admin, "nodes", base="/api/v1").create(
                    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
                )
                for component in ("operator", "agent"):
                    _start_pod(admin, component, node=node)
            until(_served(admin), what="the API server to serve all three kinds")
            yield Installed(apiserver, admin, done.stdout)


def _start_pod(admin: ApiClient, component: str, *, node: str) -> None:
    Resources(admin, "pods", NAMESPACE, base="/api/v1").create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{component}-{node}"},
            "spec": {
                "nodeName": node,
                "serviceAccountName": f"numapin-{component}",
                "containers": [{"name": component, "image": "none"}],
            },
        }
    )


def _served(admin: ApiClient) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            served = request(admin, "GET", "/apis/numapin.io/v1alpha1")["resources"]
        except NotFoundException:
            return False  # not even the group is known yet
        return {k.model.PLURAL for k in KINDS} <= {r["name"] for r in served}

    return ask
