"""Tells from readings which kernel programs missed what must have run them. Pure.

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
kernel's books and ours, or be of a kind that is not ours to count. Such come among others, the
first of which that is counted begins the sum anew."""

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


@dataclass(frozen=True, slots=True)
class Silence:
    """What programs let pass since each of them counted last.

    Summed up over as many readings as it takes: at a low rate no two that follow each other show
    enough. Events that were lost and said to be are no blindness, so they are taken off; once there
    are enough the sum stays, and with it what is said of it.

    Attributes:
        last: the newest reading.
        hint_faults: of the kernel's, while we counted none.
        pages: migrated, while no migration took time.
        pmu_still: whether the PMU counted for nobody between the last two readings.
    """

    last: Tally
    hint_faults: int = 0
    pages: int = 0
    pmu_still: bool = False

    def after(self, now: Tally) -> "Silence":
        """With one more reading."""
        before = self.last
        lost = max(0, now.lost - before.lost)
        faults = grown(before, now, lambda c: c.hint_fault_pages_local + c.hint_fault_pages_remote)
        kernels = 0
        if before.hint_faults is not None and now.hint_faults is not None:
            kernels = now.hint_faults - before.hint_faults - lost
        # Each start that was lost leaves one migration without its time, of however many pages.
        untimed = not lost or grown(before, now, lambda c: c.migrations) > lost
        pages = grown(before, now, lambda c: c.migrated_pages) if untimed else 0
        took = grown(before, now, lambda c: c.migration_nanoseconds)
        enabled = sum(c.dram_enabled_nanoseconds for c in before.counted.values())
        return Silence(
            last=now,
            hint_faults=0 if faults else _summed(self.hint_faults, kernels),
            pages=0 if took else _summed(self.pages, pages),
            # On a CPU that is online the PMU's events are enabled all the time, idle or not.
            pmu_still=not lost
            and enabled > 0
            and grown(before, now, lambda c: c.dram_enabled_nanoseconds) == 0,
        )

    def blind(self) -> Iterator[tuple[str, str]]:
        """Programs that missed events: the beginning of their name, and why."""
        if self.hint_faults >= LEAST_EVENTS:
            yield "hint_", f"is blind: it saw none of {self.hint_faults} NUMA hint faults"
        if self.pages >= LEAST_EVENTS:
            why = f"is blind: it took the time of none of {self.pages} page migrations"
            yield "migrate_start", why
        if self.pmu_still:
            yield "dram_", "is blind: no CPU has counted by its PMU since the last check"


def _summed(so_far: int, more: int) -> int:
    return so_far if so_far >= LEAST_EVENTS else max(0, so_far + more)
