"""The doctor against a real API server: what it finds, and what it may not see."""

import json
from pathlib import Path

import pytest
import yaml
from kubernetes.client import ApiextensionsV1Api, AppsV1Api, CoreV1Api, CustomObjectsApi
from support.apiserver import client

from numapin_api import names
from numapin_api.crd import KINDS, crd
from numapin_cli.doctor.cluster import crd_state
from numapin_cli.kube import Cluster

pytestmark = pytest.mark.integration

LABELS = {"app.kubernetes.io/name": "numapin", "app.kubernetes.io/version": "0.1.0"}


def workload(name: str, component: str | None = None, **spec):
    labels = {"app": name} | (
        {**LABELS, "app.kubernetes.io/component": component} if component else {}
    )
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": f"example.com/{name}:1"}]},
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template} | spec,
    }


@pytest.fixture
def here(apiserver):
    return ("--kubeconfig", apiserver.kubeconfig)


@pytest.fixture
def apps(kube, namespace):
    """Makes Deployments and DaemonSets; afterwards none is left."""
    api = AppsV1Api(kube)
    yield api
    api.delete_collection_namespaced_daemon_set(namespace)
    api.delete_collection_namespaced_deployment(namespace)


@pytest.fixture
def installed(apps, kube, namespace, pin_json, numa_node):
    """An operator and an agent that are available, one node, one verified pin."""
    core, custom = CoreV1Api(kube), CustomObjectsApi(kube)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
    apps.create_namespaced_deployment(namespace, workload("operator", "operator"))
    apps.patch_namespaced_deployment_status(
        "operator",
        namespace,
        {"status": {"replicas": 1, "availableReplicas": 1, "readyReplicas": 1}},
    )
    apps.create_namespaced_daemon_set(namespace, workload("agent", "agent"))
    apps.patch_namespaced_daemon_set_status(
        "agent",
        namespace,
        {
            "status": {
                "desiredNumberScheduled": 1,
                "numberReady": 1,
                "currentNumberScheduled": 1,
                "numberMisscheduled": 0,
            }
        },
    )
    core.create_node({"metadata": {"name": "numa-0"}})
    pod = {
        "metadata": {
            "name": "agent-x",
            "labels": {**LABELS, "app.kubernetes.io/component": "agent"},
        },
        "spec": {"nodeName": "numa-0", "containers": [{"name": "c", "image": "i"}]},
    }
    core.create_namespaced_pod(namespace, pod)
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    core.patch_namespaced_pod_status("agent-x", namespace, ready)
    ours = (names.GROUP, names.VERSION)
    node, pin = numa_node().wire(), pin_json()
    made = {"apiVersion": names.API_VERSION, "kind": "NumaNode", "metadata": {"name": "numa-0"}}
    custom.create_cluster_custom_object(*ours, "numanodes", made)
    custom.patch_cluster_custom_object_status(
        *ours, "numanodes", "numa-0", {"status": node["status"]}
    )
    made = {
        "apiVersion": names.API_VERSION,
        "kind": "NumaPin",
        "metadata": {"name": "redis-0"},
        "spec": pin["spec"],
    }
    custom.create_namespaced_custom_object(*ours, namespace, "numapins", made)
    custom.patch_namespaced_custom_object_status(
        *ours, namespace, "numapins", "redis-0", {"status": pin["status"]}
    )


def findings(run) -> dict[str, dict]:
    return {f["check"]: f for f in json.loads(run.out)["findings"]}


@pytest.mark.usefixtures("installed")
def test_a_whole_installation(numapin, here):
    run = numapin("doctor", *here, "-o", "json")
    found = findings(run)
    assert (run.status, run.err) == (0, ""), found
    levels = {name: f["level"] for name, f in found.items()}
    # One signal is missing on the fixture's node, and no kubelet answers.
    assert levels.pop("counters") == "warn"
    assert levels.pop("cpuManager") == "unknown"
    assert set(levels.values()) == {"ok"}, found
    assert found["api"]["message"].startswith("Kubernetes v1.")


def test_the_api_server_hands_out_crds_as_they_were_installed(kube, crds):
    api = ApiextensionsV1Api(kube)
    for kind in KINDS:
        held = api.api_client.sanitize_for_serialization(
            api.read_custom_resource_definition(kind.name)
        )
        assert crd_state(crd(kind), held) == "current"


@pytest.mark.usefixtures("installed")
def test_what_is_wrong_is_found(numapin, here, apps, kube, namespace):
    apps.patch_namespaced_deployment_status(
        "operator", namespace, {"status": {"availableReplicas": 0, "readyReplicas": 0}}
    )
    apps.create_namespaced_daemon_set(namespace, workload("nri-resource-policy-balloons"))
    CustomObjectsApi(kube).patch_namespaced_custom_object_status(
        names.GROUP,
        names.VERSION,
        namespace,
        "numapins",
        "redis-0",
        {"status": {"verdict": "Ineffective"}},
    )
    CoreV1Api(kube).create_node({"metadata": {"name": "bare"}})
    run = numapin("doctor", *here, "-o", "json")
    found = findings(run)
    assert run.status == 1
    assert {c: f["level"] for c, f in found.items() if f["level"] in {"warn", "fail"}} == {
        "operator": "fail",
        "nodes": "warn",
        "counters": "warn",
        "otherTools": "warn",
        "pins": "fail",
    }
    assert found["pins"]["remedy"] == f"numapin explain redis-0 -n {namespace}"
    assert "nri-plugins balloons" in found["otherTools"]["message"]
    text = numapin("doctor", *here).out
    assert "to do: numapin explain redis-0" in text


@pytest.mark.usefixtures("installed")
def test_a_user_who_may_see_nothing_is_told_so(numapin, apiserver, kube, namespace, tmp_path: Path):
    core = CoreV1Api(kube)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "nobody"}})
    token = core.create_namespaced_service_account_token(
        "nobody", namespace, {"spec": {"audiences": []}}
    ).status.token
    config = yaml.safe_load(apiserver.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    run = numapin("doctor", "--kubeconfig", path, "-o", "json")
    found = findings(run)
    assert (run.status, run.err) == (0, "")
    assert found["api"]["level"] == "ok"
    assert found["access"]["level"] == "warn"
    assert "list numapins.numapin.io" in found["access"]["message"]
    for check in ("crds", "operator", "agents", "nodes", "otherTools", "pins", "pods"):
        assert found[check]["level"] == "unknown", found[check]
    with client(apiserver, token=token) as theirs:
        cluster = Cluster(theirs, namespace=namespace, described="the test's")
        assert not cluster.may("list", names.GROUP, "numapins")


def test_no_server(numapin, here, tmp_path):
    config = yaml.safe_load(here[1].read_text())
    config["clusters"][0]["cluster"] = {"server": "http://127.0.0.1:1"}
    path = tmp_path / "down"
    path.write_text(yaml.safe_dump(config))
    run = numapin("--kubeconfig", path, "doctor")
    assert (run.status, run.err) == (1, "")
    assert "can't reach the API server http://127.0.0.1:1" in run.out
