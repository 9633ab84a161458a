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


def moved(parts: Parts, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = parts.cluster.pin("default", name)["spec"].get("move")
    return found


def pinned(parts: Parts, name: str) -> None:
    parts.observe(name, good_report(parts.cluster.pin("default", name), since=parts.time()))
    parts.settle(5)


def judgement(parts: Parts, name: str) -> tuple[str, str]:
    status, reason, _ = condition(parts.cluster.pin("default", name), "Moved")
    return status, reason


def counted(parts: Parts, reason: str) -> float:
    found = parts.registry.get_sample_value("numapin_operator_moves_total", {"reason": reason})
    return found or 0.0


def test_the_move_gives_its_reason_and_gain_and_is_judged():
    parts = crowded(ORDERS[0])
    found = moved(parts, "s2")
    assert found is not None
    said = (
        "moved from socket 0 (102 % asked for) to socket 1, 1.0 GiB of memory: "
        "its pods together ask for more than there is"
    )
    assert found == {
        "time": found["time"],
        "from": 0,
        "to": 1,
        "reason": "SocketBusy",
        "crowded": True,
        "message": said,
        "load": 102,
        "gain": 7,
        "bytesToMove": 1 << 30,
    }
    assert (counted(parts, "SocketCrowded"), counted(parts, "SocketBusy")) == (1, 0)
    assert judgement(parts, "s2") == ("Unknown", "UnderWay")
    pinned(parts, "s2")
    # No policy moves pods here, so that no node is looked at: it is judged all the same.
    assert judgement(parts, "s2") == ("True", "Helped")
    assert condition(parts.cluster.pin("default", "s2"), "Moved")[2] == (
        f"{said}; of socket 0 95 % are asked for now"
    )
    assert condition(parts.cluster.pin("default", "s2"), "Pinned")[2].endswith(f"; {said}")
    assert ("s2", "Moved") in parts.cluster.events
    for name in ("db", "s1", "f"):
        assert moved(parts, name) is None
    # Nothing more is written, nor by an operator that is started anew.
    parts.settle(300)
    parts.cluster.writes.clear()
    parts.settle(100)
    again = parts.again()
    again.settle(100)
    assert parts.cluster.writes == []
    assert moved(again, "s2") == found


def test_a_move_that_nobody_could_follow_is_in_vain_and_others_leave_before_it():
    parts = crowded(ORDERS[0])
    assert parts.sockets()["s2"] == 1
    # While its memory moves, the socket that it left gets more crowded than it was.
    created(parts, "f", "7300m", memory="1Gi")
    created(parts, "db", "3500m", memory="20Gi")
    pinned(parts, "s2")
    assert parts.sockets() == {"db": 0, "s1": 0, "s2": 1, "f": 1}
    assert judgement(parts, "s2") == ("Unknown", "UnderWay")
    parts.settle(700)
    assert judgement(parts, "s2") == ("False", "InVain")
    # Its own socket gets crowded: another pod makes way, though with more bytes.
    created(parts, "db", "1", memory="20Gi")
    created(parts, "s1", "2", memory="2Gi")
    created(parts, "f", "4", memory="2Gi")
    assert parts.sockets() == {"db": 0, "s1": 0, "s2": 1, "f": 1}
    created(parts, "s2", "4500m", memory="1Gi")
    parts.settle(60)
    assert parts.sockets() == {"db": 0, "s1": 0, "s2": 1, "f": 0}
    # Where no other one's leaving is enough it goes all the same.
    created(parts, "f", "1", memory="2Gi")
    created(parts, "s2", "3", memory="1Gi")
    created(parts, "late", "4", memory="1Gi")
    assert parts.sockets() == {"db": 0, "s1": 0, "s2": 1, "f": 0, "late": 1}
    created(parts, "late", "6", memory="1Gi")
    parts.settle(60)
    assert parts.sockets() == {"db": 0, "s1": 0, "s2": 0, "f": 0, "late": 1}


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
