"""Policies that come, change and go, against a real API server."""

from typing import Any

import pytest
from support.operator_objects import Json, ago, condition, good_report, pod
from support.operator_world import World
from support.wait import until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("operator"),
]


def test_policies_change_pins_in_place(world: World, namespace: str, node: str):
    """Edited, overruled and deleted under a pinned pod: patches only, each with a place."""
    head = {"apiVersion": "numapin.io/v1alpha1", "kind": "NumaPolicy"}

    def apply(name: str, **spec: Any) -> None:
        world.policies.apply(
            name, head | {"metadata": {"name": name}, "spec": spec}, manager="user"
        )

    def by(name: str, percent: int) -> Json | None:
        pin = world.pinned(namespace, "redis")
        terms = (pin["spec"]["policy"], pin["spec"]["verification"]["minLocalPercent"])
        return pin if terms == (name, percent) else None

    apply("first", priority=1)
    world.pods(namespace).create(pod("redis", node=node))
    until(lambda: by("first", 95), what="the first policy")
    placed = world.placed(namespace, "redis")
    since = len(world.audit())
    apply("first", priority=1, verification={"minLocalPercent": 90})
    found = [until(lambda: by("first", 90), what="the edited policy")]
    apply("second", priority=2, memory="Preferred")
    found.append(until(lambda: by("second", 95), what="the policy that overrules"))
    world.delete(world.policies, "second")
    found.append(until(lambda: by("first", 90), what="the first policy again"))
    world.delete(world.policies, "first")
    found.append(until(lambda: by("(default)", 95), what="the default policy"))
    for pin in found:
        assert pin["metadata"]["uid"] == placed["metadata"]["uid"]
        place = ("socket", "cpus", "mems")
        assert [pin["spec"][k] for k in place] == [placed["spec"][k] for k in place]
    # Each change was one write: what was seen is all there was in between.
    assert found[-1]["metadata"]["generation"] == placed["metadata"]["generation"] + 4
    written = [e for e in world.writes(since) if e["objectRef"]["resource"] == "numapins"]
    assert {e["verb"] for e in written} == {"patch"}


def test_policy_applies_by_priority_and_counts(world: World, namespace: str, node: str):
    head = {"apiVersion": "numapin.io/v1alpha1", "kind": "NumaPolicy"}
    world.policies.create(head | {"metadata": {"name": "all"}, "spec": {"memory": "None"}})
    world.policies.create(
        head
        | {
            "metadata": {"name": "redis"},
            "spec": {
                "priority": 10,
                "podSelector": {"matchLabels": {"app": "redis"}},
                "placement": {"strategy": "Pack"},
            },
        }
    )
    world.pods(namespace).create(pod("r1", node=node, labels={"app": "redis"}))
    world.pods(namespace).create(pod("other", node=node))
    until(
        lambda: (
            world.pinned(namespace, "r1")["spec"]["policy"] == "redis"
            and world.pinned(namespace, "other")["spec"]["policy"] == "all"
        ),
        what="each pod to have its policy",
    )
    assert "mems" not in world.pinned(namespace, "other")["spec"]
    pin = world.placed(namespace, "r1")
    world.report_pin(namespace, "r1", good_report(pin, since=ago(60)))
    until(
        lambda: (
            [
                world.policies.get("redis").get("status", {}).get(k)
                for k in ("matched", "pinned", "verified")
            ]
            == [1, 1, 1]
        ),
        what="the policy's counts",
    )
    status = world.policies.get("redis")["status"]
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("Ready", "True", "Accepted")
    ]
    # Without the policy the pods fall to the next one.
    world.delete(world.policies, "redis")
    until(
        lambda: world.pinned(namespace, "r1")["spec"]["policy"] == "all",
        what="the next policy to take over",
    )


def test_namespace_selector_follows_the_namespace_labels(world: World, node: str, namespace: str):
    labelled = world.namespace(labels={"team": "data"})
    world.policies.create(
        {
            "apiVersion": "numapin.io/v1alpha1",
            "kind": "NumaPolicy",
            "metadata": {"name": "data"},
            "spec": {
                "mode": "Observe",
                "namespaceSelector": {"matchLabels": {"team": "data"}},
            },
        }
    )
    world.pods(labelled).create(pod("redis", node=node))
    pin = until(
        lambda: p if (p := world.pinned(labelled, "redis"))["spec"]["policy"] == "data" else None,
        what="the policy of the namespace",
    )
    assert pin is not None
    assert pin["spec"]["mode"] == "Observe"
    assert pin["spec"]["socket"] == 0  # what it would get
    assert condition(pin, "Pinned")[:2] == ("False", "Observing")
    namespaces = world.namespaces
    namespaces.merge(labelled, {"metadata": {"labels": {"team": None}}})
    until(
        lambda: world.pinned(labelled, "redis")["spec"]["policy"] == "(default)",
        what="the default policy",
    )
    world.delete(world.pods(labelled), "redis")
    world.gone(labelled, "redis")
    assert namespace != labelled
