"""Moves by the operator as a process, against a real API server."""

import pytest
from support.operator_objects import ago, good_report, pod
from support.operator_world import World
from support.wait import until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("operator"),
]


def test_room_is_made_for_a_pod_that_waits(world: World, namespace: str, node: str):
    world.policies.create(
        {
            "apiVersion": "numapin.io/v1alpha1",
            "kind": "NumaPolicy",
            "metadata": {"name": "moves"},
            "spec": {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": namespace},
                },
                "placement": {"rebalance": {"mode": "Auto"}},
            },
        }
    )
    for name in ("a", "b"):
        world.pods(namespace).create(pod(name, node=node, cpu="900m"))
        pin = world.placed(namespace, name)
        assert pin["spec"]["policy"] == "moves"
        world.report_pin(namespace, name, good_report(pin, since=ago(61)))
        world.pinned(namespace, name)
    world.pods(namespace).create(pod("late", node=node, cpu="1500m"))

    def moved() -> str | None:
        pins = {name: world.find(world.pins(namespace), name) for name in ("a", "b")}
        return next((n for n, p in pins.items() if p is not None and "move" in p["spec"]), None)

    name = until(moved, what="a pod that is moved", seconds=60)
    pin = world.pins(namespace).get(name)
    assert pin["spec"]["move"]["reason"] == "PodWaiting"
    assert pin["spec"]["socket"] == pin["spec"]["move"]["to"]
    late = world.placed(namespace, "late")
    assert late["spec"]["socket"] == pin["spec"]["move"]["from"]
    world.report_pin(namespace, name, good_report(pin, since=ago(61)))
    world.report_pin(namespace, "late", good_report(late, since=ago(61)))

    def helped() -> str | None:
        found = world.pins(namespace).get(name)["status"]["conditions"]
        return next((c["reason"] for c in found if c["type"] == "Moved"), None)

    until(lambda: helped() == "Helped", what="the judgement on the move", seconds=60)
    until(
        lambda: ("Normal", "Moved") in world.events(namespace, name),
        what="an Event of the move",
        seconds=90,
    )
