"""The generated CRDs in a real API server: defaults, selectors, columns."""

import json

import pytest
from kubernetes.client import ApiClient, ApiextensionsV1Api
from support.objects import example
from support.resources import Resources, request

from numapin_api import crd, names

pytestmark = pytest.mark.integration

REBALANCE = {
    "mode": "Never",
    "threshold": "85%",
    "after": "5m",
    "cooldown": "30m",
    "minGain": "10%",
    "maxMoving": 1,
}


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.name)
def test_crd_is_established_without_complaint(kube: ApiClient, crds, kind):
    found = ApiextensionsV1Api(kube).read_custom_resource_definition(kind.name)
    conditions = {c.type: c.status for c in found.status.conditions}
    # NonStructuralSchema would be a third.
    assert conditions == {"Established": "True", "NamesAccepted": "True"}


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.name)
def test_example_is_stored_field_by_field(kube: ApiClient, namespace, kind):
    found = example(kind.model.__name__)
    if kind.namespaced:
        found["metadata"]["namespace"] = namespace
    there = Resources(kube, kind.model.PLURAL, namespace if kind.namespaced else None)
    name = found["metadata"]["name"]
    there.create(found)
    there.merge(name, {"status": found["status"]}, status=True)
    stored = there.get(name)
    # Equal, so nothing was pruned as unknown.
    assert stored["status"] == found["status"]
    assert stored.get("spec") == found.get("spec")
    assert kind.model.read(stored).wire()["status"] == found["status"]


def test_defaults_are_filled_in(kube: ApiClient, namespace):
    made = Resources(kube, "numapolicies").create(
        {
            "apiVersion": names.API_VERSION,
            "kind": "NumaPolicy",
            "metadata": {"name": "all"},
            "spec": {"placement": {"strategy": "Pack"}, "verification": {"window": "5m"}},
        }
    )
    assert made["spec"] == {
        "priority": 0,
        "podSelector": {},
        "namespaceSelector": {},
        "mode": "Enforce",
        "granularity": "Socket",
        "placement": {
            "strategy": "Pack",
            "onUnplaceable": "Skip",
            "devices": "Prefer",
            "spreadReplicas": False,
            "rebalance": REBALANCE,
        },
        "memory": "Strict",
        "memoryHeadroom": "10%",
        "verification": {
            "window": "5m",
            "maxCrossSocketPagesPerSecond": 10,
            "minLocalPercent": 95,
            "onFailure": "Warn",
        },
    }


def test_policy_needs_no_spec(kube: ApiClient, namespace):
    made = Resources(kube, "numapolicies").create(
        {"apiVersion": names.API_VERSION, "kind": "NumaPolicy", "metadata": {"name": "bare"}}
    )
    assert made["spec"]["mode"] == "Enforce"


def pin(name: str, *, namespace: str, node: str) -> dict[str, object]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "NumaPin",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podUID": f"uid-of-{name}", "nodeName": node, "policy": "p"},
    }


def test_agent_lists_and_watches_the_pins_of_its_node_only(kube: ApiClient, namespace):
    pins = Resources(kube, "numapins", namespace)
    for name, node in (("a", "numa-0"), ("b", "numa-1")):
        pins.create(pin(name, namespace=namespace, node=node))
    mine = {"fieldSelector": "spec.nodeName=numa-1"}
    listed = request(kube, "GET", pins.path(), **mine)
    assert [p["metadata"]["name"] for p in listed["items"]] == ["b"]

    for name, node in (("c", "numa-0"), ("d", "numa-1")):
        pins.create(pin(name, namespace=namespace, node=node))
    sent = kube.param_serialize(
        "GET",
        pins.path(),
        query_params=[
            *mine.items(),
            ("watch", "true"),
            ("resourceVersion", listed["metadata"]["resourceVersion"]),
            # Ends the stream, so that what was not sent is known too.
            ("timeoutSeconds", "1"),
        ],
        auth_settings=["BearerToken"],
    )
    stream = kube.call_api(*sent)
    stream.read()
    events = [json.loads(line) for line in stream.data.splitlines()]
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "d")]


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def test_columns_show_what_is_in_the_objects(kube: ApiClient, namespace):
    found = example("NumaPin")
    found["metadata"]["namespace"] = namespace
    pins = Resources(kube, "numapins", namespace)
    pins.create(found)
    pins.merge("hopper", {"status": found["status"]}, status=True)
    sent = kube.param_serialize(
        "GET", pins.path(), header_params={"Accept": TABLE}, auth_settings=["BearerToken"]
    )
    answer = kube.call_api(*sent)
    answer.read()
    table = json.loads(answer.data)
    shown = dict(
        zip(
            (c["name"] for c in table["columnDefinitions"]),
            table["rows"][0]["cells"],
            strict=True,
        )
    )
    shown.pop("Age")
    assert shown == {
        "Name": "hopper",
        "Policy": "databases",
        "Node": "numa-0",
        "Socket": 1,
        "CPUs": "2-3",
        "Mems": "1",
        "Verdict": "Verified",
        "Evidence": "ByPlacement",
        "Local %": 100,
        "Cross-socket pages/s": 0,
    }
