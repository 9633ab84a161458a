"""Conditions keep their times, and Events tell transitions only."""

from datetime import UTC, datetime, timedelta

import pytest

from numapin_api.base import Condition
from numapin_api.pin import CpusMems, NumaPinSpec, NumaPinStatus, Observed, Problem, Verdict
from numapin_operator.checks import Check
from numapin_operator.conditions import Claim, Note, claims, notes, settle
from numapin_operator.events import MESSAGE_CHARACTERS, QUIET_SECONDS, Restraint, event
from numapin_operator.pods import Key, Pod
from numapin_operator.verdict import Judgement, Refusal

NOW = datetime(2026, 11, 23, 18, 0, 0, 123456, tzinfo=UTC)
EARLIER = NOW.replace(microsecond=0) - timedelta(hours=1)
SPEC = NumaPinSpec(pod_uid="u", node_name="n", policy="p", socket=1, cpus="4-7", mems="1")
POD = Pod(key=Key("default", "redis"), uid="uid-1")


def condition(kind: str, status: str, reason: str = "R", message: str = "m") -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": EARLIER,
        }
    )


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("True", "True", True),
        ("True", "False", False),
        ("False", "Unknown", False),
        ("Unknown", "Unknown", True),
    ],
)
def test_transition_time_moves_only_when_the_status_flips(before: str, after, kept: bool):
    (found,) = settle(
        [Claim("Pinned", after, "New", "other words")],
        [condition("Pinned", before)],
        now=NOW,
        generation=3,
    )
    assert found.last_transition_time == (EARLIER if kept else NOW.replace(microsecond=0))
    assert (found.reason, found.message, found.observed_generation) == ("New", "other words", 3)


def test_endless_messages_are_cut():
    (found,) = settle([Claim("Pinned", "False", "R", "x" * 99_999)], [], now=NOW, generation=1)
    assert len(found.message) == 4096


def observed(phase="Pinned", **more: object) -> Observed:
    return Observed.model_validate({"generation": 1, "phase": phase} | more)


PLACED = (Check("cpus", True, "", "", ""), Check("mems", True, "", "", ""))
ASTRAY = (Check("cpus", False, "", "", ""), Check("mems", True, "", "", ""))
EFFECTIVE = CpusMems(cpus="4-7", mems="1")


@pytest.mark.parametrize(
    ("spec", "seen", "judgement", "refusal", "pinned", "verified"),
    [
        pytest.param(
            SPEC,
            observed(effective=EFFECTIVE),
            Judgement("Verified", "all is well", "Measured", PLACED),
            None,
            ("True", "InForce", "socket 1"),
            ("True", "Measured", "all is well"),
            id="verified",
        ),
        pytest.param(
            SPEC,
            observed(),
            Judgement("Ineffective", "cpus outside", None, ASTRAY),
            None,
            ("False", "NotInForce", "cpus outside"),
            ("False", "Ineffective", "cpus outside"),
            id="not in force",
        ),
        pytest.param(
            SPEC,
            observed(),
            Judgement("NoSignal", "idle", None, PLACED),
            None,
            ("True", "InForce", "socket 1"),
            ("Unknown", "NoSignal", "idle"),
            id="pinned, proof lacking",
        ),
        pytest.param(
            SPEC,
            None,
            Judgement("Pending", "not yet"),
            None,
            ("Unknown", "AwaitingAgent", "not yet"),
            ("Unknown", "Pending", "not yet"),
            id="no report",
        ),
        pytest.param(
            SPEC,
            observed("Moving"),
            Judgement("Pending", "moving"),
            None,
            ("False", "Moving", "moving"),
            ("Unknown", "Pending", "moving"),
            id="moving",
        ),
        pytest.param(
            SPEC,
            observed("Refused", problem=Problem(reason="Conflict", message="exclusive CPUs")),
            Judgement("Conflict", "Conflict: exclusive CPUs"),
            None,
            ("False", "Conflict", "exclusive CPUs"),
            ("False", "Conflict", "Conflict: exclusive CPUs"),
            id="refused",
        ),
        pytest.param(
            SPEC.model_copy(update={"mode": "Observe"}),
            observed("Observing"),
            Judgement("Observing", "only observed"),
            None,
            ("False", "Observing", "mode Observe; it would go to socket 1"),
            ("Unknown", "Observing", "only observed"),
            id="observing",
        ),
        pytest.param(
            SPEC,
            None,
            Judgement("Unplaceable", "full"),
            Refusal("NoRoom", "full"),
            ("False", "NoRoom", "full"),
            ("False", "Unplaceable", "full"),
            id="unplaceable",
        ),
        pytest.param(
            SPEC,
            observed(),
            Judgement("Pending", "generation 1, not yet 2"),
            None,
            ("Unknown", "AwaitingAgent", "generation 1, not yet 2"),
            ("Unknown", "Pending", "generation 1, not yet 2"),
            id="old report",
        ),
    ],
)
def test_claims(spec, seen, judgement, refusal, pinned, verified):  # noqa: PLR0917
    found = claims(spec, seen, judgement, refusal=refusal, message="socket 1")
    assert [(c.type, c.status, c.reason, c.message) for c in found] == [
        ("Pinned", *pinned),
        ("Verified", *verified),
    ]


