"""``helm install`` into a real API server, and what an uninstall leaves there."""

import pytest
from kubernetes.client import ApiClient, ApiException
from support.apiserver import client
from support.chart import CHART, EVERYTHING, NAMESPACE, Helm, Object, render
from support.install import Installed
from support.objects import example
from support.resources import APPLY, Resources, request
from support.wait import until

from numapin_lab.controlplane import ControlPlane

pytestmark = pytest.mark.integration

PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "CustomResourceDefinition": "customresourcedefinitions",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "ServiceAccount": "serviceaccounts",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def collection(kube: ApiClient, obj: Object) -> Resources:
    version = obj["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return Resources(
        kube, PLURALS[obj["kind"]], namespace=obj["metadata"].get("namespace"), base=base
    )


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_api_server_takes_every_object_and_knows_every_field(
    helm: Helm, installed: Installed, values
):
    for obj in render(helm, values):
        there = collection(installed.admin, obj)
        taken = request(
            installed.admin,
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


def test_install_is_one_step_and_tells_what_next(installed: Installed):
    assert "kubectl label pod POD numapin.io/pin=true" in installed.output
    assert "pod-security.kubernetes.io/enforce=privileged" in installed.output


def test_operator_passes_where_restricted_is_enforced_and_agent_does_not(
    helm: Helm, installed: Installed
):
    """Why the notes speak of Pod Security: the API server's own judgement of both pods."""
    admin = installed.admin
    request(
        admin,
        "POST",
        "/api/v1/namespaces",
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": "restricted",
                "labels": {"pod-security.kubernetes.io/warn": "restricted"},
            },
        },
    )
    warnings = {}
    for obj in render(helm):
        if obj["kind"] in ("Deployment", "DaemonSet"):
            obj["metadata"]["namespace"] = "restricted"
            there = collection(admin, obj)
            sent = admin.param_serialize(
                "POST",
                there.path(),
                query_params=[("dryRun", "All")],
                header_params={"Content-Type": "application/json"},
                body=obj,
                auth_settings=["BearerToken"],
            )
            warnings[obj["kind"]] = admin.call_api(*sent).getheaders().get("Warning", "")
    assert warnings["Deployment"] == ""
    assert "host namespaces (hostPID=true)" in warnings["DaemonSet"]
    assert "privileged (container" not in warnings["DaemonSet"]


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
            run("uninstall", "numapin")
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
