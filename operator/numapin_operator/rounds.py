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

    def move(self, pod: Key) -> Move | None:
        """The move that was found for a pod; it is kept until that is settled."""
        return self._found.get(pod)

    def settled(self, pod: Key) -> None:
        """The pod was decided, and its pin written or not: what was found is forgotten."""
        move, pin = self._found.pop(pod, None), self._store.pins.get(pod)
        if move is not None and pin is not None and pin.move != move:
            self._rebalancer.ask_again(pin.node)

    async def look(self, key: NodeKey) -> None:
        """Look for a move on a node, or begin a round over all of them."""
        if key == EVERY_NODE:
            self._begin()
            return
        now = self._now()
        # Have they helped? Their pins' own watch says nothing of their sockets' load.
        self._mark(pin.key for pin in self._store.moving(key.node))
        asked = self._rebalancer.look(key.node, now=now, clock=self._clock())
        if asked is None:
            return
        found = await asyncio.to_thread(search, asked, now)
        if found is None:
            return
        pod, move = found
        # Others may have been made during the search. One that is about to be written does not
        # show in the store yet, nor in budgets.
        late = self._found or self._rebalancer.under_way(key.node)
        if late or not self._rebalancer.affordable(pod):
            self._rebalancer.ask_again(key.node)
            return
        self._found[pod] = move
        self._mark([pod])

    def _begin(self) -> None:
        """Have every node looked at until the next round, evenly, so that none waits long."""
        if not self._rebalancer.wanted:
            # No node is looked at, but a crowded socket is left under any policy. Has that helped?
            self._mark(pin.key for pin in self._store.moving())
        else:
            names = sorted(self._store.nodes)
            for i, name in enumerate(names):
                self._mark([NodeKey(name)], after=LOOK_SECONDS * i / len(names))
        self._mark([EVERY_NODE], after=LOOK_SECONDS)
