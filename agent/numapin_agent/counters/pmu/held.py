"""Keeps the PMU events of all CPUs open and has their program read them.

The kernel's map of events holds them open, as long as its descriptor is: two counters and a
switch event for each of hundreds of CPUs need no descriptors of the agent's own. What was counted
is in the map ``remoteDram``, which is read like the other signals' (``reader``).
"""

import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.perf import event_attach
from numapin_agent.counters.pmu.perf import open_pair, open_switch
from numapin_agent.counters.pmu.select import Candidate
from numapin_api.errors import CounterError

ROLES: Final = ("map:dramEvents", "map:dramReadings", "program:dram_switch", "program:dram_flush")
"""Of the descriptors that the loader hands over for this, in the order of ``HeldEvents``."""
PROGRAMS: Final = frozenset({"dram_switch", "dram_flush"})
"""Run by events in a map, or by nobody but us: there is no link that could be asked."""
_READING = struct.Struct("=5Q")


@dataclass(slots=True)
class HeldEvents:
    """PMU events in the maps of ``bpf/dram.c``.

    Attributes:
        candidate: which events.
        events: descriptor of the map dramEvents.
        readings: descriptor of the map dramReadings.
        switch: descriptor of the program dram_switch.
        flush_program: descriptor of the program dram_flush.
        max_cpus: that the maps were made for.
    """

    candidate: Candidate
    events: int
    readings: int
    switch: int
    flush_program: int
    max_cpus: int
    _cpus: frozenset[int] = field(default=frozenset())

    def follow(self, online: Iterable[int]) -> None:
        """Open events on CPUs that came and drop those of CPUs that went.

        The kernel kills the events of a CPU that goes offline (kernel/events/core.c
        ``perf_event_exit_cpu``); they don't come back with it.

        Raises:
            CounterError: they can't be opened on a CPU.
        """
        now = frozenset(cpu for cpu in online if cpu < self.max_cpus)
        try:
            for cpu in self._cpus - now:
                self._drop(cpu)
            for cpu in sorted(now - self._cpus):
                self._add(cpu)
        except OSError as error:
            raise CounterError(str(error.strerror)) from error

    def flush(self) -> None:
        """Add what was counted since the last switch of each CPU, such as a lone busy loop's.

        Raises:
            CounterError: the program can't be run.
        """
        for cpu in self._cpus:
            try:
                self._flush(cpu)
            except OSError as error:
                why = f"PMU events of CPU {cpu} can't be read: {error.strerror}"
                raise CounterError(why) from error

    def _add(self, cpu: int) -> None:
        fds = list(open_pair(self.candidate, cpu))
        try:
            fds.append(open_switch(cpu))
            syscalls.map_update(self.readings, _number(cpu), bytes(_READING.size))
            for place, fd in zip(self._places(cpu), fds, strict=True):
                syscalls.map_update(self.events, _number(place), _number(fd))
            event_attach(fds[2], self.switch)
            # What was counted until now belongs to nobody. Left to the next switch, all that the
            # cgroup of that moment did on a CPU would be lost until it leaves.
            self._flush(cpu)
        except OSError:
            self._drop(cpu)
            raise
        finally:
            for fd in fds:
                os.close(fd)
        self._cpus |= {cpu}

    def _flush(self, cpu: int) -> None:
        try:
            syscalls.program_run(self.flush_program, cpu=cpu)
        except OSError as error:
            # It has just gone offline: ``follow`` is about to be told.
            if error.errno != errno.ENXIO:
                raise

    def _drop(self, cpu: int) -> None:
        for place in reversed(self._places(cpu)):
            syscalls.map_delete(self.events, _number(place))
        self._cpus -= {cpu}

    def _places(self, cpu: int) -> tuple[int, int, int]:
        return cpu, self.max_cpus + cpu, 2 * self.max_cpus + cpu


def _number(number: int) -> bytes:
    return struct.pack("=I", number)
