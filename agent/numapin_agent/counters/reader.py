"""The agent's end of the counters: holds maps and programs, reads, forgets, checks.

Never imports bcc; everything is raw bpf(2) on the descriptors that the loader child handed
over. The programs stay attached exactly as long as these descriptors are open. Which pod a
cgroup id belongs to, and rates, are the caller's.
"""

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Final, Self

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.bpf.maps import PerCpuHash, per_cpu_sum
from numapin_agent.counters import pairs
from numapin_agent.counters.checkup import Checkup
from numapin_agent.counters.descriptors import Descriptors
from numapin_agent.counters.hosts import has_fallback
from numapin_agent.counters.launch import LoadCost, Loaded, Probed, load
from numapin_agent.counters.layout import socket_indexes
from numapin_agent.counters.pairtables import PairTables
from numapin_agent.counters.pmu.choose import NOT_ASKED
from numapin_agent.counters.pmu.held import PROGRAMS, ROLES, HeldEvents
from numapin_agent.counters.pmu.select import Candidate
from numapin_agent.counters.prepare import possible_cpus, request_of
from numapin_agent.counters.pulse import Fault
from numapin_agent.counters.signals import (
    FIELDS,
    KEY_SIZE,
    CgroupCounters,
    copies,
    decode,
    merge,
    value_size,
)
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CounterError
from numapin_api.node import SIGNALS, Signal
from numapin_api.topology import Topology

_LOST, _MOVED_BY_SYSCALLS, _LOST_PAIRS = 0, 1, 2
_IN_FILES: Final = ("numaMigrations", "hintFaults")
"""Signals that memory.stat counts, too: both since the same release, 6.12 at the latest."""


