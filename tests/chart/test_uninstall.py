"""``helm uninstall`` against a real API server: what is asked, what is left, that it ends.

Played here: the controllers, the kubelet and the agents. The hook is the real program with
the arguments and the token that the chart gives it.
"""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, ApiException
from support.apiserver import client
from support.chart import CHART, EVERYTHING, NAMESPACE, Helm, one, render
from support.objects import example
from support.resources import Resources, request
from support.wait import until

from numapin_api.names import API_VERSION
from numapin_lab.controlplane import ControlPlane

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

NAME = "numapin-uninstall"
HOOK = {
    "serviceaccounts": "/api/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "jobs": "/apis/batch/v1",
}
OURS = "app.kubernetes.io/component=uninstall"
HOOK_OF_CLUSTER = ("clusterroles", "clusterrolebindings")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Cluster:
    """A release, its pods, pins on two nodes; a thread that plays everybody else.

    Attributes:
        agents: nodes whose agent answers.
        output: what the hook printed.
    """

    apiserver: ControlPlane
    admin: ApiClient
    helm: Helm
    scratch: Path
    agents: set[str]
    output: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def run(self, *args: object) -> subprocess.CompletedProcess[str]:
        return self.helm(
            f"--kubeconfig={self.apiserver.kubeconfig}", f"--namespace={NAMESPACE}", *args
        )

    def there(self, plural: str, base: str = f"/apis/{API_VERSION}", **more: Any) -> Resources:
        return Resources(self.admin, plural, base=base, **more)

    @property
    def pods(self) -> Resources:
        return self.there("pods", "/api/v1", namespace=NAMESPACE)

    def start_pod(self, component: str, node: str) -> None:
        labels = {
            "app.kubernetes.io/name": "numapin",
            "app.kubernetes.io/instance": "numapin",
            "app.kubernetes.io/component": component,
        }
        name = f"{component}-{node}"
        self.pods.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "nodeName": node,
                    "serviceAccountName": f"numapin-{component}",
                    "containers": [{"name": component, "image": "none"}],
                },
            }
        )
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
        self.pods.merge(name, {"status": {"phase": "Running", "conditions": [ready]}}, status=True)

    def pin(self, name: str, node: str) -> None:
        pins = self.there("numapins", namespace="default")
        found = example("NumaPin")
        found["metadata"] = {"name": name, "namespace": "default"}
        found["spec"]["nodeName"] = node
        status = found.pop("status")
        made = pins.create(found)
        status["observed"]["generation"] = made["metadata"]["generation"]
        pins.merge(name, {"status": status}, status=True)

    # Played by this thread.

    def play(self) -> None:
        while not self._end.wait(0.2):
            for component, kind in (("operator", "deployments"), ("agent", "daemonsets")):
                self._collect(component, kind)
            for pin in self.there("numapins").list():
                self._answer(pin)
            for job in self.there("jobs", "/apis/batch/v1", namespace=NAMESPACE).list():
                if "startTime" not in job.get("status", {}):
                    self._work(job)

    def _collect(self, component: str, kind: str) -> None:
        if self.there(kind, "/apis/apps/v1", namespace=NAMESPACE).list():
            return
        for pod in self.pods.list(labelSelector=f"app.kubernetes.io/component={component}"):
            request(
                self.admin,
                "DELETE",
                self.pods.path(pod["metadata"]["name"]),
                gracePeriodSeconds="0",
            )
            self.order.append(f"{component} ended")

    def _answer(self, pin: dict[str, Any]) -> None:
        """As an agent does: give back what the spec asks for no more, and say so."""
        meta, spec = pin["metadata"], pin["spec"]
        observed = pin.get("status", {}).get("observed")
        if observed is None or spec["nodeName"] not in self.agents:
            return
        if observed["generation"] == meta["generation"]:
            return
        assert "socket" not in spec
        patch = {
            "generation": meta["generation"],
            "phase": "Unpinned",
            "applied": None,
            "effective": {"cpus": "0-3", "mems": "0-1"},
        }
        self.order.append(f"{meta['name']} released")
        self.there("numapins", namespace="default").merge(
            meta["name"], {"status": {"observed": patch}}, status=True
        )

    def _work(self, job: dict[str, Any]) -> None:
        thread = threading.Thread(target=self._hook, args=(job,), daemon=True)
        there = self.there("jobs", "/apis/batch/v1", namespace=NAMESPACE)
        begun = {"startTime": now(), "active": 1}
        there.merge(job["metadata"]["name"], {"status": begun}, status=True)
        self._threads.append(thread)
        thread.start()

    _threads: list[threading.Thread] = field(default_factory=list)

    def _hook(self, job: dict[str, Any]) -> None:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["command"] == [NAME]
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{pod['serviceAccountName']}/token"
        token = request(self.admin, "POST", path, {"spec": {"audiences": []}})["status"]["token"]
        config = yaml.safe_load(self.apiserver.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        kubeconfig = self.scratch / "hook.conf"
        kubeconfig.write_text(yaml.safe_dump(config))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "numapin_operator.uninstall"),
                *container["args"],
                f"--kubeconfig={kubeconfig}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        self.output += done.stdout.splitlines()
        assert done.returncode == 0, done.stdout
        ended = [
            {"type": kind, "status": "True", "reason": "CompletionsReached"}
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        stamp = {"lastTransitionTime": now(), "lastProbeTime": now(), "message": ""}
        self.there("jobs", "/apis/batch/v1", namespace=NAMESPACE).merge(
            job["metadata"]["name"],
            {
                "status": {
                    "active": 0,
                    "succeeded": 1,
                    "completionTime": now(),
                    "conditions": [{**c, **stamp} for c in ended],
                }
            },
            status=True,
        )

    def clear(self) -> None:
        """Take away what a test has left, so that the next one can install again."""
        self.run("uninstall", "numapin", "--no-hooks", "--ignore-not-found")
        for plural, base in HOOK.items():
            there = self.there(plural, base, namespace=NAMESPACE)
            # A Job's dependents would be orphaned first, by a controller that is not here.
            gone = {"labelSelector": OURS, "propagationPolicy": "Background"}
            request(self.admin, "DELETE", there.path(), **gone)
        for plural in HOOK_OF_CLUSTER:
            there = self.there(plural, HOOK["roles"])
            request(self.admin, "DELETE", there.path(), labelSelector=OURS)
        request(self.admin, "DELETE", self.pods.path(), gracePeriodSeconds="0")
        for plural in ("numapolicies", "numanodes"):
            request(self.admin, "DELETE", self.there(plural).path())
        request(self.admin, "DELETE", self.there("numapins", namespace="default").path())

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture(scope="module")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for all tests here: each installs numapin and takes it away again."""
    with ControlPlane(tmp_path_factory.mktemp("uninstall")) as running:
        yield running


@pytest.fixture
def cluster(helm: Helm, apiserver: ControlPlane, tmp_path: Path) -> Iterator[Cluster]:
    with client(apiserver, token=apiserver.token) as admin:
        made = Cluster(apiserver, admin, helm, tmp_path, {"numa-0", "numa-1"})
        done = made.run("install", "numapin", CHART, "--create-namespace")
        assert done.returncode == 0, done.stderr
        until(lambda: served(made), what="the API server to serve the CRDs")
        made.start_pod("operator", "numa-0")
        for node in ("numa-0", "numa-1"):
            made.start_pod("agent", node)
            made.there("numanodes").create(
                {"apiVersion": API_VERSION, "kind": "NumaNode", "metadata": {"name": node}}
            )
        thread = threading.Thread(target=made.play, daemon=True)
        thread.start()
        yield made
        made.stop()
        thread.join(30)
        made.clear()


def served(cluster: Cluster) -> bool:
    with contextlib.suppress(ApiException):
        cluster.there("numapins").list()
        cluster.there("numanodes").list()
        return True
    return False


def leftovers(cluster: Cluster) -> list[str]:
    """All that could be left of numapin but CRDs and policies."""
    found = [
        *(cluster.there(p, base, namespace=NAMESPACE).list() for p, base in HOOK.items()),
        *(cluster.there(p, HOOK["roles"]).list() for p in HOOK_OF_CLUSTER),
        *(cluster.there(p).list() for p in ("numapins", "numanodes", "numatraces")),
        *(
            cluster.there(p, "/apis/apps/v1", namespace=NAMESPACE).list()
            for p in ("deployments", "daemonsets")
        ),
    ]
    names = [o["metadata"]["name"] for objects in found for o in objects]
    return [n for n in names if n.startswith(("numapin", "numa-", "db", "web"))]


def test_pins_are_given_back_first_and_nothing_is_left(cluster: Cluster):
    cluster.there("numapolicies").create(example("NumaPolicy"))
    cluster.pin("db", "numa-0")
    cluster.pin("web", "numa-1")
    done = cluster.run("uninstall", "numapin")
    assert done.returncode == 0, (done.stderr, cluster.output)
    assert "numapin: 2 of 2 pinned pods have their cpuset back" in cluster.output
    assert cluster.order[0] == "operator ended"
    assert sorted(cluster.order[1:3]) == ["db released", "web released"]
    assert cluster.order[3:] == ["agent ended", "agent ended"]
    assert leftovers(cluster) == []
    assert [p["metadata"]["name"] for p in cluster.there("numapolicies").list()] == ["databases"]


def test_agents_and_operator_that_are_gone_are_named_not_waited_for(cluster: Cluster):
    cluster.pin("db", "numa-0")
    cluster.agents.clear()
    for kind in ("deployments", "daemonsets"):
        there = cluster.there(kind, "/apis/apps/v1", namespace=NAMESPACE)
        (found,) = there.list()
        request(cluster.admin, "DELETE", there.path(found["metadata"]["name"]))
    until(lambda: not cluster.pods.list(), what="the pods to go")
    done = cluster.run("uninstall", "numapin")
    assert done.returncode == 0, (done.stderr, cluster.output)
    assert "numapin: 0 of 1 pinned pods have their cpuset back" in cluster.output
    assert "numapin: node numa-0: no agent runs there; still pinned: default/db" in cluster.output
    assert leftovers(cluster) == []


def test_keep_leaves_pods_and_pins_as_they_are(cluster: Cluster):
    """No hook runs, and the next install takes the pins up."""
    cluster.pin("db", "numa-0")
    done = cluster.run("upgrade", "numapin", CHART, "--set=onUninstall=Keep")
    assert done.returncode == 0, done.stderr
    done = cluster.run("uninstall", "numapin")
    assert done.returncode == 0, done.stderr
    assert cluster.output == []
    (pin,) = cluster.there("numapins").list()
    assert pin["spec"]["socket"] == example("NumaPin")["spec"]["socket"]


FORBIDDEN = [
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
    ("GET", "/api/v1/pods"),
    ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/agent-numa-0"),
    ("DELETE", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/other"),
    ("DELETE", f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/numapin-operator"),
    ("DELETE", "/apis/apps/v1/namespaces/default/deployments/numapin-operator"),
    ("DELETE", f"/apis/{API_VERSION}/numapolicies"),
    ("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/numapins.numapin.io"),
    ("POST", f"/apis/{API_VERSION}/namespaces/default/numapins"),
]


def test_the_hook_may_do_no_more_than_that(cluster: Cluster):
    objects = render(cluster.helm)
    account = one(objects, "ServiceAccount", NAME)
    cluster.there("serviceaccounts", "/api/v1", namespace=NAMESPACE).create(account)
    rbac = HOOK["roles"]
    for kind, plural in (("ClusterRole", "clusterroles"), ("Role", "roles")):
        for suffix in ("", "binding"):
            obj = one(objects, f"{kind}{suffix.capitalize()}", NAME)
            plurals = f"{plural.removesuffix('s')}{suffix}s"
            namespace = obj["metadata"].get("namespace")
            cluster.there(plurals, rbac, namespace=namespace).create(obj)
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token"
    token = request(cluster.admin, "POST", path, {"spec": {"audiences": []}})["status"]["token"]
    with client(cluster.apiserver, token=token) as hook:
        until(lambda: allowed(hook, "GET", f"/apis/{API_VERSION}/numapins"), what="its rights")
        assert allowed(hook, "GET", f"/api/v1/namespaces/{NAMESPACE}/pods")
        assert [r for r in FORBIDDEN if allowed(hook, *r)] == []


def allowed(kube: ApiClient, method: str, path: str) -> bool:
    body = {"apiVersion": API_VERSION, "kind": "NumaPin", "metadata": {"name": "x"}}
    try:
        request(kube, method, path, body if method == "POST" else None)
    except ApiException as error:
        if error.status != 403:
            raise
        return False
    return True


def test_the_hook_is_restricted_bounded_and_gets_the_operators_values(helm: Helm):
    values = {k: v for k, v in EVERYTHING.items() if k != "onUninstall"}
    job = one(render(helm, values), "Job")
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-delete",
        "helm.sh/hook-weight": "0",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-succeeded,hook-failed",
    }
    assert job["spec"]["activeDeadlineSeconds"] == 270
    pod = job["spec"]["template"]["spec"]
    operator = one(render(helm, values), "Deployment")["spec"]["template"]["spec"]
    same = ("securityContext", "imagePullSecrets", "priorityClassName", "nodeSelector")
    for key in (*same, "tolerations", "affinity", "enableServiceLinks"):
        assert pod[key] == operator[key]
    (container,), (operators,) = pod["containers"], operator["containers"]
    for key in ("image", "imagePullPolicy", "resources", "securityContext"):
        assert container[key] == operators[key]
    assert "--deployment=pins-operator" in container["args"]
    assert "--daemonset=pins-agent" in container["args"]


def test_hooks_run_on_uninstall_only_and_go_again(helm: Helm):
    for obj in render(helm):
        hook = obj["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert (hook == "pre-delete") == (obj["metadata"]["name"] == NAME)
    kept = render(helm, {"onUninstall": "Keep"})
    assert NAME not in {o["metadata"]["name"] for o in kept}
