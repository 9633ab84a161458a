"""How often the pin of one pod may be written: at first as often as it takes, then seldom.

Whoever may annotate a pod can change their mind a hundred times a second, and each change
would cost writes to etcd, log lines, page moves on the node, and everybody else's share of
the operator's own rate. Keys are names, not UIDs, so a pod made anew starts with what its
predecessor left. Deletions count but are never put off: without a new pin there is nothing
to delete. Pure: the caller says what time it is.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BURST: Final = 30
"""Writes that may follow each other at once. A pod that is moved, pinned and verified takes
about ten."""
REFILL_SECONDS: Final = 10.0
"""Until one more may be made."""


class Allowance(Generic[K]):
    """A token bucket for each key, kept as the one number of the generic cell rate algorithm."""

    def __init__(self) -> None:
        self._paid_up_to: dict[K, float] = {}
        self._swept = float("-inf")

    def __len__(self) -> int:
        return len(self._paid_up_to)

    def wait(self, key: K, *, now: float) -> float:
        """Seconds until the key may be written; 0 when it may be now.

        Args:
            key: what is to be written.
            now: monotonic seconds.
        """
        ahead = self._paid_up_to.get(key, now) - now
        return max(0.0, ahead - (BURST - 1) * REFILL_SECONDS)

    def spend(self, key: K, *, now: float) -> None:
        """The key is written.

        Args:
            key: what is written.
            now: monotonic seconds.
        """
        if now - self._swept > BURST * REFILL_SECONDS:
            self._swept = now
            self._paid_up_to = {k: t for k, t in self._paid_up_to.items() if t > now}
        self._paid_up_to[key] = max(self._paid_up_to.get(key, now), now) + REFILL_SECONDS