def status(
    verdict: Verdict, pinned: str = "True", reason: str = "InForce", said: str = "socket 1"
) -> NumaPinStatus:
    return NumaPinStatus(
        verdict=verdict,
        conditions=[
            condition("Pinned", pinned, reason, said),
            condition("Verified", "Unknown", verdict, f"because {verdict}"),
        ],
    )


PENDING = status("Pending", "Unknown", "AwaitingAgent")
NO_ROOM = status("Unplaceable", "False", "NoRoom", "full")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, PENDING, []),
        (PENDING, PENDING, []),
        (PENDING, status("Pending"), [Note("Normal", "Pinned", "socket 1")]),
        (status("Pending"), status("Pending", said="other words"), []),
        (status("Pending"), status("Verified"), [Note("Normal", "Verified", "because Verified")]),
        (
            status("Verified"),
            status("Ineffective"),
            [Note("Warning", "Ineffective", "because Ineffective")],
        ),
        (status("Verified"), status("Verified"), []),
        (status("Verified"), status("Pending"), []),
        (
            status("Verified"),
            status("Drifted", "False", "NotInForce"),
            [Note("Warning", "Drifted", "because Drifted")],
        ),
        (
            status("Pending"),
            status("NoSignal"),
            [Note("Normal", "NoSignal", "because NoSignal")],
        ),
        (None, NO_ROOM, [Note("Warning", "NoRoom", "full")]),
        (NO_ROOM, status("Unplaceable", "False", "NoRoom", "fuller"), []),
        (
            NO_ROOM,
            status("Unplaceable", "False", "SingleSocket", "one"),
            [Note("Warning", "SingleSocket", "one")],
        ),
        (
            None,
            status("Invalid", "False", "InvalidAnnotation", "7 is no socket"),
            [Note("Warning", "InvalidAnnotation", "7 is no socket")],
        ),
        (
            None,
            status("Pending", "False", "NoAgent", "no agent"),
            [Note("Warning", "NoAgent", "no agent")],
        ),
        (
            status("Pending", "False", "NoAgent", "no agent"),
            status("Pending", "False", "NoAgent", "no agent"),
            [],
        ),
        (
            status("Ineffective"),
            status("Ineffective", "False", "Released", "released"),
            [Note("Warning", "Released", "released")],
        ),
        (
            status("Verified"),
            status("Observing", "False", "Observing", "mode Observe"),
            [Note("Normal", "Unpinned", "mode Observe")],
        ),
        (
            PENDING,
            status("Verified"),
            [
                Note("Normal", "Pinned", "socket 1"),
                Note("Normal", "Verified", "because Verified"),
            ],
        ),
    ],
)
def test_events_are_made_of_transitions_only(old, new, told):
    assert list(notes(old, new)) == told


def test_event_names_its_pod():
    made = event(POD, Note("Warning", "NoRoom", "x" * 5000), now=NOW, instance="operator-0")
    assert made["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": "redis",
        "uid": "uid-1",
    }
    assert (made["type"], made["reason"], made["reportingInstance"]) == (
        "Warning",
        "NoRoom",
        "operator-0",
    )
    assert len(made["message"]) == MESSAGE_CHARACTERS
    assert made["message"].endswith("...")
    assert made["eventTime"] == "2026-11-23T18:00:00.123456Z"


def test_event_names_of_long_pod_names_are_valid():
    long = Pod(key=Key("default", "a" * 199 + "." + "b" * 53), uid="u")
    name = event(long, Note("Normal", "Pinned", "m"), now=NOW)["metadata"]["name"]
    assert len(name) <= 253
    assert ".." not in name


def test_flapping_makes_few_events():
    restraint = Restraint()
    assert restraint.allows("a", "Drifted", now=0)
    assert not restraint.allows("a", "Drifted", now=QUIET_SECONDS)
    assert restraint.allows("a", "Verified", now=1)
    assert restraint.allows("b", "Drifted", now=1)
    assert restraint.allows("a", "Drifted", now=QUIET_SECONDS + 1)
