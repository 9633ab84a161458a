"""When a NumaPin counts as given back, and what is said of those that do not."""

from typing import Any

import pytest

from numapin_operator.uninstall.held import Held, awaited, read, report

PLACE = {"socket": 1, "cpus": "2-3", "mems": "1"}
APPLIED = {"applied": {"cpus": "2-3", "mems": "1", "time": "2026-11-23T12:00:00Z"}}


def pin(place: dict[str, Any], observed: dict[str, Any] | None, mode: str = "Enforce") -> Held:
    return read(
        {
            "metadata": {"namespace": "default", "name": "db", "generation": 2},
            "spec": {"nodeName": "numa-0", "mode": mode, **place},
            "status": {"observed": observed} if observed is not None else {},
        }
    )


def refused(reason: str) -> dict[str, Any]:
    return {"generation": 2, "phase": "Refused", "problem": {"reason": reason, "message": "why"}}


@pytest.mark.parametrize(
    ("place", "observed", "ordered", "holds", "answered"),
    [
        # Pinned, and told to be; then told not to be, not heard yet; then given back.
        (PLACE, {"generation": 2, "phase": "Pinned", **APPLIED}, True, True, False),
        ({}, {"generation": 1, "phase": "Pinned", **APPLIED}, False, True, False),
        ({}, {"generation": 2, "phase": "Unpinned"}, False, False, True),
        # The pod has no cgroup, or is not there at all.
        ({}, {"generation": 2, "phase": "Waiting"}, False, False, True),
        ({}, refused("PodNotFound"), False, False, True),
        ({}, refused("PodReplaced"), False, False, True),
        # It only says that it mirrors another pod: nothing was written on its account.
        ({}, refused("NotItsCgroup"), False, False, True),
        # The agent could not.
        ({}, {**refused("SystemdRefused"), **APPLIED}, False, True, False),
        ({}, refused("CgroupUnavailable"), False, False, False),
        ({}, refused("Unsupported"), False, False, False),
        # Nobody has said anything yet.
        (PLACE, None, True, True, False),
        ({}, None, False, False, False),
        # An older answer is none.
        ({}, {"generation": 1, "phase": "Unpinned"}, False, False, False),
        (PLACE, {"generation": 2, "phase": "Unpinned"}, True, True, False),
    ],
)
def test_answer(place, observed, ordered, holds, answered):
    found = pin(place, observed)
    assert (found.ordered, found.holds, found.answered) == (ordered, holds, answered)


def test_observing_holds_nothing():
    found = pin(PLACE, {"generation": 2, "phase": "Observing"}, mode="Observe")
    assert (found.ordered, found.holds) == (True, False)
    assert pin({}, {"generation": 2, "phase": "Observing"}, mode="Observe").answered


def held(node: str, *, answered: bool = False, problem: str = "", name: str = "db") -> Held:
    return Held(
        "default", name, node, ordered=False, holds=True, answered=answered, problem=problem
    )


@pytest.mark.parametrize(
    ("agents", "seconds", "expected"),
    [
        ({"n": True}, 0, True),
        ({"n": True}, 1000, True),
        ({"n": False}, 29, True),
        ({"n": False}, 30, False),
        ({"other": True}, 0, False),
    ],
)
def test_who_is_waited_for(agents, seconds, expected):
    pin = held("n")
    assert awaited([pin], agents, seconds=seconds, patience=30) == ([pin] if expected else [])
    assert awaited([held("n", answered=True)], agents, seconds=seconds, patience=30) == []


def test_report_names_nodes_reasons_and_pods():
    left = [
        held("c", problem="PID 1 says no"),
        held("a", name="web"),
        held("a"),
        held("b"),
        held("d"),
    ]
    assert report(left, {"b": False, "c": True, "d": True}) == [
        "node a: no agent runs there; still pinned: default/db, default/web",
        "node b: its agent is not ready; still pinned: default/db",
        "node c: its agent says: PID 1 says no; still pinned: default/db",
        "node d: its agent did not answer; still pinned: default/db",
    ]
    assert report([], {}) == []
