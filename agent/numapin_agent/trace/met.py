"""What is known of a process that a trace has met, and when to look at it again. Pure.

A process is another program after exec(2), and maps libraries while it runs; it may end at any
moment, and its number may become another's, of which nothing must be told here.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from numapin_agent.trace.symbols import Region

SOONEST: Final = 1.0
"""Seconds from the first look at a process to the second; each next takes twice as long."""


@dataclass(slots=True)
class Met:
    """One process.

    Attributes:
        name: as it was last called.
        started: field 22 of /proc/PID/stat, which exec(2) leaves as it is.
        regions: all that it had mapped when somebody looked, by address.
        first: monotonic seconds of the first look.
        due: of the next.
    """

    name: str
    started: str
    regions: Sequence[Region] = ()
    first: float = 0.0
    due: float = field(default=0.0)

    def again(self, now: float) -> None:
        """Put the next look off until it has been known twice as long."""
        self.due = now + max(SOONEST, now - self.first)

    def region(self, address: int) -> Region | None:
        """Where an address lies."""
        at = bisect_right(self.regions, address, key=lambda one: one.start) - 1
        found = self.regions[at] if at >= 0 else None
        return found if found is not None and address < found.end else None


def start_time(stat: str) -> str:
    """When a process started, from /proc/PID/stat; its name in it may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def both(newer: Sequence[Region], older: Sequence[Region]) -> list[Region]:
    """What a process has mapped, and what it had where there is nothing of it now.

    Args:
        newer: by address, as the kernel lists them.
        older: likewise.
    """
    found = list(newer)
    for one in older:
        at = bisect_right(newer, one.start, key=lambda region: region.start)
        before = newer[at - 1] if at else None
        after = newer[at] if at < len(newer) else None
        if (before is None or before.end <= one.start) and (
            after is None or one.end <= after.start
        ):
            found.append(one)
    return sorted(found, key=lambda region: region.start)
