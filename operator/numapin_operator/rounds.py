"""Has each node looked at in turn, and keeps the move that was found until its pod takes it.

One is kept at a time: until it is written, neither the store nor budgets know of it. The search
runs beside the event loop. Nothing is written here; the pod's own reconcile makes the move.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Protocol

from numapin_api.pin import Move
from numapin_operator.pods import Key
from numapin_operator.rebalancer import LOOK_SECONDS, Rebalancer, search
from numapin_operator.records import NodeKey
from numapin_operator.store import Store

EVERY_NODE: Final = NodeKey("")
"""Stands for a round over all nodes; no node has an empty name."""


class Mark(Protocol):
    """Has keys looked at."""

    def __call__(self, keys: Iterable[Key | NodeKey], *, after: float = 0.0) -> None:
        """In so many seconds."""


class Rounds:
    """Looks for moves.

    Args:
        store: what is known.
        rebalancer: finds them.
        mark: has pods and nodes looked at.
        now: wall clock, with time zone.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        rebalancer: Rebalancer,
        *,
        mark: Mark,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._store, self._rebalancer, self._mark = store, rebalancer, mark
        self._now, self._clock = now, clock
        self._found: dict[Key, Move] = {}

    def take(self, pod: Key) -> Move | None:
        """The move that was found for a pod; it is forgotten, whether or not it can be made."""
        return self._found.pop(pod, None)

    async def look(self, key: NodeKey) -> None:
        """Look for a move on a node, or begin a round over all of them."""
        if key == EVERY_NODE:
            self._begin()
            return
        now = self._now()
        # Have they helped? Their pins' own watch says nothing of their sockets' load.
        self._mark(k for k in self._store.moved if self._store.pins[k].node == key.node)
        asked = self._rebalancer.look(key.node, now=now, clock=self._clock())
        if asked is None:
            return
        found = await asyncio.to_thread(search, asked, now)
        if found is None:
            return
        if self._found or self._rebalancer.under_way(key.node):
            # One that is about to be written does not show in the store yet, nor in budgets.
            self._rebalancer.ask_again(key.node)
            return
        pod, move = found
        self._found[pod] = move
        self._mark([pod])

    def _begin(self) -> None:
        """Have every node looked at until the next round, evenly, so that none waits long."""
        if self._rebalancer.wanted:
            names = sorted(self._store.nodes)
            for i, name in enumerate(names):
                self._mark([NodeKey(name)], after=LOOK_SECONDS * i / len(names))
        self._mark([EVERY_NODE], after=LOOK_SECONDS)
