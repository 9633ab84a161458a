"""Events on pods: their JSON, and a bound on how many one pod can get.

Transitions make Events; a pin that flaps would make them without end. So one pod gets at most
one in ``APART_SECONDS``, and of one reason at most one in ``QUIET_SECONDS``. What has to wait
is told later if it still holds, so the last word is never lost. That somebody changed a cpuset
is told in any case: the agent puts it right within seconds, and who did it is to be found out.
"""

import socket
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from numapin_api.names import OPERATOR_MANAGER
from numapin_operator.conditions import Note
from numapin_operator.pods import Pod

APART_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 300.0
_OF_THE_PIN: Final = frozenset({"Pinned", "Unpinned", "NoAgent"})
"""Reasons that tell whether the pod is pinned; all others are verdicts or their causes."""
_OF_MOVES: Final = frozenset({"Moved", "MovedInVain"})
_HAPPENED: Final = frozenset({"Drifted", "Moved"})
"""Reasons that stay true after what they tell of has passed."""
MESSAGE_CHARACTERS: Final = 1024
"""Longer messages are refused by the API server."""


def _about(reason: str) -> str:
    """What a note is about; of each there is at most one that waits."""
    if reason in _OF_MOVES:
        return "move"
    if reason in _HAPPENED:
        return "past"
    return "pin" if reason in _OF_THE_PIN else "verdict"


def event(pod: Pod, note: Note, *, now: datetime, instance: str = "") -> dict[str, Any]:
    """A core/v1 Event about a pod.

    Args:
        pod: whom it is about.
        note: what to say.
        now: when it happened.
        instance: name of this operator's pod; the host's name if empty.
    """
    time = now.astimezone(UTC)
    message = note.message
    if len(message) > MESSAGE_CHARACTERS:
        message = message[: MESSAGE_CHARACTERS - 3] + "..."
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            # Object names end at 253 characters; a pod's may be as long.
            "name": f"{pod.key.name[:200].rstrip('.-')}.{uuid4().hex[:16]}",
            "namespace": pod.key.namespace,
        },
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.key.name,
            "namespace": pod.key.namespace,
            "uid": pod.uid,
        },
        "type": note.type,
        "reason": note.reason,
        "message": message,
        "action": "Pinning",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingComponent": OPERATOR_MANAGER,
        "reportingInstance": instance or socket.gethostname(),
        "source": {"component": OPERATOR_MANAGER},
        "firstTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "count": 1,
    }


@dataclass(slots=True)
class _Told:
    """What one pod was told.

    Attributes:
        at: when last.
        reasons: when last, by reason.
        last: reason of the last one, by what it is about.
        owed: not told yet, by what it is about.
    """

    at: float = float("-inf")
    reasons: dict[str, float] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    owed: dict[str, Note] = field(default_factory=dict)

    def ready_at(self, note: Note) -> float:
        """When a note may be told."""
        quiet = self.reasons.get(note.reason, float("-inf")) + QUIET_SECONDS
        return max(self.at + APART_SECONDS, quiet)


class Restraint:
    """Remembers what was told of whom, and what is still to be told.

    Lost with the process: a restarted operator may be silent about a transition that it has
    written, but says nothing twice.
    """

    def __init__(self) -> None:
        self._pods: dict[str, _Told] = {}
        self._swept = float("-inf")

    def offer(
        self,
        uid: str,
        notes: Iterable[Note],
        *,
        standing: Set[str],
        now: float,
        first: bool = False,
    ) -> None:
        """Take in what a transition is worth.

        That all is well after the pin was told of is what was to be expected: no news, and one
        request less for each of 100,000 pods. After anything else it is.

        Args:
            uid: the pod's.
            notes: of the transition; each replaces what is owed about the same thing.
            first: there was no verdict before this one.
            standing: reasons that hold now: what is owed of others is not true any more,
                unless it tells of something that happened.
            now: monotonic seconds.
        """
        self._sweep(now)
        pod = self._pods.get(uid, _Told())
        if first and "verdict" not in pod.last:
            notes = [note for note in notes if note.reason != "Verified"]
        true = standing | _HAPPENED
        pod.owed = {about: note for about, note in pod.owed.items() if note.reason in true}
        for note in notes:
            about = _about(note.reason)
            told = pod.reasons.get(note.reason, float("-inf"))
            if pod.last.get(about) == note.reason and now - told < QUIET_SECONDS:
                pod.owed.pop(about, None)  # back to what was said last
            else:
                pod.owed[about] = note
        if pod.owed:
            self._pods[uid] = pod

    def due(self, uid: str, *, now: float) -> Note | None:
        """What may be told now, warnings first; it then counts as told.

        Args:
            uid: the pod's.
            now: monotonic seconds.
        """
        pod = self._pods.get(uid)
        if pod is None:
            return None
        for about, note in sorted(pod.owed.items(), key=lambda x: x[1].type != "Warning"):
            if pod.ready_at(note) <= now:
                del pod.owed[about]
                pod.at = pod.reasons[note.reason] = now
                pod.last[about] = note.reason
                if about == "past":
                    pod.last.pop("verdict", None)  # that all is well again is news then
                return note
        return None

    def wait(self, uid: str, *, now: float) -> float | None:
        """Seconds until something is due; None when nothing is owed.

        Args:
            uid: the pod's.
            now: monotonic seconds.
        """
        pod = self._pods.get(uid)
        if pod is None or not pod.owed:
            return None
        return max(0.0, min(map(pod.ready_at, pod.owed.values())) - now)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._pods.pop(uid, None)

    def _sweep(self, now: float) -> None:
        if now - self._swept > QUIET_SECONDS:
            self._swept = now
            self._pods = {
                u: p for u, p in self._pods.items() if p.owed or now - p.at <= QUIET_SECONDS
            }
