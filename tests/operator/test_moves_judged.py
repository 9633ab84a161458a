"""Whether a move has helped, and which pods may be moved: the tables. The loop is in test_moves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from numapin_api.base import Condition
from numapin_api.pin import Move
from numapin_api.policy import Rebalance
from numapin_operator.moves import (
    Patience,
    Record,
    in_vain,
    judged,
    lasting,
    made_way,
    movable,
    outcome,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def move(reason: str = "SocketBusy", *, ago: float = 60) -> Move:
    return Move(
        from_socket=0,
        to_socket=1,
        time=NOW - timedelta(seconds=ago),
        reason=reason,
        message="moved",
        gain=30,
        load=90,
        bytes_to_move=1,
    )


@pytest.mark.parametrize(
    ("reason", "ago", "verdict", "load", "status", "words"),
    [
        ("SocketBusy", 60, "Pending", 90, "Unknown", "UnderWay"),
        ("SocketBusy", 1900, "Pending", 90, "False", "InVain"),
        ("SocketBusy", 60, "Verified", 90, "Unknown", "UnderWay"),
        ("SocketBusy", 60, "Verified", None, "Unknown", "UnderWay"),
        ("SocketBusy", 60, "Verified", 75, "True", "Helped"),
        ("SocketBusy", 60, "NoSignal", 60, "True", "Helped"),
        ("SocketBusy", 60, "Verified", 76, "Unknown", "UnderWay"),
        ("SocketBusy", 700, "Verified", 76, "False", "InVain"),
        ("SocketBusy", 700, "Verified", None, "False", "InVain"),
        ("SocketBusy", 60, "Ineffective", 10, "False", "InVain"),
        ("PodWaiting", 60, "Drifted", 90, "False", "InVain"),
        ("PodWaiting", 60, "Pending", 90, "Unknown", "UnderWay"),
    ],
)
def test_whether_a_move_has_helped(  # noqa: PLR0917 (columns of the table)
    reason: str, ago: float, verdict: Any, load: int | None, status: str, words: str
):
    said = outcome(move(reason, ago=ago), verdict, load=load, now=NOW)
    assert (said.status, said.reason) == (status, words)
    assert said.message.startswith("moved")


@pytest.mark.parametrize(
    ("ago", "further", "fate", "status", "words"),
    [
        (60, 0, "Placed", "True", "Helped"),
        (60, 0, "Gone", "True", "Helped"),
        (60, 0, "Waits", "Unknown", "UnderWay"),
        (60, 1, "Waits", "Unknown", "MadeWay"),
        (60, 1, "Placed", "True", "Helped"),
        (1900, 0, "Waits", "False", "InVain"),
        (1900, 1, "Waits", "False", "InVain"),
    ],
)
def test_whether_a_move_has_made_room(ago: float, further: int, fate: Any, status: str, words: str):
    made = move("PodWaiting", ago=ago).model_copy(update={"room_for": "d/x", "further": further})
    said = outcome(made, "Verified", fate=fate, now=NOW)
    assert (said.status, said.reason) == (status, words)
    assert made_way(made, [condition(status, 1, words)]) is (words == "MadeWay")


@pytest.mark.parametrize(
    ("ago", "verdict", "asked", "status", "words"),
    [
        # It was at 130 %, of which 30 were to go with the pod.
        (60, "Pending", 100, "Unknown", "UnderWay"),
        (1900, "Pending", 100, "False", "InVain"),
        (60, "Verified", 100, "True", "Helped"),
        # Others are to follow.
        (60, "NoSignal", 115, "True", "Helped"),
        (60, "Verified", 116, "Unknown", "UnderWay"),
        (700, "Verified", 116, "False", "InVain"),
        (60, "Verified", None, "Unknown", "UnderWay"),
        (700, "Verified", None, "False", "InVain"),
        (60, "Drifted", 50, "False", "InVain"),
    ],
)
def test_whether_a_move_off_a_crowded_socket_has_helped(
    ago: float, verdict: Any, asked: int | None, status: str, words: str
):
    made = move(ago=ago).model_copy(update={"load": 130, "gain": 30, "crowded": True})
    said = outcome(made, verdict, load=asked, now=NOW)
    assert (said.status, said.reason) == (status, words)
    assert in_vain(made, [condition(status, 1, words)]) is (words == "InVain")


def condition(status: Any, ago: float, reason: str = "X") -> Condition:
    return Condition(
        type="Moved",
        status=status,
        reason=reason,
        message="said",
        last_transition_time=NOW - timedelta(seconds=ago),
    )


def test_what_is_judged_once_stays_judged():
    for known in (
        judged(move(), [condition("False", 10)]),
        # Though the pod has another place by now, or none.
        judged(None, [condition("False", 10)]),
    ):
        again = lasting(known)
        assert again is not None
        assert (again.status, again.message) == ("False", "said")
    assert lasting(None) is None


@pytest.mark.parametrize(
    "found",
    [
        [],
        [condition("Unknown", 10)],
        # Of the move before this one.
        [condition("True", 100)],
    ],
)
def test_what_is_no_judgement(found: list[Condition]):
    assert judged(move(), found) is None
    assert judged(None, [condition("True", 10)]) is None


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (Record(True), True),
        (Record(False), False),
        (Record(True, move(ago=60)), False),
        (Record(True, move(ago=60), "True"), False),
        (Record(True, move(ago=601), "True"), True),
        (Record(True, move(ago=601), "False"), False),
        (Record(True, move(ago=601)), False),
    ],
)
def test_which_pods_may_be_moved(record: Record, answer: bool):
    assert movable(record, Rebalance(cooldown="10m"), now=NOW) is answer


def test_a_moment_of_load_moves_nothing():
    patience = Patience()
    assert patience.see("n", {0: 60}, now=0) == frozenset()
    assert patience.see("n", {0: 60}, now=59) == frozenset()
    assert patience.see("n", {0: 60, 1: 60}, now=60) == {0}
    assert patience.see("n", {1: 60}, now=100) == frozenset()
    # It begins anew after a moment without.
    assert patience.see("n", {0: 60, 1: 60}, now=121) == {1}
