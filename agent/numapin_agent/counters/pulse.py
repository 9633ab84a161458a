"""Tells from two readings which kernel programs missed what must have run them. Pure.

Some events can't be made at will, above all a NUMA hint fault. The kernel keeps books of its own
about these, so a program that counted none of them is blind, however attached it looks. Events
that can be made are ``checkup``'s.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from numapin_agent.counters.signals import CgroupCounters

LEAST_EVENTS: Final = 100
"""So many events of the kernel's make a silent program blind: fewer may fall between reading the
kernel's books and ours, or be of a kind that is not ours to count."""

_ZERO: Final = CgroupCounters()


@dataclass(frozen=True, slots=True)
class Fault:
    """A program that does not count.

    Attributes:
        program: its name.
        signals: what can't be had because of it.
        why: for people, to be read after the program's name.
    """

    program: str
    signals: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        """For people."""
        return f"program {self.program} of {' and '.join(self.signals)} {self.why}"


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted up to one moment.

    Attributes:
        hint_faults: ``numa_hint_faults`` of /proc/vmstat; None where the kernel has none.
        counted: our counters by cgroup id.
        lost: events that we could not count and said so.
    """

    hint_faults: int | None = None
    counted: Mapping[int, CgroupCounters] = field(default_factory=dict)
    lost: int = 0


def vmstat_hint_faults(text: str) -> int | None:
    """The kernel's own count of NUMA hint faults, from the text of /proc/vmstat."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "numa_hint_faults":
            return int(value)
    return None


def grown(before: Tally, after: Tally, what: Callable[[CgroupCounters], int]) -> int:
    """By how much a counter grew in all cgroups together.

    Entries of cgroups that are gone are forgotten meanwhile, so sums can't be compared.

    Args:
        before: earlier reading.
        after: later reading.
        what: picks the counter.
    """
    return sum(
        max(0, what(new) - what(before.counted.get(cgroup, _ZERO)))
        for cgroup, new in after.counted.items()
    )


def blind(before: Tally, after: Tally) -> Iterator[tuple[str, str]]:
    """Programs that missed events between two readings: the beginning of their name, and why.

    Events that were lost and counted as such explain silence: then nobody is called blind.
    """
    if after.lost > before.lost:
        return
    if before.hint_faults is not None and after.hint_faults is not None:
        kernels = after.hint_faults - before.hint_faults
        ours = grown(before, after, lambda c: c.hint_fault_pages_local + c.hint_fault_pages_remote)
        if kernels >= LEAST_EVENTS and ours == 0:
            yield "hint_", f"is blind: it saw none of {kernels} NUMA hint faults"
    pages = grown(before, after, lambda c: c.migrated_pages)
    if pages >= LEAST_EVENTS and grown(before, after, lambda c: c.migration_nanoseconds) == 0:
        yield "migrate_start", f"is blind: it took the time of none of {pages} page migrations"
    # On a CPU that is online the PMU's events are enabled all the time, idle or not.
    enabled = sum(c.dram_enabled_nanoseconds for c in before.counted.values())
    if enabled and grown(before, after, lambda c: c.dram_enabled_nanoseconds) == 0:
        yield "dram_", "is blind: no CPU has counted by its PMU since the last check"
