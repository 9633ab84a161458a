"""Events on pods: their JSON, and a bound on how many one pod can get.

Transitions make Events; a pin that flaps would make them without end, so one reason is
told of one pod at most once per ``QUIET_SECONDS``.
"""

import socket
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from numapin_api.names import OPERATOR_MANAGER
from numapin_operator.conditions import Note
from numapin_operator.pods import Pod

QUIET_SECONDS: Final = 300.0
MESSAGE_CHARACTERS: Final = 1024
"""Longer messages are refused by the API server."""


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


class Restraint:
    """Remembers what was told of whom."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], float] = {}
        self._swept = float("-inf")

    def allows(self, uid: str, reason: str, *, now: float) -> bool:
        """Whether this may be told now; if so it counts as told.

        Args:
            uid: the pod's.
            reason: the Event's.
            now: monotonic seconds.
        """
        if now - self._swept > QUIET_SECONDS:
            self._swept = now
            self._told = {k: t for k, t in self._told.items() if now - t <= QUIET_SECONDS}
        if now - self._told.get((uid, reason), float("-inf")) <= QUIET_SECONDS:
            return False
        self._told[uid, reason] = now
        return True
