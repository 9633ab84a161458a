"""How many requests a pin takes over its life, and whom a new pod waits for."""

import pytest
from support.operator_objects import good_report, pod
from support.operator_parts import Parts

from numapin_operator.reconcile import COLLECTOR_SECONDS, FIRST_STATUS_SECONDS

MOST = 4


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    made.node()
    return made.start()


def pinned(parts: Parts, name: str) -> None:
    """The agent of a new pod's node has pinned it; its window is not over."""
    pin = parts.cluster.pin("default", name)
    report = good_report(pin, since=parts.time(), seconds=0.0)
    del report["counters"]
    parts.observe(name, report)


def end(parts: Parts, name: str) -> None:
    """A pod is told to end, and ends."""
    gone = parts.cluster.objects_of["pods"]["default", name]
    gone["metadata"]["deletionTimestamp"] = parts.time()
    parts.tell("pods", gone)
    parts.settle(1)
    parts.tell_gone("pods", ("default", name))


def test_a_life_without_trouble_takes_four_requests(parts: Parts):
    parts.pod("redis")
    parts.settle(1)
    pinned(parts, "redis")
    parts.settle(60)
    assert parts.verdicts() == {"redis": "Pending"}
    parts.observe("redis", good_report(parts.cluster.pin("default", "redis"), since=parts.time()))
    parts.settle(60)
    assert parts.verdicts() == {"redis": "Verified"}
    end(parts, "redis")
    parts.settle(1)
    parts.tell_gone("numapins", ("default", "redis"))  # by Kubernetes' garbage collector
    parts.settle(600)
    assert len(parts.cluster.writes) == MOST, parts.cluster.writes
    assert parts.cluster.events == [("redis", "Pinned")]


def test_a_pin_is_not_made_again_when_its_end_is_told_before_its_pods(parts: Parts):
    parts.pod("redis")
    parts.settle(60)
    before = len(parts.cluster.writes)
    parts.tell_gone("numapins", ("default", "redis"))
    parts.settle(0.5)
    end(parts, "redis")
    parts.settle(600)
    assert len(parts.cluster.writes) == before, parts.cluster.writes


def test_a_pin_that_someone_deletes_is_made_again(parts: Parts):
    parts.pod("redis")
    parts.settle(60)
    parts.tell_gone("numapins", ("default", "redis"))
    parts.settle(2)
    assert parts.sockets() == {"redis": 0}


def test_a_pin_that_nobody_collects_is_deleted(parts: Parts):
    parts.pod("redis")
    parts.settle(60)
    end(parts, "redis")
    parts.settle(COLLECTOR_SECONDS - 2)
    assert parts.pin("redis") is not None
    parts.settle(4)
    assert parts.pin("redis") is None


def test_room_of_an_ended_pod_is_free_before_its_pin_is_collected(parts: Parts):
    for name in ("a", "b"):
        parts.pod(name, cpu="1500m")
    parts.settle(60)
    end(parts, "a")
    parts.pod("c", cpu="1500m")
    parts.settle(1)
    assert parts.pin("a") is not None
    assert parts.sockets()["c"] == 0


def test_a_pin_of_a_pod_that_lost_its_label_is_deleted_at_once(parts: Parts):
    parts.pod("redis")
    parts.settle(60)
    parts.tell_gone("pods", ("default", "redis"))
    parts.settle(1)
    assert parts.pin("redis") is None


def test_a_silent_agent_is_told_of_a_little_later(parts: Parts):
    parts.pod("redis")
    parts.settle(FIRST_STATUS_SECONDS - 1)
    assert "status" not in parts.cluster.pin("default", "redis")
    parts.settle(2)
    assert parts.verdicts() == {"redis": "Pending"}


def test_what_an_agent_can_not_answer_is_told_at_once(parts: Parts):
    parts.pod("lost", node="elsewhere")
    parts.pod("bad", annotations={"numapin.io/mode": "x"})
    parts.settle(1)
    assert parts.verdicts() == {"lost": "Pending", "bad": "Invalid"}


def test_that_all_is_well_again_is_told(parts: Parts):
    parts.pod("redis")
    parts.settle(1)
    for local in (10, 100):
        for _ in range(12):
            report = good_report(
                parts.cluster.pin("default", "redis"), since=parts.time(), local=local
            )
            parts.observe("redis", report | {"windows": 2})
            parts.settle(30)
    told = [reason for _, reason in parts.cluster.events]
    assert "Ineffective" in told
    assert told[-1] == "Verified"


def test_a_new_pod_waits_for_no_other_work(parts: Parts):
    for number in range(20):
        parts.pod(f"old-{number}", cpu="1m")
    parts.settle(60)
    parts.cluster.writes.clear()
    parts.policy("all", priority=1, memory="None")  # all are to be written anew
    made = pod("new", cpu="1m")
    made["metadata"]["namespace"] = "default"
    parts.tell("pods", made)
    parts.settle(1)
    assert next(w for w in parts.cluster.writes if w.startswith("pin ")) == "pin default/new"
