"""A probe while it runs: takes out what would be lost, and reads its maps when it is over."""

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.maps import PerCpuHash, per_cpu_sum
from numapin_agent.trace import kernel, records
from numapin_agent.trace.counted import Counted
from numapin_agent.trace.kept import Kept
from numapin_agent.trace.launch import Held
from numapin_agent.trace.machine import Machine
from numapin_agent.trace.plan import MOMENTS
from numapin_agent.trace.read import histograms
from numapin_agent.trace.records import Event, Key, Weight
from numapin_agent.trace.result import ProgramCost
from numapin_agent.trace.systemcalls import DESCRIPTOR, about

TICK: Final = 0.1
"""Seconds between two looks at what the programs have left."""
LAST: Final = 1.0
"""Seconds for what is in the queue, and unmet, when a probe is over."""
_STACK_SIZE: Final = 8 * 127


class Meet(Protocol):
    """Notes a process."""

    def __call__(self, tgid: int, *, last: bool = False) -> None:
        """Note it; the last time look at it again."""


@dataclass(slots=True)
class Running:
    """One probe.

    Attributes:
        held: its programs and maps.
        machine: names.
        cpus: number of possible CPUs.
        timed: whether the kernel times programs.
        of_processes: whether histograms are of processes.
        kept: single events.
        unread: single events that nobody looked at.
    """

    held: Held
    machine: Machine
    cpus: int
    timed: bool
    of_processes: bool
    kept: Kept
    unread: int = 0

    def drain(self, seconds: float) -> None:
        """Take single events out, and look at what they name while it is there.

        Ends though more may come: as many as the queue holds are taken, for so long at most.
        """
        end = time.monotonic() + seconds
        for _ in range(MOMENTS):
            data = self._pop() if time.monotonic() < end else None
            if data is None:
                return
            self.kept.add(Event.decode(data), self._named)

    def drain_rest(self) -> None:
        """The same when no more can come; for what there is no time is counted as lost."""
        self.drain(LAST)
        for _ in range(MOMENTS):
            if self._pop() is None:
                return
            self.unread += 1

    def _pop(self) -> bytes | None:
        fd = self.held.maps.get("moments")
        return None if fd is None else kernel.queue_pop(fd, records.EVENT_SIZE)

    def _named(self, event: Event) -> Event:
        if event.kind != records.SYSCALL:
            return event
        self.machine.meet(event.tgid)
        if about(self.held.calls.get(event.id, "")) & 15 != DESCRIPTOR:
            return event
        return replace(event, text=self.machine.descriptor(event.tgid, event.extra))

    def meet(self, seconds: float, *, last: bool = False) -> None:
        """Note the processes seen so far, as they may end before the probe does.

        Args:
            seconds: most that it may take; the others' turn is the next time.
            last: nothing comes any more: look at all of them again.
        """
        end = time.monotonic() + seconds
        for tgid, meet in self._seen():
            if time.monotonic() >= end:
                return
            meet(tgid, last=last)

    def _seen(self) -> Iterator[tuple[int, Meet]]:
        if self.of_processes and "hists" in self.held.maps:
            size = records.KEY_SIZE
            after = syscalls.map_next_key(self.held.maps["hists"], None, size)
            seen = set()
            while after is not None and after not in seen:
                seen.add(after)
                yield Key.decode(after).id, self.machine.meet
                after = syscalls.map_next_key(self.held.maps["hists"], after, size)
        if "paths" in self.held.maps:
            table = PerCpuHash(self.held.maps["paths"], records.PATH_SIZE, records.WEIGHT_SIZE)
            keys, _ = table.entries()
            size = records.PATH_SIZE
            found = (records.Path.decode(keys[i : i + size]) for i in range(0, len(keys), size))
            for tgid in dict.fromkeys(path.tgid for path in found if path.tgid):
                yield tgid, self.machine.meet_with_code

    def spent(self) -> list[ProgramCost]:
        """What each program has cost so far."""
        found = []
        for one in self.held.attached:
            fd = self.held.programs[one.name]
            info = syscalls.program_info(fd)
            found.append(
                ProgramCost(
                    name=one.name,
                    target=f"{one.kind} {one.target}",
                    runs=per_cpu_sum(self.held.maps["ran"], one.place, cpus=self.cpus),
                    instructions=kernel.instructions(fd),
                    nanoseconds=info.run_nanoseconds if self.timed else None,
                )
            )
        return found

    def skipped(self) -> int:
        """Runs that the kernel left out, as the program was running on that CPU already."""
        return sum(syscalls.program_info(fd).misses for fd in self.held.programs.values())

    def counted(self, began: int, seconds: float) -> Counted:
        """Read all maps."""
        found = histograms(self.held.maps, cpus=self.cpus)
        paths: dict[records.Path, Weight] = {}
        if "paths" in self.held.maps:
            weights = PerCpuHash(self.held.maps["paths"], records.PATH_SIZE, records.WEIGHT_SIZE)
            keys, values = weights.entries()
            for key, value in records.pairs(keys, values, records.PATH_SIZE, records.WEIGHT_SIZE):
                paths[records.Path.decode(key)] = Weight.decode(value)
        hooked: list[records.Hooked] = []
        if "hook_functions" in self.held.maps:
            functions = PerCpuHash(self.held.maps["hook_functions"], records.HOOK_SIZE, 1)
            keys, _ = functions.entries()
            size = records.HOOK_SIZE
            hooked = [records.Hooked.decode(keys[i : i + size]) for i in range(0, len(keys), size)]
        under_way: list[records.UnderWay] = []
        if "calls" in self.held.maps:
            table = PerCpuHash(self.held.maps["calls"], records.THREAD_SIZE, records.CALL_SIZE)
            both = records.pairs(*table.entries(), records.THREAD_SIZE, records.CALL_SIZE)
            under_way = [records.UnderWay.decode(key, value) for key, value in both]
        user = self._stacks("user_stacks", {path.user for path in paths})
        calls = self._stacks("kernel_stacks", {path.kernel for path in paths})
        return Counted(
            began=began,
            seconds=seconds,
            histograms=found,
            events=self.kept.events(),
            left_out=self.kept.left_out(),
            paths=paths,
            user=user,
            kernel=calls,
            calls=self.held.calls,
            hooked=hooked,
            under_way=under_way,
        )

    def _stacks(self, table: str, numbers: set[int]) -> dict[int, tuple[int, ...]]:
        found = {}
        for number in numbers:
            if number >= 0:
                key = struct.pack("=I", number)
                stack = syscalls.map_lookup(self.held.maps[table], key, _STACK_SIZE)
                found[number] = records.addresses(stack) if stack is not None else ()
        return found

    def moved_pages(self) -> int:
        """Base pages that NUMA balancing moved; 0 of probes that don't count them."""
        fd = self.held.maps.get("moved_pages")
        return per_cpu_sum(fd, 0, cpus=self.cpus) if fd is not None else 0

    def lost(self) -> int:
        """Events for which there was no room."""
        fd = self.held.maps.get("lost")
        full = per_cpu_sum(fd, 0, cpus=self.cpus) if fd is not None else 0
        return full + self.unread + self.kept.left_out().dropped


def load_percent(spent: list[ProgramCost], seconds: float) -> float:
    """Of one CPU: measured nanoseconds, or one for each instruction."""
    total = sum(
        one.nanoseconds if one.nanoseconds is not None else one.runs * one.instructions
        for one in spent
    )
    return total / seconds / 1e7 if seconds > 0 else 0.0
