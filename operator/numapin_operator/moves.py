"""Whether a pod may be moved now, and whether the move that was made has helped. Pure.

What is remembered of a move stands in the NumaPin, so that an operator that is started anew
neither moves a pod twice nor forgets that a move was in vain.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, Literal, TypeVar

from numapin_api.base import Condition
from numapin_api.pin import Move, Verdict
from numapin_api.policy import Rebalance, seconds
from numapin_operator.conditions import MOVED, Claim
from numapin_operator.placement.crowd import Leaving

HELPED: Final = "Helped"
IN_VAIN: Final = "InVain"
UNDER_WAY: Final = "UnderWay"
MADE_WAY: Final = "MadeWay"
LONGEST_MOVE: Final = timedelta(minutes=30)
"""Pages are moved in paced batches; a pod that is not in force after that is not going to be."""
LONGEST_RELIEF: Final = timedelta(minutes=10)
"""A socket's use is an average and published coarsely; it shows within some minutes."""

WHOLE_PERCENT: Final = 100
"""Of a socket: more can't be had."""

MOST_PERCENT: Final = 10_000
"""That a ``Move`` can tell of."""

_FAILED: Final[frozenset[Verdict]] = frozenset(
    {"Ineffective", "Drifted", "Conflict", "Unplaceable", "Invalid"}
)

K = TypeVar("K", bound=Hashable)
"""What is too busy: a socket, and for whom."""

Fate = Literal["Placed", "Waits", "Gone"]
"""Of a pod that waited for room: it is pinned, it has none, or it is not there or wants none."""


def judged(move: Move | None, conditions: list[Condition]) -> Condition | None:
    """The judgement on a move, if there is one; that on an earlier one is none.

    Args:
        move: the pin's last move.
        conditions: of the pin.
    """
    found = _said(conditions)
    if move is None:
        # Its pod has another place by now, or none. What was in vain stays so.
        return found if found is not None and found.status == "False" else None
    if found is None or found.status == "Unknown" or found.last_transition_time < move.time:
        return None
    return found


def made_way(move: Move | None, conditions: list[Condition]) -> bool:
    """Whether a pod is where it was moved, and only others' moves are waited for.

    Args:
        move: the pin's last move.
        conditions: of the pin.
    """
    found = _said(conditions)
    return move is not None and found is not None and found.reason == MADE_WAY


def in_vain(move: Move | None, conditions: list[Condition]) -> bool:
    """Whether a pod was moved, and that has not helped.

    Args:
        move: the pin's last move.
        conditions: of the pin.
    """
    found = judged(move, conditions)
    return found is not None and found.status == "False"


def _said(conditions: list[Condition]) -> Condition | None:
    return next((c for c in conditions if c.type == MOVED), None)


def lasting(known: Condition | None) -> Claim | None:
    """A judgement that was made, as it is to be said again.

    Args:
        known: of ``judged``.
    """
    return None if known is None else Claim(MOVED, known.status, known.reason, known.message)


def outcome(  # noqa: PLR0911 (one return a row of the table)
    move: Move,
    verdict: Verdict,
    *,
    load: int | None = None,
    fate: Fate = "Gone",
    now: datetime,
) -> Claim:
    """Whether a move that is not judged yet has helped, as a condition.

    Args:
        move: the move.
        verdict: on the pin as it is now.
        load: percent in use of the busier resource of the socket that it left; of a crowded one
            percent of it that is asked for; None where not known.
        fate: of the pod that room was made for.
        now: with time zone.
    """
    taken = now - move.time
    if verdict in _FAILED:
        return Claim(MOVED, "False", IN_VAIN, f"{move.message}; the pin is now {verdict}")
    if verdict == "Pending":
        if taken < LONGEST_MOVE:
            return Claim(MOVED, "Unknown", UNDER_WAY, move.message)
        said = f"not in force after {LONGEST_MOVE.seconds // 60} minutes"
        return Claim(MOVED, "False", IN_VAIN, f"{move.message}; {said}")
    if move.reason == "PodWaiting":
        return _of_room(move, fate, lately=taken < LONGEST_MOVE)
    if move.crowded:
        return _of_crowd(move, load, lately=taken < LONGEST_RELIEF)
    if load is not None and load <= move.load - move.gain / 2:
        said = f"socket {move.from_socket} went from {move.load} to {load} % in use"
        return Claim(MOVED, "True", HELPED, f"{move.message}; {said}")
    if taken < LONGEST_RELIEF:
        return Claim(MOVED, "Unknown", UNDER_WAY, move.message)
    still = "not known" if load is None else f"{load} %"
    said = f"socket {move.from_socket} was at {move.load} % before and is at {still}"
    return Claim(MOVED, "False", IN_VAIN, f"{move.message}; {said}, so it is not moved again")


