"""Whoever is looked at first: freed room, and a socket that is asked for more than it has."""

import itertools
from typing import Any

import pytest
from support.operator_objects import condition, good_report, two_sockets
from support.operator_objects import pod as manifest
from support.operator_parts import Parts

from numapin_operator.pods import Key

ORDERS = [list(order) for order in itertools.permutations(["db", "s1", "s2"])]


def created(parts: Parts, name: str, cpu: str, *, day: int = 1, **more: Any) -> None:
    made = manifest(name, node="numa-0", cpu=cpu, **more)
    made["metadata"] |= {
        "namespace": "default",
        "creationTimestamp": f"2026-11-{day:02}T00:00:00Z",
        "uid": f"uid-of-{name}",
    }
    parts.tell("pods", made)
    parts.settle(5)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_oldest_that_waits_gets_room_that_is_freed(backwards: bool):
    parts = Parts()
    parts.node()
    parts.start()
    for name in ("full-0", "full-1"):
        created(parts, name, "2000m")
    ages = {"w3": 1, "w1": 2, "w4": 3, "w2": 4}
    for name, day in ages.items():
        created(parts, name, "1500m", day=day)
    assert [n for n, s in parts.sockets().items() if s is None] == [*ages]
    gone = parts.cluster.remove("pods", ("default", "full-0"))
    dirt = parts.store.drop("pods", ("default", "full-0"), gone["metadata"]["uid"])
    parts.reconciler.mark(sorted(dirt, reverse=backwards))
    parts.settle(100)
    assert [n for n, s in parts.sockets().items() if n in ages and s is not None] == ["w3"]


def crowded(order: list[str], **policies: Any) -> Parts:
    """Pods on socket 0 of which one is resized, and then all are looked at in an order."""
    parts = Parts()
    parts.node(status=two_sockets(cpus_per_socket=8, memory_bytes=64 << 30))
    for name, spec in policies.items():
        parts.policy(name, **spec)
    parts.start()
    sizes = {"db": ("3", "20Gi"), "s1": ("500m", "2Gi"), "s2": ("500m", "1Gi"), "f": ("4", "1Gi")}
    for name, (cpu, memory) in sizes.items():
        wish = {"numapin.io/socket": "1" if name == "f" else "0"}
        created(parts, name, cpu, memory=memory, annotations=wish)
        created(parts, name, cpu, memory=memory)
    assert parts.sockets() == {"db": 0, "s1": 0, "s2": 0, "f": 1}
    parts.cluster.writes.clear()
    grown = manifest("s1", node="numa-0", cpu="4600m", memory="2Gi")
    grown["metadata"] |= {
        "namespace": "default",
        "creationTimestamp": "2026-11-01T00:00:00Z",
        "uid": "uid-of-s1",
    }
    parts.store.put("pods", parts.cluster.put("pods", grown))
    for name in order:
        parts.reconciler.mark([Key("default", name)])
        parts.settle(1)
    parts.settle(60)
    return parts


@pytest.mark.parametrize("order", ORDERS)
def test_of_a_crowd_the_same_pod_leaves_whoever_is_looked_at_first(order: list[str]):
    parts = crowded(order)
    assert parts.sockets() == {"db": 0, "s1": 0, "s2": 1, "f": 1}
    assert [w for w in parts.cluster.writes if w.startswith("pin ")] == ["pin default/s2"]


def test_the_one_that_is_to_leave_is_looked_at_because_of_another():
    assert crowded(["db"]).sockets() == {"db": 0, "s1": 0, "s2": 1, "f": 1}


def test_those_of_policies_that_move_pods_leave_first():
    moved = {"podSelector": {}, "placement": {"rebalance": {"mode": "Auto"}}, "priority": 1}
    parts = Parts()
    parts.node(status=two_sockets(cpus_per_socket=8, memory_bytes=64 << 30))
    parts.policy("p", **(moved | {"podSelector": {"matchLabels": {"app": "batch"}}}))
    parts.start()
    for name, labels in (("a", {}), ("b", {"app": "batch"}), ("c", {})):
        memory = "9Gi" if labels else "1Gi"
        wish = {"numapin.io/socket": "0"}
        created(parts, name, "2", memory=memory, labels=labels, annotations=wish)
        created(parts, name, "2", memory=memory, labels=labels)
    created(parts, "c", "4500m", memory="1Gi")
    parts.settle(60)
    assert parts.sockets() == {"a": 0, "b": 1, "c": 0}


def test_a_crowd_that_nobody_can_leave_is_told_of():
    parts = Parts()
    parts.node()
    parts.start()
    for name, socket in (("a", "0"), ("b", "0"), ("c", "1")):
        wish = {"numapin.io/socket": socket}
        created(parts, name, "900m", annotations=wish)
        created(parts, name, "900m")
    created(parts, "c", "1600m")
    created(parts, "b", "1500m")
    parts.settle(60)
    assert parts.sockets() == {"a": 0, "b": 0, "c": 1}
    for name in "ab":
        report = good_report(parts.cluster.pin("default", name), since=parts.time())
        parts.observe(name, report)
        parts.settle(5)
        status, _, said = condition(parts.cluster.pin("default", name), "Pinned")
        assert status == "True"
        assert said.endswith(
            "together ask for more than there is, and none of them can go elsewhere"
        )


def test_a_pod_that_is_only_observed_has_nobody_make_way():
    parts = Parts()
    parts.node()
    parts.start()
    for name in ("a", "b"):
        created(parts, name, "1500m", annotations={"numapin.io/socket": "01"[name == "b"]})
        created(parts, name, "1500m")
    created(parts, "seen", "1", annotations={"numapin.io/mode": "Observe"})
    parts.cluster.writes.clear()
    parts.settle(600)
    assert parts.cluster.writes == []
    assert parts.sockets()["a"] == 0
