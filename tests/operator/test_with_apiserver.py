"""The operator as a process against a real API server; tests play user and agent."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.operator_objects import ago, condition, good_report, pod, two_sockets
from support.operator_world import Operator, World
from support.resources import request
from support.wait import until

from numapin_api.names import PIN_LABEL

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("operator"),
]

Json = dict[str, Any]


def test_scheduled_pod_gets_a_pin_that_it_owns(world: World, namespace: str, node: str):
    made = world.pods(namespace).create(pod("redis", node=node))
    pin = world.placed(namespace, "redis")
    assert pin["spec"] == {
        "podUID": made["metadata"]["uid"],
        "nodeName": node,
        "policy": "(default)",
        "mode": "Enforce",
        "granularity": "Socket",
        "socket": 0,
        "cpus": "0-1",
        "mems": "0",
        "memory": "Strict",
        "memoryHeadroom": "10%",
        "verification": {
            "window": "60s",
            "maxCrossSocketPagesPerSecond": 10,
            "minLocalPercent": 95,
            "onFailure": "Warn",
        },
    }
    (owner,) = pin["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "redis",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    assert pin["status"]["verdict"] == "Pending"


def test_pods_spread_over_the_sockets(world: World, namespace: str, node: str):
    sockets = []
    for name in ("a", "b", "c", "d"):
        world.pods(namespace).create(pod(name, node=node, cpu="900m"))
        sockets.append(world.placed(namespace, name)["spec"]["socket"])
    assert sockets == [0, 1, 0, 1]


def test_pod_without_room_is_refused_with_numbers_until_a_neighbour_goes(
    world: World, namespace: str, node: str
):
    for name in ("a", "b"):
        world.pods(namespace).create(pod(name, node=node, cpu="1500m"))
        world.placed(namespace, name)
    world.pods(namespace).create(pod("late", node=node, cpu="1500m"))
    pin = world.judged(namespace, "late", "Unplaceable")
    assert "socket" not in pin["spec"]
    status, reason, message = condition(pin, "Pinned")
    assert (status, reason) == ("False", "NoRoom")
    assert "1500m CPU" in message
    assert "socket 0 has 500m of 2 CPU" in message
    until(
        lambda: ("Warning", "NoRoom") in world.events(namespace, "late"), what="an Event about it"
    )
    world.delete(world.pods(namespace), "a")
    until(
        lambda: world.pinned(namespace, "late")["spec"].get("socket") == 0,
        what="the freed socket to be given away",
    )


def test_unscheduled_pod_waits_for_its_node(world: World, namespace: str, node: str):
    pods = world.pods(namespace)
    pods.create(pod("early", node=None))
    pods.create(pod("marker", node=node))
    world.pinned(namespace, "marker")  # the operator has seen both by now
    assert world.find(world.pins(namespace), "early") is None
    request(
        world.kube,
        "POST",
        pods.path("early", "binding"),
        {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "early"},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        },
    )
    assert world.pinned(namespace, "early")["spec"]["nodeName"] == node


def test_label_on_and_off(world: World, namespace: str, node: str):
    pods = world.pods(namespace)
    pods.create(pod("redis", node=node, labelled=False))
    pods.create(pod("marker", node=node))
    world.pinned(namespace, "marker")
    assert world.find(world.pins(namespace), "redis") is None
    pods.merge("redis", {"metadata": {"labels": {PIN_LABEL: "true"}}})
    world.pinned(namespace, "redis")
    pods.merge("redis", {"metadata": {"labels": {PIN_LABEL: "false"}}})
    world.gone(namespace, "redis")
    pods.merge("redis", {"metadata": {"labels": {PIN_LABEL: "true"}}})
    world.pinned(namespace, "redis")
    pods.merge("redis", {"metadata": {"labels": {PIN_LABEL: None}}})
    world.gone(namespace, "redis")


def test_pod_that_goes_takes_its_pin_along(world: World, namespace: str, node: str):
    world.pods(namespace).create(pod("redis", node=node))
    world.pinned(namespace, "redis")
    world.delete(world.pods(namespace), "redis")
    world.gone(namespace, "redis")


def test_finished_pod_gives_its_room_back(world: World, namespace: str, node: str):
    world.pods(namespace).create(pod("job", node=node, cpu="2"))
    world.pinned(namespace, "job")
    world.pods(namespace).merge("job", {"status": {"phase": "Succeeded"}}, status=True)
    world.gone(namespace, "job")


def test_pod_of_the_same_name_gets_a_pin_of_its_own(world: World, namespace: str, node: str):
    pods = world.pods(namespace)
    first = pods.create(pod("db-0", node=node))
    old = world.pinned(namespace, "db-0")
    world.delete(pods, "db-0")
    second = pods.create(pod("db-0", node=node))
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    until(
        lambda: (
            (world.find(world.pins(namespace), "db-0") or old)["spec"]["podUID"]
            == second["metadata"]["uid"]
        ),
        what="a pin of the second pod",
    )
    new = world.pins(namespace).get("db-0")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"]


def test_node_without_agent_is_planned_when_the_agent_comes(world: World, namespace: str):
    world.pods(namespace).create(pod("redis", node="not-yet"))
    pin = world.pinned(namespace, "redis")
    status, reason, message = condition(pin, "Pinned")
    assert (status, reason, pin["status"]["verdict"]) == ("False", "NoAgent", "Pending")
    assert "not-yet" in message
    world.report_node("not-yet")
    try:
        until(
            lambda: world.pinned(namespace, "redis")["spec"].get("socket") == 0,
            what="the pod to be planned",
        )
    finally:
        world.forget_node("not-yet")


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        ("socket", "7", '"7" is no socket of node NODE; allowed: 0, 1'),
        ("socket", "one", '"one" is no socket number; allowed: 0, 1'),
        ("policy", "nope", '"nope" is no NumaPolicy; there is none'),
        ("memory", "strict", '"strict" is no memory mode; allowed: Strict, Preferred, None'),
        ("mode", "Dry", '"Dry" is no mode; allowed: Enforce, Observe'),
    ],
)
def test_bad_annotation_never_pins_and_says_why(  # noqa: PLR0917
    world: World, namespace: str, node: str, annotation: str, value: str, message: str
):
    name = f"numapin.io/{annotation}"
    world.pods(namespace).create(pod("redis", node=node, annotations={name: value}))
    pin = world.judged(namespace, "redis", "Invalid")
    assert "socket" not in pin["spec"]
    status, reason, said = condition(pin, "Pinned")
    assert (status, reason) == (
        "False",
        "UnknownPolicy" if annotation == "policy" else "InvalidAnnotation",
    )
    assert said == f"{name}: {message}".replace("NODE", node)
    until(lambda: ("Warning", reason) in world.events(namespace, "redis"), what="an Event about it")
    # Putting it right pins.
    world.pods(namespace).merge("redis", {"metadata": {"annotations": {name: None}}})
    until(
        lambda: world.pinned(namespace, "redis")["spec"].get("socket") is not None,
        what="the pod to be pinned after all",
    )


def test_annotation_that_goes_bad_unpins(world: World, namespace: str, node: str):
    asked = {"numapin.io/socket": "1"}
    world.pods(namespace).create(pod("redis", node=node, annotations=asked))
    assert world.placed(namespace, "redis")["spec"]["socket"] == 1
    world.pods(namespace).merge(
        "redis", {"metadata": {"annotations": {"numapin.io/socket": "\u0661"}}}
    )
    pin = world.judged(namespace, "redis", "Invalid")
    assert "socket" not in pin["spec"]
    assert '"\\u0661" is no socket number' in condition(pin, "Pinned")[2]


def test_verified_drifted_ineffective_and_one_event_a_minute(
    world: World, namespace: str, node: str
):
    world.pods(namespace).create(pod("redis", node=node))
    pin = world.placed(namespace, "redis")
    report = good_report(pin, since=ago(60))
    world.report_pin(namespace, "redis", report)
    pin = world.judged(namespace, "redis", "Verified")
    assert pin["status"]["evidence"] == "Measured"
    assert pin["status"]["localPercent"] == 100
    assert condition(pin, "Pinned")[:2] == ("True", "InForce")
    assert condition(pin, "Verified")[:2] == ("True", "Measured")
    observed = pin["status"]["observed"]

    drift = {"cpus": "0-3", "mems": "0-1", "count": 1, "time": ago()}
    world.report_pin(namespace, "redis", report | {"drift": drift})
    world.judged(namespace, "redis", "Drifted")

    bad = good_report(pin, since=ago(), local=40)
    world.report_pin(namespace, "redis", bad)
    pin = world.judged(namespace, "redis", "Ineffective")
    assert "40.0% of the memory" in condition(pin, "Verified")[2]
    assert condition(pin, "Pinned")[0] == "True"
    assert pin["status"]["observed"] != observed  # the agent's part is the agent's

    # Three transitions within a minute of the first Event: the last is told when that is over.
    assert world.events(namespace, "redis") == [("Normal", "Pinned")]


def test_somebody_elses_edit_of_a_pin_is_put_right(world: World, namespace: str, node: str):
    world.pods(namespace).create(pod("redis", node=node))
    pin = world.placed(namespace, "redis")
    world.report_pin(namespace, "redis", good_report(pin, since=ago(60)))
    world.judged(namespace, "redis", "Verified")
    pins = world.pins(namespace)
    pins.merge("redis", {"spec": {"cpus": "0-3"}, "metadata": {"labels": {"mine": "yes"}}})
    until(lambda: pins.get("redis")["spec"]["cpus"] == "0-1", what="spec.cpus to be put right")
    pins.merge("redis", {"status": {"verdict": "Conflict"}}, status=True)
    until(
        lambda: pins.get("redis")["status"]["verdict"] != "Conflict",
        what="status.verdict to be put right",
    )
    after = pins.get("redis")
    assert after["metadata"]["labels"] == {"mine": "yes"}
    assert after["status"]["observed"]["phase"] == "Pinned"


def test_deleted_pin_is_made_anew(world: World, namespace: str, node: str):
    world.pods(namespace).create(pod("redis", node=node))
    uid = world.pinned(namespace, "redis")["metadata"]["uid"]
    world.delete(world.pins(namespace), "redis")
    until(
        lambda: world.pinned(namespace, "redis")["metadata"]["uid"] != uid,
        what="another pin for the same pod",
    )


def test_ineffective_pin_is_released_once_and_stays_released(
    world: World, namespace: str, node: str
):
    head = {"apiVersion": "numapin.io/v1alpha1", "kind": "NumaPolicy"}
    spec = {"verification": {"onFailure": "Unpin"}}
    world.policies.create(head | {"metadata": {"name": "strict"}, "spec": spec})
    world.pods(namespace).create(pod("redis", node=node))
    until(
        lambda: world.pinned(namespace, "redis")["spec"]["policy"] == "strict",
        what="the policy to apply",
    )
    pin = world.placed(namespace, "redis")
    world.report_pin(namespace, "redis", good_report(pin, since=ago(60), local=30))
    until(
        lambda: "socket" not in world.pinned(namespace, "redis")["spec"],
        what="the pin to be released",
    )
    pin = world.judged(namespace, "redis", "Ineffective")
    assert condition(pin, "Pinned")[:2] == ("False", "Released")
    assert "30.0% of the memory" in condition(pin, "Pinned")[2]
    world.report_pin(namespace, "redis", {"phase": "Unpinned"})
    world.pods(namespace).merge("redis", {"metadata": {"labels": {"touched": "yes"}}})
    world.pods(namespace).create(pod("marker", node=node))
    world.pinned(namespace, "marker")
    assert "socket" not in world.pinned(namespace, "redis")["spec"]
    # A changed policy is a new try.
    world.policies.merge("strict", {"spec": {"verification": {"minLocalPercent": 20}}})
    until(
        lambda: world.pinned(namespace, "redis")["spec"].get("socket") is not None,
        what="the pod to be pinned again",
    )
    assert "numapin.io/released" not in (
        world.pinned(namespace, "redis")["metadata"].get("annotations") or {}
    )


def test_pins_stay_when_the_numanode_goes_and_follow_when_the_machine_changes(
    world: World, namespace: str, node: str
):
    world.pods(namespace).create(pod("redis", node=node, annotations={"numapin.io/socket": "1"}))
    assert world.placed(namespace, "redis")["spec"]["cpus"] == "2-3"
    world.report_node(node, two_sockets(cpus_per_socket=4))
    until(
        lambda: world.pinned(namespace, "redis")["spec"]["cpus"] == "4-7",
        what="the pin to follow the topology",
    )


def test_lists_and_watches_of_pods_carry_the_label_selector(world: World):
    asked = {
        (e["verb"], *parse_qs(urlsplit(e["requestURI"]).query).get("labelSelector", ["none"]))
        for e in world.audit()
        if e.get("objectRef", {}).get("resource") == "pods"
    }
    assert asked == {("list", "numapin.io/pin=true"), ("watch", "numapin.io/pin=true")}


def test_metrics_tell_verdicts_and_latency(
    world: World, operator: Operator, namespace: str, node: str
):
    before = operator.metric("numapin_operator_pod_event_to_pin_seconds_count")
    world.pods(namespace).create(pod("redis", node=node))
    world.judged(namespace, "redis", "Pending")
    assert operator.metric("numapin_operator_pod_event_to_pin_seconds_count") == before + 1
    assert operator.metric("numapin_operator_pins", verdict="Pending") >= 1
    assert operator.metric("numapin_operator_errors_total", where="reconcile") == 0
