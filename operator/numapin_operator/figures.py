"""Whether figures that have moved are worth a write of a pin's status. Pure.

An agent refreshes its report each 15 minutes, and hardly any figure stays the same. What is news
is written at once; figures of an unchanged verdict that moved a little are brought up to date
together, now and then. Kept in memory only: an operator that is started anew waits anew.
"""

import re
from typing import Final, Generic, TypeVar

from numapin_api.base import Condition
from numapin_api.pin import NumaPinStatus, Verdict
from numapin_operator.conditions import VERIFIED

K = TypeVar("K")

PATIENCE_SECONDS: Final = 1800.0
"""So long the status may show figures that are no longer the last ones."""
PERCENT_AT_ONCE: Final = 1.0
"""``localPercent`` that has moved so far is news."""
PAGES_AT_ONCE: Final = 10.0
"""``crossSocketPagesPerSecond`` that has moved so far is news: it is what policies allow in all,
unless they say otherwise."""

_WITH_FIGURES: Final[frozenset[Verdict | None]] = frozenset(
    {"Verified", "Ineffective", "NoSignal", "Observing"}
)
_NUMBER: Final = re.compile(r"\d+([.,]\d+)*")


class Figures(Generic[K]):
    """Since when the figures of each pin's status are not the last ones."""

    def __init__(self) -> None:
        self._since: dict[K, float] = {}

    def wait(self, key: K, old: NumaPinStatus | None, new: NumaPinStatus, *, now: float) -> float:
        """Seconds until a status is to be written; 0 when it is now.

        Args:
            key: the pin.
            old: the status as it stands.
            new: another one, that should.
            now: monotonic seconds.
        """
        if old is None or not alike(old, new):
            return 0.0
        return max(0.0, self._since.setdefault(key, now) + PATIENCE_SECONDS - now)

    def forget(self, key: K) -> None:
        """The status is written, or the pin is gone."""
        self._since.pop(key, None)


def alike(old: NumaPinStatus, new: NumaPinStatus) -> bool:
    """Whether two statuses tell the same but for figures that have moved a little.

    Numbers of condition Pinned are no such figures: they are CPUs, sockets and room.
    """
    return (
        new.verdict in _WITH_FIGURES
        and _told(old) == _told(new)
        and _near(old.local_percent, new.local_percent, PERCENT_AT_ONCE)
        and _near(
            old.cross_socket_pages_per_second, new.cross_socket_pages_per_second, PAGES_AT_ONCE
        )
    )


def _told(status: NumaPinStatus) -> NumaPinStatus:
    """The operator's part of a status without the figures of its verdict."""
    return status.model_copy(
        update={
            "observed": None,
            "local_percent": None,
            "cross_socket_pages_per_second": None,
            "conditions": sorted(map(_without_numbers, status.conditions), key=lambda c: c.type),
        }
    )


def _without_numbers(said: Condition) -> Condition:
    if said.type != VERIFIED:
        return said
    return said.model_copy(update={"message": _NUMBER.sub("#", said.message)})


def _near(old: float | None, new: float | None, most: float) -> bool:
    if old is None or new is None:
        return old == new
    # To the decimal that they are told with: 99.7 - 98.7 is a little less than 1.
    return round(abs(old - new), 1) < most
