"""What lost alarms come to in the NumaNode's condition. Pure.

Apart from ``rules``, which ``pin.decide`` stands on and which knows no conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from numapin_agent.status import Reason

SHOWN_SECONDS: Final = 600.0
"""How long a loss stays in the condition: it is over, but somebody should see it."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Alarms that found no room, as long as they are shown.

    Attributes:
        total: how many in all, at the last look.
        at: when more were noticed last, in monotonic seconds.
        events: how many since they were noticed first.
    """

    total: int = 0
    at: float = float("-inf")
    events: int = 0

    def seen(self, total: int, *, at: float) -> Missed:
        """After one more look."""
        before = self.events if at - self.at < SHOWN_SECONDS else 0
        if total > self.total:
            return Missed(total, at, before + total - self.total)
        return Missed(self.total, self.at, before)

    def reasons(self) -> tuple[Reason, ...]:
        """What the NumaNode's condition says about it."""
        if not self.events:
            return ()
        return (
            Reason(
                "AlarmsLost",
                f"{self.events} alarms of kswapd found no room: the memory guard was held up, or "
                "they came too fast for it",
            ),
        )
