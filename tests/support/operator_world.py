"""A cluster for the operator alone: real API server, a pretended user and pretended agents.

No scheduler and no kubelet: pods are made with their node, nodes exist only as NumaNodes.
The operator runs as a process of its own, as it does in production, so that it can be
killed.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from kubernetes.client import ApiClient, ApiException, ApiextensionsV1Api
from support.apiserver import client
from support.operator_objects import two_sockets
from support.resources import Resources, request
from support.wait import until

from numapin_api import crd
from numapin_api.names import AGENT_MANAGER, API_VERSION
from numapin_lab import ports
from numapin_lab.controlplane import ControlPlane

REPOSITORY = Path(__file__).parents[2]
OPERATOR_NAMESPACE = "numapin"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:operator"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
OPERATOR_SECONDS = 60.0
USER_NAMES = frozenset({"LOGNAME", "USER", "LNAME", "USERNAME"})
"""What getpass.getuser() looks at first; a container has none of them."""
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

Json = dict[str, Any]


def chart_rules() -> list[Json]:
    """The operator's rights as the chart's template spells them."""
    template = REPOSITORY / "charts/numapin/templates/operator-rbac.yaml"
    role = next(d for d in template.read_text().split("\n---\n") if "\nrules:\n" in d)
    return list(yaml.safe_load("rules:\n" + role.split("\nrules:\n")[1])["rules"])


class Operator:
    """The operator as a process.

    Args:
        kubeconfig: whom it is.
        log: where its log goes.
        flags: more of them.
        under: a command that runs it.
    """

    def __init__(self, kubeconfig: Path, log: Path, *flags: str, under: Sequence[str] = ()) -> None:
        chosen = ports.choose(("liveness", "metrics"))
        self.liveness, self.metrics = chosen["liveness"], chosen["metrics"]
        self.log = log
        self._out = log.open("ab")
        self._process = subprocess.Popen(
            [
                *under,
                sys.executable,
                "-m",
                "numapin_operator",
                f"--kubeconfig={kubeconfig}",
                f"--liveness-port={self.liveness}",
                f"--metrics-port={self.metrics}",
                "--log-format=plain",
                *flags,
            ],
            stdout=self._out,
            stderr=subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if k not in USER_NAMES}
            | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def healthy(self) -> bool:
        """Whether its liveness endpoint says so; True also means that it has synced."""
        if self._process.poll() is not None:
            raise AssertionError(f"the operator ended:\n{self.log.read_text()[-4000:]}")
        return self._get(self.liveness, "/healthz")[0] == 200

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample; 0 while it does not exist."""
        wanted = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
        head = f"{name}{{{wanted}}} " if wanted else f"{name} "
        for line in self._get(self.metrics, "/metrics")[1].splitlines():
            if line.startswith(head):
                return float(line.removeprefix(head))
        return 0.0

    @staticmethod
    def _get(port: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except OSError:
            return 0, ""

    @property
    def ended(self) -> int | None:
        """Its exit status once it has ended."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        status = self._process.wait(timeout=15)
        self._out.close()
        return status


class World:
    """The control plane, and who acts in it.

    Args:
        directory: for everything that it writes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        policy = directory / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(AUDIT_POLICY))
        self._audit = directory / "audit.log"
        self.plane = ControlPlane(
            directory / "plane",
            apiserver_args=(
                f"--audit-policy-file={policy}",
                f"--audit-log-path={self._audit}",
                "--audit-log-mode=blocking",
                # Nothing here makes service accounts, and pods would wait for theirs.
                "--disable-admission-plugins=ServiceAccount",
            ),
        )
        self._numbers = itertools.count(1)
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._closing.enter_context(self.plane)
        self.kube: ApiClient = self._closing.enter_context(
            client(self.plane, token=self.plane.token)
        )
        api = ApiextensionsV1Api(self.kube)
        for kind in crd.KINDS:
            api.create_custom_resource_definition(crd.crd(kind))
        until(lambda: all(self._served(kind.model.PLURAL) for kind in crd.KINDS), what="the CRDs")
        self.kubeconfig = self._service_account()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._closing.close()

    def _served(self, plural: str) -> bool:
        try:
            Resources(self.kube, plural).list()
        except ApiException as refused:
            if refused.status == 404:
                return False
            raise
        return True

    # -- the operator -----------------------------------------------------------------

    def _service_account(self) -> Path:
        """The operator's kubeconfig: a service account with the rights that the chart gives."""
        core, rbac = "/api/v1", "/apis/rbac.authorization.k8s.io/v1"
        self.namespace(name=OPERATOR_NAMESPACE)
        accounts = Resources(self.kube, "serviceaccounts", OPERATOR_NAMESPACE, base=core)
        accounts.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}}
        )
        group = rbac.removeprefix("/apis/")
        Resources(self.kube, "clusterroles", base=rbac).create(
            {
                "apiVersion": group,
                "kind": "ClusterRole",
                "metadata": {"name": "operator"},
                "rules": chart_rules(),
            }
        )
        Resources(self.kube, "clusterrolebindings", base=rbac).create(
            {
                "apiVersion": group,
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "operator"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "operator",
                },
                "subjects": [
                    {
                        "kind": "ServiceAccount",
                        "name": "operator",
                        "namespace": OPERATOR_NAMESPACE,
                    }
                ],
            }
        )
        answer = request(
            self.kube,
            "POST",
            accounts.path("operator", "token"),
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
        return self.write_kubeconfig("operator.conf", answer["status"]["token"])

    def write_kubeconfig(self, name: str, token: str, *, server: str | None = None) -> Path:
        """A kubeconfig of that name with a token, by another way than the straight one if given."""
        config = yaml.safe_load(self.plane.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        if server is not None:
            config["clusters"][0]["cluster"]["server"] = server
        path = self.directory / name
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        return path

    @contextlib.contextmanager
    def operator(
        self, *flags: str, wait: bool = True, under: Sequence[str] = ()
    ) -> Iterator[Operator]:
        """A running operator, by default one that has listed everything; ended afterwards."""
        number = next(self._numbers)
        running = Operator(
            self.kubeconfig, self.directory / f"operator-{number}.log", *flags, under=under
        )
        try:
            if wait:
                until(running.healthy, what="the operator to be healthy", seconds=OPERATOR_SECONDS)
            yield running
        finally:
            running.stop()

    # -- the user ---------------------------------------------------------------------

    def namespace(self, *, name: str | None = None, labels: Mapping[str, str] | None = None) -> str:
        """A new namespace."""
        name = name or f"test-{next(self._numbers)}"
        self.namespaces.create(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": dict(labels or {})},
            }
        )
        return name

    def pods(self, namespace: str) -> Resources:
        """The pods of a namespace."""
        return Resources(self.kube, "pods", namespace, base="/api/v1")

    def pins(self, namespace: str) -> Resources:
        """The NumaPins of a namespace."""
        return Resources(self.kube, "numapins", namespace)

    @property
    def namespaces(self) -> Resources:
        """All namespaces."""
        return Resources(self.kube, "namespaces", base="/api/v1")

    @property
    def policies(self) -> Resources:
        """All NumaPolicies."""
        return Resources(self.kube, "numapolicies")

    def delete(self, among: Resources, name: str) -> None:
        """Delete an object at once; the operator may have been faster."""
        try:
            request(self.kube, "DELETE", among.path(name), {"gracePeriodSeconds": 0})
        except ApiException as refused:
            if refused.status != 404:
                raise

    def events(self, namespace: str, pod: str) -> list[tuple[str, str]]:
        """Type and reason of the Events on a pod, oldest first."""
        found = Resources(self.kube, "events", namespace, base="/api/v1").list(
            fieldSelector=f"involvedObject.name={pod}"
        )
        found.sort(key=lambda e: e["eventTime"])
        return [(e["type"], e["reason"]) for e in found]

    # -- the agent --------------------------------------------------------------------

    def report_node(self, name: str, status: Json | None = None) -> None:
        """What the agent of a node says of it; a machine of two sockets by default."""
        nodes = Resources(self.kube, "numanodes")
        head: Json = {"apiVersion": API_VERSION, "kind": "NumaNode", "metadata": {"name": name}}
        nodes.apply(name, head, manager=AGENT_MANAGER)
        body = head | {"status": status or two_sockets()}
        nodes.apply(name, body, manager=AGENT_MANAGER, status=True)

    def forget_node(self, name: str) -> None:
        """The node is gone for good."""
        self.delete(Resources(self.kube, "numanodes"), name)

    def report_pin(self, namespace: str, name: str, observed: Json) -> None:
        """What the agent says of a pin, for the generation that it has now."""
        pins = self.pins(namespace)
        generation = pins.get(name)["metadata"]["generation"]
        body: Json = {
            "apiVersion": API_VERSION,
            "kind": "NumaPin",
            "metadata": {"name": name, "namespace": namespace},
            "status": {"observed": {"generation": generation} | observed},
        }
        pins.apply(name, body, manager=AGENT_MANAGER, status=True)

    # -- what the operator makes of it ------------------------------------------------

    def pinned(self, namespace: str, name: str) -> Json:
        """The pin of a pod once it exists and has a status."""

        def found() -> Json | None:
            pin = self.find(self.pins(namespace), name)
            return pin if pin is not None and pin.get("status", {}).get("conditions") else None

        pin = until(found, what=f"a pin of {name} with conditions")
        assert pin is not None
        return pin

    def placed(self, namespace: str, name: str) -> Json:
        """The pin once it has a socket: the pod may be heard of before its node."""
        until(
            lambda: self.pinned(namespace, name)["spec"].get("socket") is not None,
            what=f"a socket for {name}",
        )
        return self.pinned(namespace, name)

    def judged(self, namespace: str, name: str, wanted: str) -> Json:
        """The pin once it has that verdict."""
        until(
            lambda: self.pinned(namespace, name)["status"].get("verdict") == wanted,
            what=f"the verdict of {name} to be {wanted}",
        )
        return self.pinned(namespace, name)

    def gone(self, namespace: str, name: str) -> None:
        """Return once there is no pin of that name."""
        until(
            lambda: self.find(self.pins(namespace), name) is None,
            what=f"the pin of {name} to go",
        )

    # -- the witness ------------------------------------------------------------------

    def audit(self, user: str = OPERATOR_USER) -> list[Json]:
        """Every request of the operator that the API server has answered, in order."""
        lines = self._audit.read_text().splitlines()
        found = (json.loads(line) for line in lines if line.endswith("}"))
        return [e for e in found if e["user"]["username"] == user]

    def writes(self, since: int = 0) -> list[Json]:
        """What the operator has written, from its so-manieth request on."""
        return [e for e in self.audit()[since:] if e["verb"] in WRITES]

    def find(self, among: Resources, name: str) -> Json | None:
        """An object, or None."""
        try:
            return among.get(name)
        except ApiException as refused:
            if refused.status == 404:
                return None
            raise
