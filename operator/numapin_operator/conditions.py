"""From decisions and verdicts to conditions, and from changes of them to Events.

A condition's lastTransitionTime moves only when its status flips, and an Event is made
only of a transition: a restarted operator that finds everything in place says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from numapin_api.base import Condition
from numapin_api.pin import NumaPinSpec, NumaPinStatus, Observed, Verdict
from numapin_api.policy import NumaPolicySpec
from numapin_operator.verdict import Judgement, Refusal

Status = Literal["True", "False", "Unknown"]

PINNED: Final = "Pinned"
VERIFIED: Final = "Verified"
READY: Final = "Ready"
MOVED: Final = "Moved"
"""Of a pin that was moved from one socket to another: whether that has helped."""
RELEASED: Final = "Released"
"""Reason of Pinned=False after onFailure Unpin."""

_OPEN: Final[frozenset[Verdict]] = frozenset({"Pending", "NoSignal", "Observing"})
"""Verdicts that leave open whether the pin works."""
_WARNINGS: Final[frozenset[Verdict]] = frozenset(
    {"Ineffective", "Drifted", "Conflict", "Unplaceable", "Invalid"}
)
_BY_REASON: Final[frozenset[Verdict]] = frozenset({"Unplaceable", "Invalid"})
_SILENT: Final[frozenset[Verdict]] = frozenset({"Pending", "Observing"})
_MOVE_EVENTS: Final[dict[Status, str]] = {"Unknown": "Moved", "False": "MovedInVain"}
MESSAGE_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Claim:
    """A condition without its times."""

    type: str
    status: Status
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Note:
    """An Event to be made on the pod."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def settle(
    claims: Sequence[Claim], old: Sequence[Condition], *, now: datetime, generation: int | None
) -> list[Condition]:
    """Give claims their times: the old one's if its status is the same, else now.

    Args:
        claims: what holds now.
        old: the conditions as they stand in the API.
        now: the time of this reconcile; fractions of seconds are cut off.
        generation: metadata.generation that this is about.
    """
    before = {c.type: c for c in old}
    settled: list[Condition] = []
    for claim in claims:
        known = before.get(claim.type)
        since = (
            known.last_transition_time
            if known is not None and known.status == claim.status
            else now.replace(microsecond=0)
        )
        settled.append(
            Condition(
                type=claim.type,
                status=claim.status,
                reason=claim.reason,
                message=claim.message[:MESSAGE_CHARACTERS],
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return settled


def accepted(policy: NumaPolicySpec) -> Claim:
    """What is claimed of a policy that was understood."""
    message = f"applies to pods with label numapin.io/pin=true, mode {policy.mode}"
    return Claim(READY, "True", "Accepted", message)


def same(one: NumaPinStatus | None, other: NumaPinStatus) -> bool:
    """Whether the operator's parts of two statuses are equal."""

    def own(status: NumaPinStatus) -> NumaPinStatus:
        ordered = sorted(status.conditions, key=lambda c: c.type)
        return status.model_copy(update={"observed": None, "conditions": ordered})

    return one is not None and own(one) == own(other)


def _in_force(judgement: Judgement) -> bool:
    placed = [c for c in judgement.checks if c.name in {"cpus", "mems", "containers"}]
    return all(c.ok is not False for c in placed) and any(c.ok for c in placed)


def _pinned(  # noqa: PLR0911 (one return a row of the table)
    spec: NumaPinSpec,
    observed: Observed | None,
    judgement: Judgement,
    refusal: Refusal | None,
    message: str,
) -> Claim:
    """Whether the pod is pinned, by the agent's own reading, not by our wish."""
    if refusal is not None:
        return Claim(PINNED, "False", refusal.reason, refusal.message)
    if spec.mode == "Observe":
        return Claim(PINNED, "False", "Observing", f"mode Observe; it would go to {message}")
    if observed is None:
        return Claim(PINNED, "Unknown", "AwaitingAgent", judgement.message)
    if observed.phase == "Refused" and observed.problem is not None:
        return Claim(PINNED, "False", observed.problem.reason, observed.problem.message)
    if observed.phase != "Pinned":
        return Claim(PINNED, "False", observed.phase, judgement.message)
    if not judgement.checks:
        return Claim(PINNED, "Unknown", "AwaitingAgent", judgement.message)
    if not _in_force(judgement):
        return Claim(PINNED, "False", "NotInForce", judgement.message)
    return Claim(PINNED, "True", "InForce", message)


def claims(
    spec: NumaPinSpec,
    observed: Observed | None,
    judgement: Judgement,
    *,
    refusal: Refusal | None = None,
    message: str = "",
) -> tuple[Claim, Claim]:
    """The conditions Pinned and Verified of a pin.

    Args:
        spec: what was decided.
        observed: what the agent reports.
        judgement: the verdict on it.
        refusal: why there is no socket, when there is none.
        message: where the pod goes and why, when there is one.
    """
    verdict = judgement.verdict
    status: Status = "True" if verdict == "Verified" else "Unknown" if verdict in _OPEN else "False"
    reason = judgement.evidence or verdict
    return (
        _pinned(spec, observed, judgement, refusal, message),
        Claim(VERIFIED, status, reason, judgement.message),
    )


def _condition(status: NumaPinStatus | None, kind: str) -> Condition | None:
    return next((c for c in (status.conditions if status else ()) if c.type == kind), None)


def standing(status: NumaPinStatus) -> frozenset[str]:
    """The reasons of Events that hold in a status."""
    pinned = _condition(status, PINNED)
    said = set() if pinned is None else {pinned.reason}
    said.add("Pinned" if pinned is not None and pinned.status == "True" else "Unpinned")
    moved = _condition(status, MOVED)
    said |= set() if moved is None else {_MOVE_EVENTS.get(moved.status, moved.reason)}
    return frozenset(said | ({status.verdict} if status.verdict else set()))


def _of_moves(was: Condition | None, now: Condition | None) -> list[Note]:
    """A move was begun, or has turned out to be in vain."""
    if now is None or (was is not None and was.status == now.status):
        return []
    name = _MOVE_EVENTS.get(now.status)
    return [] if name is None else [Note("Normal", name, now.message)]


def notes(old: NumaPinStatus | None, new: NumaPinStatus) -> tuple[Note, ...]:
    """The Events that the step from one status to the next is worth."""
    found: list[Note] = []
    was, now = _condition(old, PINNED), _condition(new, PINNED)
    if now is not None:
        flipped = was is None or was.status != now.status
        if now.status == "True" and flipped:
            found.append(Note("Normal", "Pinned", now.message))
        elif now.reason == "NoAgent" and (was is None or was.reason != now.reason):
            found.append(Note("Warning", "NoAgent", now.message))
        elif (
            was is not None
            and (was.status, now.status) == ("True", "False")
            and new.verdict not in _WARNINGS
        ):
            found.append(Note("Normal", "Unpinned", now.message))
    found += _of_moves(_condition(old, MOVED), _condition(new, MOVED))
    verdict = new.verdict
    changed = old is None or old.verdict != verdict
    if now is not None and (verdict in _BY_REASON or now.reason == RELEASED):
        # The reason is the news here: InvalidAnnotation, NoRoom, ...
        if changed or was is None or was.reason != now.reason:
            found.append(Note("Warning", now.reason, now.message))
    elif changed and verdict is not None and verdict not in _SILENT:
        proof = _condition(new, VERIFIED)
        kind: Literal["Normal", "Warning"] = "Warning" if verdict in _WARNINGS else "Normal"
        found.append(Note(kind, verdict, proof.message if proof else ""))
    return tuple(found)
