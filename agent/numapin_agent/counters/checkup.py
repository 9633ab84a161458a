"""Finds out which kernel programs still count: asks after each, and makes events for some.

Attached is not enough: kprobes can be switched off as a whole, a table can hold the wrong sockets.
So a page of this process is moved, a thread of it sent to another socket, and the kernel's own
books are compared (``pulse``). What a machine offers no way to provoke is not called dead.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from numapin_agent.bpf import syscalls
from numapin_agent.counters.canary import canary
from numapin_agent.counters.pulse import Fault, Silence, Tally, vmstat_hint_faults
from numapin_agent.counters.signals import CgroupCounters
from numapin_api.topology import Topology

_MOVES: Final = "migrate_end"
_HOPS: Final = "task_migrate"
_DETACHED: Final = "is not attached any more"


class Counting(Protocol):
    """What is checked; ``Counters`` is one such."""

    @property
    def topology(self) -> Topology:
        """Of the machine, as the programs were told."""

    def attachments(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """By program the descriptors of it and of what attaches it; none where no link does."""

    def signals_of(self, program: str) -> tuple[str, ...]:
        """Which signals a program is needed for."""

    def read(self) -> Mapping[int, CgroupCounters]:
        """Counters of every cgroup."""

    def lost(self) -> int:
        """Events that were not counted, and known not to be."""

    def moved_by_syscalls(self) -> int:
        """Pages moved by system calls."""


def far_apart(topology: Topology, allowed: set[int]) -> tuple[int, int] | None:
    """Two CPUs of different sockets that this process may use; None when there are none."""
    firsts = [min(own) for s in topology.sockets if (own := allowed & s.cpus)]
    return (firsts[0], firsts[1]) if len(firsts) > 1 else None


def hop(one: int, other: int) -> bool:
    """Send a thread from a CPU to another, which the scheduler reports as a task migration.

    In a thread of its own, so that no affinity stays behind.

    Returns:
        Whether it went; not when either CPU has been taken away meanwhile.
    """
    went = []

    def run() -> None:
        try:
            for cpu in (one, other):
                os.sched_setaffinity(0, {cpu})
        except OSError:
            return
        went.append(True)

    thread = threading.Thread(target=run, name="canary")
    thread.start()
    thread.join()
    return bool(went)


@dataclass(slots=True)
class Checkup:
    """Checks one set of programs again and again.

    Attributes:
        vmstat: the kernel's own books.
        move: makes a page move, as ``canary``.
        hop: makes a thread change CPU, as ``hop``.
        silence: what the programs let pass, by the checks so far.
    """

    vmstat: Path
    move: Callable[[list[int], Callable[[], int]], bool | None] = canary
    hop: Callable[[int, int], bool] = hop
    silence: Silence | None = None

    def __call__(self, counters: Counting) -> tuple[Fault, ...]:
        """Programs that don't count, in the order of their names.

        Raises:
            CounterError: the counters can't be read.
        """
        there = counters.attachments()
        now = self._tally(counters)
        found = self._provoked(counters)
        self.silence = self.silence.after(now) if self.silence else Silence(now)
        for beginning, why in self.silence.blind():
            found |= {name: why for name in there if name.startswith(beginning)}
        # Last, since it explains all the others.
        for name, pairs in there.items():
            if not all(syscalls.attached(*pair) for pair in pairs):
                found[name] = _DETACHED
        return tuple(
            Fault(name, counters.signals_of(name), why) for name, why in sorted(found.items())
        )

    def _tally(self, counters: Counting) -> Tally:
        # The kernel's books first: what they hold by then, ours must hold, too.
        try:
            hint_faults = vmstat_hint_faults(self.vmstat.read_text())
        except OSError:
            hint_faults = None
        return Tally(hint_faults, dict(counters.read()), counters.lost())

    def _provoked(self, counters: Counting) -> dict[str, str]:
        """Programs that did not see an event of our own."""
        found = {}
        there = counters.attachments()
        if _MOVES in there:
            nodes = [n.id for n in counters.topology.nodes if n.memory_bytes > 0]
            if self.move(nodes, counters.moved_by_syscalls) is False:
                found[_MOVES] = "is blind: a page that the agent moved was not counted"
        cpus = far_apart(counters.topology, os.sched_getaffinity(0)) if _HOPS in there else None
        if cpus is not None:
            before = _hops(counters)
            if self.hop(*cpus) and _hops(counters) == before:
                found[_HOPS] = (
                    "is blind: a thread that the agent sent from "
                    f"CPU {cpus[0]} to {cpus[1]} was not counted"
                )
        return found


def _hops(counters: Counting) -> int:
    """Counted task migrations, or known not to have been: either grows with each."""
    return counters.lost() + sum(c.cross_socket_task_migrations for c in counters.read().values())
