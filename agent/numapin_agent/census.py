"""Which cgroups make up each pod, and what they counted: the ledger with its lock.

The reconcile loop and each scrape read the kernel's counters through here, so that both
see the same totals and a dead cgroup is folded in exactly once. It deliberately decides
nothing.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from numapin_agent.cgroup.activity import Activity
from numapin_agent.counters.pairs import Pairs
from numapin_agent.counters.pulse import Fault
from numapin_agent.counters.signals import FIELDS, CgroupCounters, counted
from numapin_agent.handover import Twice, counted_twice
from numapin_agent.ledger import Cell, Ledger, PodLedger, Refaults, Sample
from numapin_agent.pairs import PairLedger
from numapin_api.errors import CgroupError, CounterError
from numapin_api.node import Signal
from numapin_api.topology import Topology


class Tracer(Protocol):
    """Kernel counters; ``numapin_agent.counters.Counters`` is one such."""

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        """Counters by cgroup id: of all cgroups that counted, or only of some.

        Raises:
            CounterError: they can't be read.
        """

    def pairs(self) -> Mapping[int, Pairs]:
        """By cgroup id what was counted per pair of NUMA nodes.

        Raises:
            CounterError: it can't be read.
        """

    def forget(self, cgroup_ids: Iterable[int]) -> None:
        """Drop counters of cgroups that are gone."""

    def levels(self) -> tuple[Signal, ...]:
        """How each signal is had."""

    def lost(self) -> int:
        """Events that were not counted."""

    def lost_pairs(self) -> int:
        """Events that were counted, but not for their pair of NUMA nodes."""

    def full(self) -> tuple[str, ...]:
        """Signals that can take in no other cgroup."""

    def faults(self) -> tuple[Fault, ...]:
        """Programs in the kernel that no longer count.

        Raises:
            CounterError: it can't be found out.
        """

    def follow(self, topology: Topology) -> None:
        """Take note of CPUs that came or went.

        Raises:
            CounterError: the kernel programs can't be told.
        """


class Cgroup(Protocol):
    """A pod's cgroup as far as it is counted; ``PodCgroup`` is one such."""

    @property
    def uid(self) -> str:
        """The pod's UID."""

    def cgroup_ids(self) -> frozenset[int]:
        """Ids of it and all below."""

    def cpu_nanoseconds(self) -> int:
        """CPU time used."""

    def numa_pages_migrated(self) -> int | None:
        """What memory.stat says of NUMA balancing."""

    def residency(self) -> dict[int, int]:
        """Resident bytes per NUMA node."""

    def huge_pages(self) -> dict[int, int]:
        """Of these, bytes of hugetlbfs; empty on a node that has none."""

    def activity(self) -> Activity:
        """Faults, refaults and stalls."""

    def page_cache_refaults(self) -> int | None:
        """Pages of its page cache that were read again; None where the kernel does not say."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pod's cgroup and the ids below it.

    Attributes:
        cgroup: the pod's.
        ids: of it and all cgroups below.
    """

    cgroup: Cgroup
    ids: frozenset[int]


