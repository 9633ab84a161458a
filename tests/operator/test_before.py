"""What holds a pod back before it is planned, and that nothing does so for ever."""

from datetime import UTC, datetime, timedelta

import pytest
from support.machines import TWO
from support.planning import node, policy

from numapin_api.cpulist import NodeSet
from numapin_operator.before import DEVICES_WAIT, Obstacle, devices, devices_wait, taken
from numapin_operator.pods import Key, Pod

POD = Pod(Key("ns", "a"), "u", node="numa-0", devices=True)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wish", "known", "pinned", "overdue", "answer"),
    [
        ("Prefer", {("ns", "a", "u"): NodeSet([1])}, False, False, "1"),
        ("Require", {("ns", "a", "u"): NodeSet([1])}, True, True, "1"),
        ("Ignore", {("ns", "a", "u"): NodeSet([1])}, False, False, ""),
        ("Prefer", {}, False, False, "AwaitingDevices"),
        ("Require", {}, False, False, "AwaitingDevices"),
        ("Prefer", {}, False, True, ""),
        ("Require", {}, False, True, "DevicesUnknown"),
        # What an earlier pod of its name held says nothing of this one.
        ("Prefer", {("ns", "a", "earlier"): NodeSet([1])}, False, False, "AwaitingDevices"),
        ("Prefer", {("ns", "a", "earlier"): NodeSet([1])}, False, True, ""),
        # A pod that is pinned keeps its place for want of knowledge.
        ("Require", {}, True, False, ""),
        # An agent that can't know: nothing is waited for.
        ("Prefer", None, False, False, ""),
        ("Require", None, False, False, "DevicesUnknown"),
        ("Require", {("ns", "a", ""): NodeSet()}, False, False, ""),
    ],
)
def test_devices(wish: str, known: object, pinned: bool, overdue: bool, answer: str):
    found = devices(
        POD, node(TWO, devices=known), policy(devices=wish), pinned=pinned, overdue=overdue
    )
    assert (found.reason if isinstance(found, Obstacle) else str(found)) == answer


def test_a_pod_without_devices_waits_for_nothing():
    pod = Pod(Key("ns", "b"), "u", node="numa-0")
    assert devices(pod, node(TWO, devices={}), policy(), pinned=False, overdue=False) == NodeSet()


@pytest.mark.parametrize(
    ("scheduled", "created", "seconds"),
    [
        ("2026-11-25T12:00:00Z", "", DEVICES_WAIT.total_seconds()),
        ("2026-11-25T11:59:50Z", "2026-11-25T12:00:00Z", DEVICES_WAIT.total_seconds() - 10),
        ("", "2026-11-25T11:00:00Z", 0),
        ("", "", 0),
        ("soon", "", 0),
    ],
)
def test_the_wait_ends(scheduled: str, created: str, seconds: float):
    pod = Pod(Key("ns", "a"), "u", scheduled=scheduled, created=created)
    assert devices_wait(pod, now=NOW) == seconds
    assert devices_wait(pod, now=NOW + timedelta(seconds=31)) == 0


def test_stands_down_where_another_tool_pins():
    found = taken(node(TWO, taken_by=("balloons: writes cpusets",)), POD)
    assert found is not None
    assert (found.reason, found.verdict) == ("Conflict", "Conflict")
    assert "balloons: writes cpusets" in found.message


@pytest.mark.parametrize(
    ("exclusive_pod", "static", "given", "stands_down"),
    [
        (True, False, "4-5", True),
        (True, True, "4-5", True),
        (True, True, "", True),
        (True, False, "", False),
        (False, True, "", False),
        (False, True, "4-5", False),
    ],
)
def test_stands_down_for_pods_that_the_kubelet_pins(
    exclusive_pod: bool, static: bool, given: str, stands_down: bool
):
    pod = Pod(Key("ns", "a"), "u", exclusive=exclusive_pod)
    where = node(TWO, exclusive=given, static_cpu_manager=static)
    found = taken(where, pod)
    assert (found is not None) == stands_down
    assert found is None or ("are given so" in found.message) == bool(given)
