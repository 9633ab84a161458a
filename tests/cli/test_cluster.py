"""The command line against a real API server: what it shows, and how it fails."""

import json

import pytest
import yaml
from kubernetes.client import CoreV1Api
from support.kubeconfig import kubeconfig

from numapin_api import names
from numapin_cli.kube import Cluster

pytestmark = pytest.mark.integration


def pod(name: str, **labels: str) -> dict:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "numa-0", "containers": [{"name": "c", "image": "i"}]},
    }


@pytest.fixture
def cluster(make, pin_json, numa_node, kube):
    """A node with an agent and one without, a verified pod, one without a pin, a plain one."""
    make(numa_node().wire(), "numanodes")
    for name in ("numa-0", "bare"):
        CoreV1Api(kube).create_node({"metadata": {"name": name}})
    make(pin_json(), "numapins")
    make(pod("redis-0", **{names.PIN_LABEL: "true"}), "pods")
    make(pod("redis-1", **{names.PIN_LABEL: "true"}), "pods")
    make(pod("plain"), "pods")


@pytest.mark.usefixtures("cluster")
def test_status(numapin, here, namespace):
    run = numapin("status", *here, "-o", "json")
    assert (run.status, run.err) == (0, "")
    rows = json.loads(run.out)["pods"]
    assert [(r["name"], r["verdict"], r["localPercent"]) for r in rows] == [
        ("redis-0", "Verified", 99.0),
        ("redis-1", None, None),
    ]
    assert {r["namespace"] for r in rows} == {namespace}
    table = numapin("status", "-A", *here)
    assert "Verified Measured 99.0%" in " ".join(table.out.split())
    assert "plain" not in table.out


@pytest.mark.usefixtures("cluster")
def test_status_of_one_pod(numapin, here, namespace):
    assert numapin("status", "redis-0", *here).status == 0
    run = numapin("status", "redis-1", *here, "-o", "json")
    assert (run.status, json.loads(run.out)) == (1, {"pods": []})
    assert f"numapin explain redis-1 -n {namespace} says why" in run.err


@pytest.mark.usefixtures("cluster")
def test_nodes(numapin, here):
    run = numapin("nodes", *here, "-o", "json")
    assert (run.status, run.err) == (0, "")
    by_name = {n["name"]: n for n in json.loads(run.out)["nodes"]}
    assert {k: v["ready"] for k, v in by_name.items()} == {"numa-0": True, "bare": None}
    assert by_name["numa-0"]["numaNodes"][1]["memoryAvailableBytes"] == 1 << 30
    assert "bare: no numapin agent has reported from this node" in numapin("nodes", *here).out


@pytest.mark.usefixtures("cluster")
def test_plan_of_a_cluster(numapin, here, namespace):
    run = numapin("plan", *here, "-o", "json")
    assert (run.status, run.err) == (0, "")
    found = json.loads(run.out)
    ours = [p for p in found["pins"] if p["namespace"] == namespace]
    # One has a pin of its own name's earlier pod, and none is left where that was.
    assert [(p["name"], p["node"], p["memory"]) for p in ours] == [
        ("redis-0", "numa-0", "Strict"),
        ("redis-1", "numa-0", "Strict"),
    ]
    assert [u["name"] for u in found["unplaceable"] if u["namespace"] == namespace] == []


@pytest.mark.usefixtures("cluster")
def test_explain_a_verified_pod(numapin, here, namespace):
    run = numapin("explain", "redis-0", "-n", namespace, *here, "-o", "json")
    assert (run.status, run.err) == (0, "")
    said = json.loads(run.out)
    assert said["verdict"] == "Verified"
    assert {c["name"]: c["ok"] for c in said["checks"]}["residency"] is True
    assert (said["before"]["crossSocketPagesPerSecond"], said["memory"][1]["socket"]) == (800, 1)
    table = numapin("explain", "redis-0", *here)
    assert table.status == 0
    assert f"{namespace}/redis-0 on numa-0: Verified (Measured)" in table.out


@pytest.mark.usefixtures("cluster")
def test_explain_says_yaml_too(numapin, here):
    run = numapin("explain", "redis-0", *here, "-o", "yaml")
    assert yaml.safe_load(run.out)["next"]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("name", "failed", "message"),
    [
        ("plain", ["label", "operator"], "does not have the label numapin.io/pin=true"),
        ("redis-1", ["operator"], "no Deployment of numapin's operator was found"),
    ],
)
def test_explain_a_pod_without_a_pin(numapin, here, name, failed, message):
    run = numapin("explain", name, *here, "-o", "json")
    said = json.loads(run.out)
    assert (run.status, run.err) == (1, "")
    assert [c["name"] for c in said["checks"] if c["ok"] is False] == failed
    assert message in said["message"]


def test_explain_no_such_pod(numapin, here, namespace):
    run = numapin("explain", "nobody", *here, "-o", "json")
    assert (run.status, run.out) == (1, "")
    assert run.err == f"numapin: there is no pod nobody in namespace {namespace}\n"


def test_lists_longer_than_a_page(kube, namespace, make, pin_json):
    for i in range(3):
        make(pin_json(metadata={"name": f"p{i}"}), "numapins")
    cluster = Cluster(kube, namespace=namespace, described="the test's", page=2)
    assert [p.metadata.name for p in cluster.pins(namespace)] == ["p0", "p1", "p2"]


def test_credentials_that_are_refused(numapin, tmp_path, apiserver, namespace):
    path = kubeconfig(tmp_path / "bad", apiserver, token="wrong", namespace=namespace)
    run = numapin("status", "--kubeconfig", path)
    assert (run.status, run.out) == (1, "")
    assert "does not accept these credentials" in run.err


def test_a_context_that_is_not_there(numapin, here):
    run = numapin("status", *here, "--context", "nosuch")
    assert (run.status, run.out) == (1, "")
    assert "nosuch" in run.err
    assert "can't be used" in run.err


def test_no_server_there(numapin, tmp_path, here):
    path = tmp_path / "down"
    config = yaml.safe_load(here[1].read_text())
    config["clusters"][0]["cluster"] = {"server": "http://127.0.0.1:1"}
    path.write_text(yaml.safe_dump(config))
    run = numapin("nodes", "--kubeconfig", path)
    assert (run.status, run.out) == (1, "")
    assert "can't reach the API server http://127.0.0.1:1" in run.err
    assert f"kubeconfig {path}, context test" in run.err
    assert "Traceback" not in run.err
