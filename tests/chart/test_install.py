"""``helm install`` into a real API server, and what an uninstall leaves there."""

import pytest
from kubernetes.client import ApiClient, ApiException
from support import monitoring
from support.apiserver import client
from support.chart import CHART, NAMESPACE, SCENARIOS, Helm, Object, one, render
from support.install import Installed
from support.objects import example
from support.resources import APPLY, Resources, request
from support.wait import until

from numapin_lab.controlplane import ControlPlane
from numapin_operator.selftest import judge

pytestmark = pytest.mark.integration

PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "CustomResourceDefinition": "customresourcedefinitions",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "Job": "jobs",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ServiceAccount": "serviceaccounts",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "NetworkPolicy": "networkpolicies",
    "Pod": "pods",
    "PodMonitor": "podmonitors",
    "PrometheusRule": "prometheusrules",
    "Service": "services",
    "ServiceMonitor": "servicemonitors",
}


def collection(kube: ApiClient, obj: Object) -> Resources:
    version = obj["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return Resources(
        kube, PLURALS[obj["kind"]], namespace=obj["metadata"].get("namespace"), base=base
    )


@pytest.fixture(scope="module")
def ready_for_all(installed: Installed) -> ApiClient:
    """The administrator of a cluster that knows every kind and has what pods refer to."""
    monitoring.install(installed.admin)
    for name in ("numapin-test", "pins-test"):
        Resources(installed.admin, "serviceaccounts", NAMESPACE, base="/api/v1").create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        )
    return installed.admin


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda path: path.stem)
def test_api_server_takes_every_object_and_knows_every_field(
    helm: Helm, ready_for_all: ApiClient, file
):
    for obj in render(helm, file=file):
        there = collection(ready_for_all, obj)
        taken = request(
            ready_for_all,
            "PATCH",
            there.path(obj["metadata"]["name"]),
            obj,
            content=APPLY,
            fieldManager="test",
            force="true",
            dryRun="All",
            fieldValidation="Strict",
        )
        assert taken["kind"] == obj["kind"]


def test_field_that_does_not_exist_would_be_found(helm: Helm, ready_for_all: ApiClient):
    objects = render(helm, {"monitoring.podMonitor.enabled": True})
    for kind, name in (("DaemonSet", "numapin-agent"), ("PodMonitor", "numapin-agent")):
        obj = one(objects, kind, name)
        obj["spec"]["selectr"] = {}
        with pytest.raises(ApiException, match="selectr"):
            request(
                ready_for_all,
                "PATCH",
                collection(ready_for_all, obj).path(name),
                obj,
                content=APPLY,
                fieldManager="test",
                force="true",
                dryRun="All",
                fieldValidation="Strict",
            )


def test_install_is_one_step_and_tells_what_next(installed: Installed):
    assert "kubectl label pod POD numapin.io/pin=true" in installed.output
    assert "pod-security.kubernetes.io/enforce=privileged" in installed.output


@pytest.fixture(scope="module")
def restricted(installed: Installed) -> str:
    """A namespace where Pod Security enforces its strictest level."""
    name = "restricted"
    request(
        installed.admin,
        "POST",
        "/api/v1/namespaces",
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
    )
    ours = ("numapin-operator", "numapin-agent", "numapin-test", "numapin-uninstall")
    for account in (*ours, "default"):
        Resources(installed.admin, "serviceaccounts", name, base="/api/v1").create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        )
    return name


def tried(installed: Installed, namespace: str, spec: Object) -> None:
    """Have the API server judge a pod, without making it.

    Raises:
        ApiException: it is refused.
    """
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "namespace": namespace},
        "spec": spec,
    }
    request(installed.admin, "POST", f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")


def test_all_but_the_agent_pass_where_restricted_is_enforced(
    helm: Helm, installed: Installed, restricted: str
):
    objects = render(helm)
    tester = one(objects, "Pod", "numapin-test")
    tester["metadata"]["uid"] = "1"
    for spec in (
        one(objects, "Deployment")["spec"]["template"]["spec"],
        one(objects, "Job")["spec"]["template"]["spec"],
        tester["spec"],
        judge.pod(tester, ["numa-0"], seconds=60)["spec"],
    ):
        tried(installed, restricted, spec)


def test_agent_is_refused_there_for_what_the_notes_say(
    helm: Helm, installed: Installed, restricted: str
):
    spec = one(render(helm), "DaemonSet")["spec"]["template"]["spec"]
    with pytest.raises(ApiException) as refused:
        tried(installed, restricted, spec)
    said = str(refused.value.body)
    assert "host namespaces (hostPID=true)" in said
    assert "privileged (container" not in said


def test_uninstall_keeps_policies_and_a_new_install_takes_them_up(helm: Helm, tmp_path):
    with ControlPlane(tmp_path) as apiserver:

        def run(*args: object) -> None:
            done = helm(f"--kubeconfig={apiserver.kubeconfig}", f"--namespace={NAMESPACE}", *args)
            assert done.returncode == 0, done.stderr

        with client(apiserver, token=apiserver.token) as admin:
            policies = Resources(admin, "numapolicies")
            run("install", "numapin", CHART, "--create-namespace")
            until(lambda: served(policies), what="the policies to be served")
            policies.create(example("NumaPolicy"))
            run("upgrade", "numapin", CHART, "--set=agent.interval=5s")
            run("uninstall", "numapin", "--no-hooks")  # nobody runs Jobs here
            assert [p["metadata"]["name"] for p in policies.list()] == ["databases"]
            run("install", "numapin", CHART)
            assert [p["metadata"]["name"] for p in policies.list()] == ["databases"]


def served(there: Resources) -> bool:
    try:
        there.list()
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    return True
