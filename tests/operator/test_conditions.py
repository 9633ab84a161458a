"""Conditions keep their times, and Events tell transitions only."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_api.base import Condition
from numapin_api.pin import CpusMems, NumaPinSpec, NumaPinStatus, Observed, Problem, Verdict
from numapin_operator.checks import Check
from numapin_operator.conditions import Claim, Note, claims, notes, settle, standing
from numapin_operator.events import (
    APART_SECONDS,
    MESSAGE_CHARACTERS,
    QUIET_SECONDS,
    Restraint,
    event,
)
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


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (PENDING, {"Unpinned", "AwaitingAgent", "Pending"}),
        (status("Verified"), {"Pinned", "InForce", "Verified"}),
        (NO_ROOM, {"Unpinned", "NoRoom", "Unplaceable"}),
    ],
)
def test_what_an_event_may_still_say(now, holds):
    assert standing(now) == holds


def note(reason: str) -> Note:
    return Note("Normal" if reason in {"Pinned", "Verified"} else "Warning", reason, "m")


def told(restraint: Restraint, *, at: float, uid: str = "a") -> str | None:
    found = restraint.due(uid, now=at)
    return None if found is None else found.reason


def offer(restraint: Restraint, *reasons: str, at: float, uid: str = "a") -> None:
    restraint.offer(uid, map(note, reasons), standing={*reasons, "Pinned"}, now=at)


def test_two_transitions_at_once_are_told_a_minute_apart_warnings_first():
    restraint = Restraint()
    offer(restraint, "Pinned", "Ineffective", at=0)
    assert told(restraint, at=0) == "Ineffective"
    assert told(restraint, at=APART_SECONDS - 1) is None
    assert restraint.wait("a", now=10) == APART_SECONDS - 10
    assert told(restraint, at=APART_SECONDS) == "Pinned"
    assert restraint.wait("a", now=APART_SECONDS) is None


def test_what_no_longer_holds_when_its_time_has_come_is_not_told():
    restraint = Restraint()
    offer(restraint, "Pinned", at=0)
    assert told(restraint, at=0) == "Pinned"
    offer(restraint, "Ineffective", at=10)
    offer(restraint, at=20)
    assert restraint.wait("a", now=20) is None


def test_a_drift_is_told_though_it_was_put_right_meanwhile_and_then_what_came_of_it():
    restraint = Restraint()
    offer(restraint, "Verified", at=0)
    assert told(restraint, at=0) == "Verified"
    offer(restraint, "Drifted", at=10)
    offer(restraint, "NoSignal", at=20)
    offer(restraint, "Verified", at=30)
    assert told(restraint, at=APART_SECONDS) == "Drifted"
    offer(restraint, "Verified", at=90)
    assert told(restraint, at=QUIET_SECONDS) == "Verified"


def test_back_to_what_was_said_last_is_no_news():
    restraint = Restraint()
    offer(restraint, "Verified", at=0)
    assert told(restraint, at=0) == "Verified"
    offer(restraint, "Ineffective", at=10)
    offer(restraint, "Verified", at=20)
    assert restraint.wait("a", now=20) is None


def test_the_same_reason_is_told_again_after_a_while():
    restraint = Restraint()
    for at in (0, 100, 200):
        offer(restraint, "Drifted", at=at)
        assert told(restraint, at=at) == ("Drifted" if at == 0 else None)
    offer(restraint, "Drifted", at=QUIET_SECONDS)
    assert told(restraint, at=QUIET_SECONDS) == "Drifted"


def test_pods_do_not_share_their_minute():
    restraint = Restraint()
    for uid in "ab":
        offer(restraint, "Drifted", at=1, uid=uid)
        assert told(restraint, at=1, uid=uid) == "Drifted"


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from(["Verified", "Ineffective", "NoSignal"])),
        max_size=60,
    )
)
def test_whatever_flaps_one_pod_gets_one_event_a_minute_and_the_last_word_is_told(steps):
    restraint, now, made, last = Restraint(), 0, [], ""
    for seconds, reason in steps:
        for now in range(now, now + seconds + 1):  # noqa: B020
            if (reason_told := told(restraint, at=now)) is not None:
                made.append((now, reason_told))
        if reason != last:
            offer(restraint, reason, at=now)
        last = reason
    while (wait := restraint.wait("a", now=now)) is not None:
        now += int(wait)
        made.append((now, told(restraint, at=now)))
    assert all(b[0] - a[0] >= APART_SECONDS for a, b in pairwise(made))
    assert not last or made[-1][1] == last
