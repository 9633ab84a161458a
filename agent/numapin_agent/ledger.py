"""Folds counters per cgroup into totals per pod that survive container restarts.

The kernel counts per cgroup, and a container that restarts gets a new cgroup. A pod's
total is what its living cgroups show plus what its dead ones showed last. Totals only ever
grow; differences between two samples make the windows before and after a pin. It
deliberately reads nothing and knows no clock: readings and times are handed in.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import ge, sub
from types import MappingProxyType

from numapin_agent.counters.signals import CgroupCounters

HISTORY_SECONDS = 90.0
"""How long samples are kept: a baseline of 60 s and a late tick on either side."""
BASELINE_SECONDS = 60.0

ZERO = CgroupCounters()
Cell = int | str
"""What has counters: a cgroup by its id, or a pod by its UID for what memory.stat says."""
_NOTHING: Mapping[Cell, CgroupCounters] = MappingProxyType({})


def grew(new: CgroupCounters, old: CgroupCounters) -> bool:
    """Whether no counter went back, which happens only when a kernel map was made anew."""
    return all(map(ge, new, old))


def difference(new: CgroupCounters, old: CgroupCounters) -> CgroupCounters:
    """What was counted between two readings of totals."""
    return CgroupCounters(*map(sub, new, old))


@dataclass(frozen=True, slots=True)
class Refaults:
    """Page cache of a pod that was read again shortly after it had been reclaimed.

    Attributes:
        at: when it was looked up, in seconds of the monotonic clock.
        pages: since the pod's cgroup was made.
    """

    at: float
    pages: int


def refault_rate(first: Refaults | None, last: Refaults | None) -> float | None:
    """Pages a second between two look-ups; None where they don't tell."""
    if first is None or last is None or last.at <= first.at or last.pages < first.pages:
        return None
    return (last.pages - first.pages) / (last.at - first.at)


