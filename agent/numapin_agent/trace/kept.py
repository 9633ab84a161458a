"""Which single events of a trace are kept, of however many there are. Pure.

A busy machine has more in ten minutes than anybody could read or memory hold: the slowest are
kept, and of ``spike`` what may explain them. What is left out is counted.
"""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from numapin_agent.trace.blame import overlap
from numapin_agent.trace.records import OFF, QUEUED, SYSCALL, Event

SLOWEST: Final = 50
"""Single events that an answer lists."""
JUDGED: Final = 200
"""Slow calls for which a culprit is looked for."""
REMEMBERED: Final = 20_000
"""Other events among which it is."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not among the events that were kept, and matters.

    Attributes:
        slow_calls: system calls that there were, the kept ones among them.
        dropped: events near a kept call for which there was no room.
        blurred: kept calls that began before something ended that was forgotten.
    """

    slow_calls: int = 0
    dropped: int = 0
    blurred: int = 0


class Kept(Protocol):
    """What becomes of single events."""

    def add(self, event: Event, named: Callable[[Event], Event]) -> None:
        """Keep an event, or not.

        Args:
            event: in about the order in which they ended.
            named: completes one that is kept, which takes a look at its process.
        """

    def events(self) -> list[Event]:
        """All that are kept."""

    def left_out(self) -> LeftOut:
        """What is not among them."""


class _Greatest:
    """The events of the greatest figures."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[int, int, Event]] = []
        self._number = 0

    def add(self, figure: int, event: Event, named: Callable[[Event], Event]) -> bool:
        self._number += 1  # of two alike the first stays; events are never compared
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (figure, -self._number, named(event)))
        elif figure > self._heap[0][0]:
            heapq.heapreplace(self._heap, (figure, -self._number, named(event)))
        else:
            return False
        return True

    def events(self) -> list[Event]:
        return [event for _, _, event in self._heap]


class Slowest:
    """The longest events, whatever they are; all are in the histograms.

    Args:
        most: how many.
    """

    def __init__(self, most: int = SLOWEST) -> None:
        self._kept = _Greatest(most)

    def add(self, event: Event, named: Callable[[Event], Event]) -> None:
        """See ``Kept``."""
        self._kept.add(event.length, event, named)

    def events(self) -> list[Event]:
        """See ``Kept``."""
        return self._kept.events()

    def left_out(self) -> LeftOut:
        """See ``Kept``."""
        return LeftOut()


class Hunt:
    """For ``spike``: the calls that were slow while they did not sleep, and what is near them.

    A call that waits for data sleeps, and there may be thousands of those in a second, each
    longer than one that the kernel held up. What is near no such call is forgotten by and by,
    the latest last: a call that is over later may have begun before it.

    Args:
        calls: how many are kept.
        others: how many other events.
    """

    def __init__(self, calls: int = JUDGED, others: int = REMEMBERED) -> None:
        self._calls = _Greatest(calls)
        self._most = others
        self._others: list[Event] = []
        self._naps: dict[int, list[Event]] = {}
        self._forgotten = -1
        self._blurred: set[tuple[int, int]] = set()
        self._slow = self._dropped = 0

    def add(self, event: Event, named: Callable[[Event], Event]) -> None:
        """See ``Kept``."""
        if event.kind == SYSCALL:
            self._slow += 1
            # a thread's next call begins after this one's end, so its naps are done with
            slept = sum(overlap(event, nap) for nap in self._naps.pop(event.tid, ()))
            if (
                self._calls.add(event.length - slept, event, named)
                and self._forgotten > event.start
            ):
                self._blurred.add((event.tid, event.start))
            return
        self._others.append(event)
        if event.kind == OFF:
            self._naps.setdefault(event.id, []).append(event)
        if len(self._others) > self._most:
            self._forget()

    def events(self) -> list[Event]:
        """See ``Kept``."""
        return [*self._calls.events(), *self._others]

    def left_out(self) -> LeftOut:
        """See ``Kept``."""
        self._clear()
        return LeftOut(self._slow, self._dropped, len(self._blurred))

    def _clear(self) -> None:
        self._blurred &= {(call.tid, call.start) for call in self._calls.events()}

    def _forget(self) -> None:
        recent = self._most // 4
        old, new = self._others[:-recent], self._others[-recent:]
        near, wanted = _Near(self._calls.events()), []
        for one in old:
            if near.has(one):
                wanted.append(one)
            else:
                self._forgotten = max(self._forgotten, one.end)
        room = self._most // 2
        if len(wanted) > room:
            self._dropped += len(wanted) - room
            wanted = sorted(wanted, key=lambda one: -one.length)[:room]
        self._others = [*wanted, *new]
        self._naps = {}
        for one in new:
            if one.kind == OFF:
                self._naps.setdefault(one.id, []).append(one)
        self._clear()


class _Near:
    """Tells quickly whether an event may explain one of some calls."""

    def __init__(self, calls: Iterable[Event]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._threads = set()
        for call in sorted(calls, key=lambda one: one.start):
            self._threads.add(call.tid)
            if self._ends and call.start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], call.end)
            else:
                self._starts.append(call.start)
                self._ends.append(call.end)

    def has(self, event: Event) -> bool:
        if event.kind in {QUEUED, OFF} and event.id not in self._threads:
            return False
        at = bisect_right(self._starts, event.end) - 1
        return at >= 0 and self._ends[at] > event.start
