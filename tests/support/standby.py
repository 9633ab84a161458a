"""Two operators of one release in a World: what the chart makes for a standby, pods and ways.

The rules, the admission policy and its binding are the chart's, rendered; the pods exist in the
API only, so that tokens can be bound to them, and their processes are the tests' to restart.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes.client import ApiException
from support.chart import CHART, Helm
from support.cut import Way
from support.operator_world import OPERATOR_NAMESPACE, WRITES, Operator, World
from support.resources import Resources, request
from support.wait import until

from numapin_lab import binaries

NAME: Final = "numapin-operator"
USER: Final = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{NAME}"
LEASE_SECONDS: Final = 8
_POD: Final = "authentication.kubernetes.io/pod-name"
_BASES: Final = {
    "CustomResourceDefinition": (
        "customresourcedefinitions",
        "/apis/apiextensions.k8s.io/v1",
    ),
    "Role": ("roles", "/apis/rbac.authorization.k8s.io/v1"),
    "RoleBinding": ("rolebindings", "/apis/rbac.authorization.k8s.io/v1"),
    "ValidatingAdmissionPolicy": (
        "validatingadmissionpolicies",
        "/apis/admissionregistration.k8s.io/v1",
    ),
    "ValidatingAdmissionPolicyBinding": (
        "validatingadmissionpolicybindings",
        "/apis/admissionregistration.k8s.io/v1",
    ),
}
FENCE: Final = "ValidatingAdmissionPolicyBinding"

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """One request, as the API server's audit log has it."""

    verb: str
    resource: str
    name: str
    code: int
    received: datetime
    answered: datetime


class Pair:
    """What two operators need of a cluster, and what the API server saw of each.

    Args:
        world: the cluster.
        helm: renders the chart.
    """

    def __init__(self, world: World, helm: Helm) -> None:
        self.world = world
        done = helm(
            *("template", "numapin", CHART, f"--namespace={OPERATOR_NAMESPACE}"),
            f"--kube-version={binaries.KUBERNETES_VERSION.removeprefix('v')}",
            "--set=operator.standby=true",
            "--show-only=templates/operator-standby.yaml",
        )
        assert done.returncode == 0, done.stderr
        self._objects = [o for o in yaml.safe_load_all(done.stdout) if o]
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> "Pair":
        kube, core = self.world.kube, "/api/v1"
        accounts = Resources(kube, "serviceaccounts", OPERATOR_NAMESPACE, base=core)
        self._make(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", **_named(NAME)})
        bindings = Resources(kube, "clusterrolebindings", base="/apis/rbac.authorization.k8s.io/v1")
        subject = {"kind": "ServiceAccount", "name": NAME, "namespace": OPERATOR_NAMESPACE}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
        self._make(
            bindings,
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": NAME},
                "roleRef": {**reference, "name": "operator"},
                "subjects": [subject],
            },
        )
        for made in self._objects:
            if made["kind"] != FENCE:
                self._make(self._place(made), made)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @contextlib.contextmanager
    def fence(self) -> Iterator[None]:
        """The admission policy is in force, until the end."""
        (binding,) = (o for o in self._objects if o["kind"] == FENCE)
        self._place(binding).create(binding)
        try:
            yield
        finally:
            self.world.delete(self._place(binding), NAME)
            self.world.delete(self._leases, NAME)
            self.world.delete(self._leaders, NAME)

    def _place(self, obj: Json) -> Resources:
        plural, base = _BASES[obj["kind"]]
        namespace = obj["metadata"].get("namespace")
        return Resources(self.world.kube, plural, namespace, base=base)

    def _make(self, among: Resources, obj: Json) -> None:
        among.create(obj)
        self._closing.callback(self.world.delete, among, obj["metadata"]["name"])

    @property
    def _leaders(self) -> Resources:
        return Resources(self.world.kube, "numaleaders", OPERATOR_NAMESPACE)

    @property
    def _leases(self) -> Resources:
        base = "/apis/coordination.k8s.io/v1"
        return Resources(self.world.kube, "leases", OPERATOR_NAMESPACE, base=base)

    # -- the two ----------------------------------------------------------------------

    @contextlib.contextmanager
    def pod(self, name: str, *, way: Way | None = None) -> Iterator[Path]:
        """A kubeconfig with the token of an operator's pod, which exists until the end."""
        pods = self.world.pods(OPERATOR_NAMESPACE)
        container = {"name": "operator", "image": "none"}
        made = pods.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                **_named(name),
                "spec": {"serviceAccountName": NAME, "containers": [container]},
            }
        )
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": made["metadata"]["uid"]}
        answer = request(
            self.world.kube,
            "POST",
            f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/serviceaccounts/{NAME}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"boundObjectRef": bound},
            },
        )
        server = None if way is None else way.url
        try:
            yield self.world.write_kubeconfig(
                f"{name}.conf", answer["status"]["token"], server=server
            )
        finally:
            self.world.delete(pods, name)

    @contextlib.contextmanager
    def operator(self, name: str, kubeconfig: Path, *flags: str) -> Iterator[Operator]:
        """The process in a pod of that name, once it answers its liveness probe."""
        running = Operator(
            kubeconfig,
            self.world.directory / f"{name}.log",
            f"--lease={OPERATOR_NAMESPACE}/{NAME}",
            f"--pod-name={name}",
            f"--lease-seconds={LEASE_SECONDS}",
            *flags,
        )
        try:
            until(running.healthy, what=f"{name} to answer", seconds=20)
            yield running
        finally:
            running.stop()

    def holder(self) -> str:
        """The pod that has the Lease; empty when none has."""
        try:
            return str(self._leases.get(NAME)["spec"].get("holderIdentity", ""))
        except ApiException as refused:
            if refused.status == 404:
                return ""
            raise

    def leads(self, name: str) -> None:
        """Return once that pod has the Lease."""
        until(lambda: self.holder() == name, what=f"{name} to lead", seconds=5 * LEASE_SECONDS)

    # -- the witness ------------------------------------------------------------------

    def requests(self, name: str) -> list[Seen]:
        """What a pod has asked of the API server, but for its Lease, in order of arrival."""
        found = [
            Seen(
                e["verb"],
                e.get("objectRef", {}).get("resource", ""),
                e.get("objectRef", {}).get("name", ""),
                int(e["responseStatus"]["code"]),
                _time(e["requestReceivedTimestamp"]),
                _time(e["stageTimestamp"]),
            )
            for e in self.world.audit(USER)
            if e["user"].get("extra", {}).get(_POD) == [name]
            and e.get("objectRef", {}).get("resource") not in {"leases", "numaleaders"}
            and "dryRun" not in e["requestURI"]
        ]
        return sorted(found, key=lambda s: s.received)

    def written(self, name: str) -> list[Seen]:
        """What a pod has written of what it decides; Events decide nothing."""
        return [
            s
            for s in self.requests(name)
            if s.verb in WRITES and s.resource != "events" and s.code < 300
        ]

    def refused(self, name: str) -> list[Seen]:
        """What a pod was not let write by the admission policy."""
        return [s for s in self.requests(name) if s.verb in WRITES and s.code == 403]


def _named(name: str) -> Json:
    return {"metadata": {"name": name, "namespace": OPERATOR_NAMESPACE}}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