@dataclass(frozen=True, slots=True)
class Sample:
    """A pod's totals at one moment.

    Attributes:
        at: seconds of the monotonic clock.
        totals: counters since the agent began to count.
        cpu_nanoseconds: CPU time of the pod since its cgroup was made.
        epoch: number of the uninterrupted count that the totals belong to: between two epochs
            something was not counted.
        refaults: of its page cache; None where nobody looked.
    """

    at: float
    totals: CgroupCounters
    cpu_nanoseconds: int
    epoch: int = 0
    refaults: Refaults | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What a pod did between two samples.

    Attributes:
        since: monotonic seconds at its start.
        seconds: its length as measured.
        counted: the counters' growth.
        cpu_nanoseconds: CPU time used.
        refaults_per_second: pages of page cache that had to be read again; None where unknown.
    """

    since: float
    seconds: float
    counted: CgroupCounters
    cpu_nanoseconds: int
    refaults_per_second: float | None = None


def window(first: Sample, last: Sample) -> Window:
    """The window between two samples of the same pod.

    Raises:
        ValueError: they are of two epochs, so what lies between them was not counted whole.
    """
    if first.epoch != last.epoch:
        raise ValueError(f"samples of epochs {first.epoch} and {last.epoch} make no window")
    return Window(
        since=first.at,
        seconds=last.at - first.at,
        counted=difference(last.totals, first.totals),
        cpu_nanoseconds=max(0, last.cpu_nanoseconds - first.cpu_nanoseconds),
        refaults_per_second=refault_rate(first.refaults, last.refaults),
    )


@dataclass(frozen=True, slots=True)
class PodLedger:
    """One pod's counters.

    Attributes:
        live: last reading of each living cgroup, by cgroup id.
        retired: sum over cgroups that are gone, less what living ones had when they were first
            read from new maps.
        history: samples, oldest first, of the last ``HISTORY_SECONDS``.
    """

    live: Mapping[Cell, CgroupCounters] = field(default_factory=lambda: _NOTHING)
    retired: CgroupCounters = ZERO
    history: tuple[Sample, ...] = ()

    def totals(self) -> CgroupCounters:
        """Everything counted for this pod."""
        return CgroupCounters(*map(sum, zip(self.retired, *self.live.values(), strict=True)))

    def fold(
        self, readings: Mapping[Cell, CgroupCounters], members: Set[Cell]
    ) -> tuple["PodLedger", frozenset[Cell]]:
        """Take in one reading of all counters.

        Args:
            readings: counters by cgroup id, of all cgroups that ever counted.
            members: ids of the pod's cgroups that exist now.

        Returns:
            The new ledger, and the ids of cgroups that died since the last fold: their
            counts are kept here, so the kernel may forget them.
        """
        if {c: readings.get(c, ZERO) for c in members} == self.live:
            return self, frozenset()  # as for most pods nearly always
        retired = self.retired
        live: dict[Cell, CgroupCounters] = {}
        for cgroup in members | self.live.keys():
            old = self.live.get(cgroup, ZERO)
            new = readings.get(cgroup, old)
            if new != old and not grew(new, old):
                retired += old
            if cgroup in members:
                live[cgroup] = new
            else:
                retired += new
        dead = frozenset(self.live.keys() - members)
        if live == self.live and retired == self.retired:
            return self, dead
        return replace(self, live=live, retired=retired), dead

    def interrupted(
        self, *, anew: bool, base: Mapping[Cell, CgroupCounters] = _NOTHING
    ) -> "PodLedger":
        """Go on after counting broke off: the totals stay, the history is of no use.

        Args:
            anew: the kernel's maps are others, so what the old ones held is put aside; what
                is read from a pod's memory.stat is the kernel's to keep.
            base: what the new maps hold already, that the old ones have counted as well.
        """
        if not anew:
            return replace(self, history=())
        ours = [cell for cell in self.live if isinstance(cell, int)]
        counted = [self.live[cell] for cell in ours]
        twice: dict[Cell, CgroupCounters] = {cell: base[cell] for cell in ours if cell in base}
        put_aside = CgroupCounters(*map(sum, zip(self.retired, *counted, strict=True)))
        files: dict[Cell, CgroupCounters] = {
            cell: n for cell, n in self.live.items() if not isinstance(cell, int)
        }
        return PodLedger(
            live={**files, **twice},
            # Less what the new maps will show once more; both together only ever grow.
            retired=reduce(difference, twice.values(), put_aside),
        )

    def sampled(
        self,
        at: float,
        *,
        cpu_nanoseconds: int,
        epoch: int = 0,
        refaults: Refaults | None = None,
    ) -> "PodLedger":
        """Append the present totals to the history; a moment not after the last replaces it."""
        kept = tuple(s for s in self.history if at - HISTORY_SECONDS <= s.at < at)
        sample = Sample(at, self.totals(), cpu_nanoseconds, epoch, refaults)
        return PodLedger(live=self.live, retired=self.retired, history=(*kept, sample))

    def noted(self, refaults: Refaults) -> "PodLedger":
        """Add to the last sample what it lacks."""
        *before, last = self.history
        return replace(self, history=(*before, replace(last, refaults=refaults)))

    def before(self, at: float, *, seconds: float = BASELINE_SECONDS) -> Window | None:
        """The window that ends at the last sample not after ``at``.

        Refaults are looked up more seldom than all else: their rate is that of the whole history.

        Args:
            at: monotonic seconds, as of a pin.
            seconds: its greatest length; it is shorter when there is less history.

        Returns:
            None when there are not two samples.
        """
        past = [s for s in self.history if s.at <= at]
        if not past:
            return None
        first = next(s for s in past if s.at >= past[-1].at - seconds)
        if first is past[-1]:
            return None
        told = [s.refaults for s in past if s.refaults is not None]
        rate = refault_rate(told[0], told[-1]) if told else None
        return replace(window(first, past[-1]), refaults_per_second=rate)

    def history_seconds(self, at: float) -> float:
        """For how long this pod has been counted, up to ``HISTORY_SECONDS``; 0 if not yet."""
        return at - self.history[0].at if self.history else 0.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """All pods of the node, by the UID in their cgroup's name.

    Attributes:
        pods: one ledger a pod.
        node: every cgroup of the node, pods or not: what the kernel's own books count.
        epoch: see ``Sample``.
    """

    pods: Mapping[str, PodLedger] = field(default_factory=lambda: MappingProxyType({}))
    node: PodLedger = field(default_factory=PodLedger)
    epoch: int = 0

    def interrupted(
        self, *, anew: bool, base: Mapping[Cell, CgroupCounters] = _NOTHING
    ) -> "Ledger":
        """The ledger of the next epoch.

        Args:
            anew: see ``PodLedger.interrupted``.
            base: see there.
        """
        pods = {uid: pod.interrupted(anew=anew, base=base) for uid, pod in self.pods.items()}
        return Ledger(pods, self.node.interrupted(anew=anew, base=base), self.epoch + 1)

    def fold(
        self, readings: Mapping[Cell, CgroupCounters], members: Mapping[str, Set[Cell]]
    ) -> tuple["Ledger", frozenset[Cell]]:
        """Take in one reading of all counters.

        Args:
            readings: counters by cgroup id.
            members: ids of the living cgroups of every pod; a pod that is missing is
                gone, and forgotten with its totals.

        Returns:
            The new ledger, and the ids of cgroups that the kernel may forget.
        """
        pods: dict[str, PodLedger] = {}
        dead: set[Cell] = set()
        for uid, cgroups in members.items():
            pods[uid], gone = self.pods.get(uid, _NEW).fold(readings, cgroups)
            dead |= gone
        for uid in self.pods.keys() - members.keys():
            dead |= self.pods[uid].live.keys()
        node, _ = self.node.fold(readings, readings.keys())
        return Ledger(pods, node, self.epoch), frozenset(dead)

    def fold_pod(
        self, uid: str, readings: Mapping[Cell, CgroupCounters], members: Set[Cell]
    ) -> "Ledger":
        """Take in counters of one pod only; a cgroup of it that died waits for a whole fold.

        Args:
            uid: the pod.
            readings: counters by cgroup id, at least of those that exist.
            members: ids of the pod's cgroups that exist now.
        """
        old = self.pods.get(uid, _NEW)
        pod, _ = old.fold(readings, members | old.live.keys())
        return replace(self, pods={**self.pods, uid: pod})

    def sampled(
        self,
        at: float,
        *,
        cpu_nanoseconds: Mapping[str, int],
        refaults: Mapping[str, Refaults] = MappingProxyType({}),
    ) -> "Ledger":
        """Append a sample to the history of those pods whose CPU time is given.

        Args:
            at: monotonic seconds.
            cpu_nanoseconds: by the pod's UID.
            refaults: the same, of those pods that were looked into.
        """
        taken = {
            uid: self.pods[uid].sampled(
                at, cpu_nanoseconds=used, epoch=self.epoch, refaults=refaults.get(uid)
            )
            for uid, used in cpu_nanoseconds.items()
            if uid in self.pods
        }
        return replace(self, pods={**self.pods, **taken})

    def noted(self, uid: str, refaults: Refaults) -> "Ledger":
        """Add a pod's refaults to its last sample, if it has one."""
        pod = self.pods.get(uid)
        if pod is None or not pod.history:
            return self
        return replace(self, pods={**self.pods, uid: pod.noted(refaults)})


_NEW = PodLedger()