class Counters:
    """Counters of all cgroups of this machine, from ``start`` until ``close``.

    May be used by several threads at once, such as the loop and a scrape of the metrics.

    Args:
        loaded: what the loader child handed over; owned from now on.
        topology: of the machine.
        possible: CPUs the kernel may ever bring up; values come for each of them.
        fallback: whether memory.stat has the kernel's own counts of NUMA balancing.
        vmstat: the kernel's own books, to check the programs by.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        topology: Topology,
        possible: CpuSet,
        fallback: bool,
        vmstat: Path,
    ) -> None:
        self._checkup = Checkup(vmstat)
        self._probed = dict(loaded.signals)
        for name in _IN_FILES if fallback else ():
            if self._probed[name].level == "none":
                self._probed[name] = replace(self._probed[name], level="cgroup")
        self._lock = RLock()
        self._fds = Descriptors(loaded.fds)
        self._cost = loaded.cost
        self._broke_off = loaded.broke_off
        self._topology = topology
        self._cpus = len(possible)
        self._highest = max(possible, default=0)
        self._dram: HeldEvents | None = None
        self._maps = {
            name: PerCpuHash(fd, KEY_SIZE, value_size(name) * copies(name, self._cpus))
            for name in FIELDS
            for fd in self._fds.of(f"map:{name}")
        }
        self._pairs = PairTables(self._fds.of("map:nodePairs"))

    @classmethod
    def start(
        cls,
        paths: HostPaths,
        topology: Topology,
        *,
        options: LoadOptions = LoadOptions(),  # noqa: B008 — frozen
        macros: Mapping[str, int] | None = None,
        dram: Candidate | str = NOT_ASKED,
    ) -> Self:
        """Compile, attach and take over.

        A signal that can't be had raises nothing: ``levels`` says why.

        Args:
            paths: of the host.
            topology: of the machine.
            options: how the loader child is run.
            macros: override kernel constants, to count events of another kind.
            dram: PMU events to count DRAM fills with, or why they are not counted.

        Raises:
            CounterError: the list of possible CPUs can't be read.
        """
        possible = possible_cpus(paths)
        pmu = dram if isinstance(dram, Candidate) else None
        request = request_of(
            paths, topology, possible, store=options.store, macros=macros or {}, dram=dram
        )
        loaded = load(request, options)
        ours = cls(
            loaded,
            topology=topology,
            possible=possible,
            fallback=has_fallback(paths),
            vmstat=paths.vmstat,
        )
        if pmu is not None:
            ours._hold(pmu)
        return ours

    def _hold(self, candidate: Candidate) -> None:
        """Open PMU events on every CPU and have their program run; or say why that failed."""
        probed = self._probed["remoteDram"]
        if probed.level == "none":
            return
        events, readings, switch, flush = (self._fds.of(role)[0] for role in ROLES)
        held = HeldEvents(candidate, events, readings, switch, flush, self._highest + 1)
        try:
            held.follow(_online(self._topology))
        except CounterError as error:
            self._probed["remoteDram"] = Probed("none", str(error))
            del self._maps["remoteDram"]
            self._fds.close((*ROLES, "map:remoteDram"))
            return
        self._probed["remoteDram"] = replace(probed, reason=candidate.caveat)
        self._dram = held

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def cost(self) -> LoadCost | None:
        """What compiling and attaching cost; None when the loader did not finish."""
        return self._cost

    @property
    def broke_off(self) -> bool:
        """Whether the loader did not get to its end, so that another try may give more."""
        return self._broke_off

    def levels(self) -> tuple[Signal, ...]:
        """How each signal is had, in the order of ``SIGNALS``.

        Level ``cgroup`` of numaMigrations and hintFaults means that the kernel's own per-cgroup
        counts in memory.stat can be used instead, which tell neither nodes nor local from
        remote; reading them is the caller's.
        """
        return tuple(
            Signal(name=name, level=self._probed[name].level, reason=self._probed[name].reason)
            for name in SIGNALS
        )

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        """Counters of every cgroup that had an event, by cgroup id.

        Args:
            only: ids of the cgroups to ask for, which is cheaper for a few; None means all.

        Raises:
            CounterError: a map can't be read.
        """
        keys = None if only is None else [struct.pack("=Q", cgroup) for cgroup in only]
        raw: dict[str, tuple[bytes, bytes]] = {}
        with self._lock:
            if self._dram is not None:
                self._dram.flush()
            for name, one in self._maps.items():
                try:
                    raw[name] = one.entries() if keys is None else one.entries_of(keys)
                except OSError as error:
                    raise CounterError(f"map {name} can't be read: {error.strerror}") from error
        return merge(
            {name: decode(name, *both, cpus=copies(name, self._cpus)) for name, both in raw.items()}
        )

    def pairs(self) -> Mapping[int, pairs.Pairs]:
        """By cgroup id what was counted per pair of NUMA nodes.

        Raises:
            CounterError: a map can't be read.
        """
        with self._lock:
            return self._pairs.read()

    def forget(self, cgroup_ids: Iterable[int]) -> None:
        """Free the entries of cgroups that are gone; the caller has added their last counts.

        Raises:
            CounterError: a map can't be written.
        """
        gone = frozenset(cgroup_ids)
        with self._lock:
            self._pairs.forget(gone)
            for cgroup in gone:
                for name, one in self._maps.items():
                    try:
                        one.delete(struct.pack("=Q", cgroup))
                    except OSError as error:
                        raise CounterError(f"map {name}, cgroup {cgroup}: {error}") from error

    def lost_pairs(self) -> int:
        """Events that were counted for their cgroup, but not for their pair of NUMA nodes.

        Raises:
            CounterError: it can't be read.
        """
        try:
            with self._lock:
                totals = self._fds.of("map:totals")
                return sum(per_cpu_sum(fd, _LOST_PAIRS, cpus=self._cpus) for fd in totals)
        except OSError as error:
            raise CounterError(f"lost pairs can't be read: {error.strerror}") from error

    def lost(self) -> int:
        """Events not counted: no room in a map, or the program was already running there.

        Raises:
            CounterError: it can't be read.
        """
        try:
            with self._lock:
                totals = self._fds.of("map:totals")
                full = sum(per_cpu_sum(fd, _LOST, cpus=self._cpus) for fd in totals)
                programs = self._fds.programs()
                return full + sum(syscalls.program_info(fd).misses for _, fd in programs)
        except OSError as error:
            raise CounterError(f"lost events can't be read: {error.strerror}") from error

    def programs(self) -> Mapping[str, syscalls.ProgramInfo]:
        """Statistics of each attached program, by name.

        Raises:
            CounterError: they can't be read.
        """
        try:
            with self._lock:
                return {name: syscalls.program_info(fd) for name, fd in self._fds.programs()}
        except OSError as error:
            raise CounterError(f"programs can't be asked: {error.strerror}") from error

    def faults(self) -> tuple[Fault, ...]:
        """Programs that no longer count, found out by asking and by events of our own.

        Raises:
            CounterError: the counters can't be read, so nothing is known of any program.
        """
        with self._lock:
            found: tuple[Fault, ...] | None = None
            try:
                found = self._checkup(self)
            finally:
                if found != ():
                    self._fds.drop_strangers()
            return found

    @property
    def topology(self) -> Topology:
        """Of the machine, as the programs were told last."""
        return self._topology

    def attachments(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """By program the descriptors of it and of what attaches it; none where no link does."""
        with self._lock:
            names = dict.fromkeys(program for _, program in self.roster()) if self._fds else {}
            return {
                name: ()
                if name in PROGRAMS
                else tuple(
                    zip_longest(
                        self._fds.of(f"program:{name}"),
                        self._fds.of(f"link:{name}"),
                        fillvalue=-1,  # lost: no descriptor at all
                    )
                )
                for name in names
            }

    def signals_of(self, program: str) -> tuple[str, ...]:
        """Which signals a program is needed for."""
        return tuple(name for name, probed in self._probed.items() if program in probed.programs)

    def roster(self) -> tuple[tuple[str, str], ...]:
        """Signal and program, of all programs that are attached."""
        return tuple(
            (name, one) for name, probed in self._probed.items() for one in probed.programs
        )

    def full(self) -> tuple[str, ...]:
        """Signals whose table has no room for another cgroup; ``PAIRS`` for that of pairs.

        Raises:
            CounterError: a map can't be read.
        """
        try:
            with self._lock:
                full = tuple(name for name, one in self._maps.items() if one.full())
                return (*full, pairs.PAIRS) if self._pairs.full() else full
        except OSError as error:
            raise CounterError(f"tables can't be asked: {error.strerror}") from error

    def follow(self, topology: Topology) -> None:
        """Tell the programs of CPUs that came or went.

        Args:
            topology: as it is now; sockets must keep their NUMA nodes. Where there is a third
                node now, sources of pages are unknown until the programs are loaded anew.

        Raises:
            CounterError: a map can't be written.
        """
        cpus, nodes = socket_indexes(topology, self._highest + 1)
        with self._lock:
            self._topology = topology
            others = pairs.other_nodes(n.id for n in topology.nodes)
            for role, indexes in (
                ("map:cpu_socket", cpus),
                ("map:node_socket", nodes),
                ("map:other_node", others),
            ):
                for fd in self._fds.of(role):
                    self._fill(role, fd, indexes)
            if self._dram is not None:
                self._dram.follow(_online(topology))

    def close(self) -> None:
        """Detach everything; may be called twice."""
        with self._lock:
            self._dram = None
            self._maps = {}
            self._pairs = PairTables(())
            self._fds.close()

    @staticmethod
    def _fill(role: str, fd: int, indexes: Sequence[int]) -> None:
        for number, index in enumerate(indexes):
            try:
                syscalls.map_update(fd, struct.pack("=I", number), struct.pack("=I", index))
            except OSError as error:
                raise CounterError(f"{role}[{number}]: {error.strerror}") from error

    def moved_by_syscalls(self) -> int:
        """Pages moved by system calls, by whomever.

        Raises:
            OSError: the kernel does not answer.
        """
        totals = self._fds.of("map:totals")
        return sum(per_cpu_sum(fd, _MOVED_BY_SYSCALLS, cpus=self._cpus) for fd in totals)


def _online(topology: Topology) -> frozenset[int]:
    return frozenset(cpu for socket in topology.sockets for cpu in socket.cpus)