def _of_room(move: Move, fate: Fate, *, lately: bool) -> Claim:
    """The outcome of a move that is in force and was made so that another pod has room."""
    who = move.room_for or "the pod that waited"
    if fate == "Placed":
        return Claim(MOVED, "True", HELPED, f"{move.message}; it is pinned now")
    if fate == "Gone":
        return Claim(MOVED, "True", HELPED, f"{move.message}; {who} no longer waits for it")
    if lately:
        return Claim(MOVED, "Unknown", MADE_WAY if move.further else UNDER_WAY, move.message)
    said = f"{who} has no place after {LONGEST_MOVE.seconds // 60} minutes"
    return Claim(MOVED, "False", IN_VAIN, f"{move.message}; {said}, so it is not moved again")


def _of_crowd(move: Move, asked: int | None, *, lately: bool) -> Claim:
    """The outcome of a move that is in force and was made where more was asked for than there is.

    One that relieved the socket of what it was to has helped, though others may have to follow.
    """
    if asked is not None and (asked <= WHOLE_PERCENT or asked <= move.load - move.gain / 2):
        rest = "" if asked <= WHOLE_PERCENT else "; the rest is for others to leave"
        said = f"of socket {move.from_socket} {asked} % are asked for now{rest}"
        return Claim(MOVED, "True", HELPED, f"{move.message}; {said}")
    if lately:
        return Claim(MOVED, "Unknown", UNDER_WAY, move.message)
    still = "is not known" if asked is None else f"is {asked} %"
    said = f"what is asked for of socket {move.from_socket} {still}"
    return Claim(MOVED, "False", IN_VAIN, f"{move.message}; {said}, so others leave before it")


def crowded(before: int | None, after: int, who: Leaving, *, now: datetime) -> Move | None:
    """The move of a pod off a socket of which more is asked for than there is.

    Args:
        before: the socket that its pin says.
        after: the one that it gets.
        who: leaves.
        now: with time zone.

    Returns:
        None if it is another pod that leaves, or this one stays on its socket.
    """
    if who.told is None or before is None or before == after:
        return None
    return Move(
        from_socket=before,
        to_socket=after,
        time=now.replace(microsecond=0),
        reason="SocketBusy",
        message=who.told.message[:1024],
        gain=min(who.told.gain, MOST_PERCENT),
        load=min(who.told.load, MOST_PERCENT),
        bytes_to_move=who.bytes_to_move,
        crowded=True,
    )


@dataclass(frozen=True, slots=True)
class Record:
    """What counts of a pinned pod when one asks whether it may be moved.

    Attributes:
        pinned: its pin is in force.
        move: its last move.
        judgement: status of the judgement on that; None while there is none.
    """

    pinned: bool
    move: Move | None = None
    judgement: str | None = None

    @property
    def under_way(self) -> bool:
        """It was moved, and whether that has helped is not known yet."""
        return self.move is not None and self.judgement is None


def movable(record: Record, policy: Rebalance, *, now: datetime) -> bool:
    """Whether a pod may be moved now, as far as its own past goes.

    Args:
        record: of the pod.
        policy: that it is under.
        now: with time zone.
    """
    if not record.pinned or record.judgement == "False":
        return False
    if record.move is None:
        return True
    rested = now - record.move.time >= timedelta(seconds=seconds(policy.cooldown))
    return rested and not record.under_way


def budget(policies: Mapping[str, Rebalance], under_way: Mapping[str, int]) -> dict[str, int]:
    """How many more pods of each policy may be on the move.

    Args:
        policies: by name.
        under_way: pods on the move, by policy.
    """
    return {name: p.max_moving - under_way.get(name, 0) for name, p in policies.items()}


class Patience(Generic[K]):
    """Since when sockets are too busy, so that none is relieved of a moment's load."""

    def __init__(self) -> None:
        self._since: dict[str, dict[K, float]] = {}

    def see(self, node: str, busy: Mapping[K, float], *, now: float) -> frozenset[K]:
        """Note which sockets are too busy now.

        Args:
            node: the node.
            busy: seconds for which each must have been so, of the sockets that are.
            now: monotonic seconds.

        Returns:
            Those that have been so for long enough.
        """
        before = self._since.get(node, {})
        since = {one: before.get(one, now) for one in busy}
        if since:
            self._since[node] = since
        else:
            self._since.pop(node, None)
        return frozenset(one for one, begun in since.items() if now - begun >= busy[one])