class Census:
    """The pods of the node by the UID in their cgroup's name.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ledger = Ledger()
        self._pairs = PairLedger()
        self._members: dict[str, Member] = {}
        self._tracer: Tracer | None = None
        self._read_at = float("-inf")
        self._from_files = self._all_cgroups = False
        self._counted: frozenset[str] = frozenset()
        self._hopeless = False
        self._files_due = True

    def attach(self, tracer: Tracer) -> None:
        """Begin to count; before that there are no totals, which is not the same as zero.

        Args:
            tracer: counts in the kernel. Where it has no migrations but memory.stat does
                (level ``cgroup``), they are read from there.
        """
        levels = {s.name: s.level for s in tracer.levels()}
        if all(level == "none" for level in levels.values()):
            self.give_up()
            return
        with self._lock:
            self._take(tracer)

    def _take(self, tracer: Tracer) -> None:
        levels = {s.name: s.level for s in tracer.levels()}
        self._tracer = tracer
        migrations = levels.get("numaMigrations", "none")
        self._from_files = migrations == "cgroup"
        self._all_cgroups = migrations not in ("cgroup", "none")
        self._counted = counted(levels)
        self._hopeless = False

    def interrupted(self, tracer: Tracer, *, dead: Set[str] = frozenset()) -> None:
        """Counting broke off and goes on: no window spans this moment, totals stay.

        Args:
            tracer: counts from now on, the same or another; the one before may be closed then.
            dead: signals that the one before did not count any more.
        """
        with self._lock:
            anew, twice = tracer is not self._tracer, Twice()
            # What was counted before it broke off was counted.
            with contextlib.suppress(CounterError):
                self._fold()
                if self._tracer is not None:
                    self._fold_pairs(self._tracer)
                if anew:
                    lost = {field for signal in dead for field in FIELDS[signal]}
                    twice = counted_twice(tracer, self._counted - lost)
            self._ledger = self._ledger.interrupted(anew=anew, base=twice.counters)
            if anew:
                self._pairs = self._pairs.begun_anew(twice.pairs)
            self._read_at = float("-inf")
            self._take(tracer)

    def sweep(self, existing: Callable[[], Set[int]]) -> int:
        """Let the kernel forget cgroups that are gone: pods or not, else the tables fill up.

        Args:
            existing: ids of all cgroups there are; asked after the counters were read, since a
                cgroup may be made meanwhile.

        Returns:
            How many were forgotten.

        Raises:
            CounterError: the counters can't be read.
        """
        with self._lock:
            self._fold()
            if self._tracer is None:
                return 0
            known = {cell for cell in self._ledger.node.live if isinstance(cell, int)}
            gone = known - existing()
            for pod in self._ledger.pods.values():
                gone -= pod.live.keys()  # these go with the next look at their pod
            self._tracer.forget(gone)
            return len(gone)

    def give_up(self) -> None:
        """There will be no counters, or not soon: whoever waits for some need not."""
        self._hopeless = True

    @property
    def hopeless(self) -> bool:
        """Whether no counters are to be waited for; before they are attached there may be."""
        return self._hopeless

    @property
    def counting(self) -> bool:
        """Whether there are counters at all."""
        return self._tracer is not None

    @property
    def counted(self) -> frozenset[str]:
        """Names of the counters that are had; all others stay 0, which then means nothing."""
        return self._counted

    @property
    def whole_node(self) -> bool:
        """Whether page migrations are counted in all cgroups: memory.stat is read of pods only."""
        return self._all_cgroups

    def replace(self, cgroups: Iterable[Cgroup]) -> None:
        """Take a whole new look at which pods there are; the next sample looks into files, too."""
        found = {c.uid: Member(c, c.cgroup_ids()) for c in cgroups}
        with self._lock:
            self._members = found
            self._files_due = True

    def look(self, cgroup: Cgroup) -> None:
        """Take a new look at one pod."""
        member = Member(cgroup, cgroup.cgroup_ids())
        with self._lock:
            self._members[cgroup.uid] = member

    def gone(self, uid: str) -> None:
        """A pod has no cgroup, or none any more."""
        with self._lock:
            self._members.pop(uid, None)

    def members(self) -> Mapping[str, Member]:
        """The pods as they were at the last look."""
        with self._lock:
            return dict(self._members)

    def read(self) -> Ledger:
        """Read all counters now and fold them in.

        Raises:
            CounterError: they can't be read; the ledger stays as it was.
        """
        with self._lock:
            return self._fold()

    def _fold(self) -> Ledger:
        if self._tracer is None:
            return self._ledger
        readings, ids = self._readings(self._tracer.read(), self._members)
        before = _live(self._ledger)
        self._ledger, dead = self._ledger.fold(readings, ids)
        self._read_at = self._clock()
        gone = [cgroup for cgroup in dead if isinstance(cgroup, int)]
        if gone:
            self._fold_pairs(self._tracer, before)
            self._tracer.forget(gone)
        return self._ledger

    def pairs(self) -> PairLedger:
        """Read all pairs of NUMA nodes now and fold them in, for the pods of the last ``read``.

        Raises:
            CounterError: they can't be read; the ledger stays as it was.
        """
        with self._lock:
            if self._tracer is not None:
                self._fold_pairs(self._tracer)
            return self._pairs

    def _fold_pairs(
        self, tracer: Tracer, before: Mapping[str, Set[Cell]] = MappingProxyType({})
    ) -> None:
        """Fold in all pairs for the pods of the last fold.

        Args:
            tracer: read now.
            before: which cgroups lived before it: what one of them counted may not have been
                read yet, if nobody has asked for pairs while it lived.
        """
        readings, now = tracer.pairs(), _live(self._ledger)
        if before:
            ever = {uid: cgroups | before.get(uid, frozenset()) for uid, cgroups in now.items()}
            self._pairs = self._pairs.fold(readings, ever)
        self._pairs = self._pairs.fold(readings, now)

    def recent(self, *, seconds: float) -> Ledger:
        """The ledger as it was at most so long ago.

        Raises:
            CounterError: it is older, and the counters can't be read.
        """
        with self._lock:
            if self._clock() - self._read_at <= seconds:
                return self._ledger
        return self.read()

    def sample(self) -> float:
        """Read all counters and append a sample to the history of every pod.

        Refaults stand in memory.stat, too dear to read of all pods but once for each ``replace``.

        Returns:
            The samples' moment, in monotonic seconds.

        Raises:
            CounterError: they can't be read.
        """
        self.read()
        files, self._files_due = self._files_due, False
        return self._sampled(self.members(), files=files)

    def sample_pod(self, uid: str) -> float:
        """The same of one pod only, by its UID; one that has no cgroup gets no sample."""
        with self._lock:
            member = self._members.get(uid)
            one = {uid: member} if member else {}
            if self._tracer is not None and member is not None:
                readings, ids = self._readings(self._tracer.read(member.ids), one)
                self._ledger = self._ledger.fold_pod(uid, readings, ids[uid])
        return self._sampled(one, files=True)

    def look_into_files(self, uid: str) -> None:
        """Add to a pod's last sample what only stands in files."""
        with self._lock:
            member = self._members.get(uid)
        found = self._refaults(member) if member else None
        if found is not None:
            with self._lock:
                self._ledger = self._ledger.noted(uid, found)

    def _refaults(self, member: Member) -> Refaults | None:
        try:
            pages = member.cgroup.page_cache_refaults()
        except CgroupError:
            return None
        return None if pages is None else Refaults(self._clock(), pages)

    def _readings(
        self, counted: Mapping[int, CgroupCounters], members: Mapping[str, Member]
    ) -> tuple[dict[Cell, CgroupCounters], dict[str, Set[Cell]]]:
        """What was counted for pods, and under which ids."""
        readings: dict[Cell, CgroupCounters] = dict(counted.items())
        ids: dict[str, Set[Cell]] = {u: set(m.ids) for u, m in members.items()}
        if self._from_files:
            for uid, member in members.items():
                readings[uid] = CgroupCounters(
                    migrated_pages=member.cgroup.numa_pages_migrated() or 0
                )
                ids[uid] = {*member.ids, uid}
        return readings, ids

    def _sampled(self, members: Mapping[str, Member], *, files: bool) -> float:
        at = self._clock()
        used = {uid: member.cgroup.cpu_nanoseconds() for uid, member in members.items()}
        looked = members.items() if files else ()
        refaults = {u: found for u, m in looked if (found := self._refaults(m)) is not None}
        with self._lock:
            if self._tracer is not None:
                self._ledger = self._ledger.sampled(at, cpu_nanoseconds=used, refaults=refaults)
        return at

    def pod(self, uid: str) -> PodLedger | None:
        """A pod's ledger as it was at the last read."""
        with self._lock:
            return self._ledger.pods.get(uid)

    def last_sample(self, uid: str) -> Sample | None:
        """A pod's newest sample."""
        pod = self.pod(uid)
        return pod.history[-1] if pod and pod.history else None


def _live(ledger: Ledger) -> dict[str, Set[Cell]]:
    """The living cgroups of each pod."""
    return {uid: pod.live.keys() for uid, pod in ledger.pods.items()}
