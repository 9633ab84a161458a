"""Sums what was counted per pair of NUMA nodes for each pod, over restarts of its containers.

Like the ledger, but only for the metrics: there is no history, and it is folded when somebody
asks, or when cgroups die. Reads nothing.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType

from numapin_agent.counters.pairs import Pairs, added, grew, less
from numapin_agent.ledger import Cell

_NO_PAIRS: Pairs = MappingProxyType({})
_NONE: Mapping[Cell, Pairs] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PodPairs:
    """One pod's pairs.

    Attributes:
        live: last reading of each living cgroup.
        retired: sum over cgroups that are gone.
        totals: everything counted for this pod.
    """

    live: Mapping[Cell, Pairs] = field(default_factory=lambda: _NONE)
    retired: Pairs = field(default_factory=lambda: _NO_PAIRS)
    totals: Pairs = field(default_factory=lambda: _NO_PAIRS)

    def fold(self, readings: Mapping[int, Pairs], members: Set[Cell]) -> "PodPairs":
        """Take in one reading; see ``PairLedger.fold``."""
        if {c: p for c in members if isinstance(c, int) and (p := readings.get(c))} == self.live:
            return self  # as for most pods nearly always
        retired = self.retired
        live: dict[Cell, Pairs] = {}
        for cgroup in members | self.live.keys():
            old = self.live.get(cgroup, _NO_PAIRS)
            # Not there any more, with a map that was made anew: what was counted was counted.
            new = readings.get(cgroup, old) if isinstance(cgroup, int) else old
            if not grew(new, old):
                retired = added(retired, old)
            if cgroup not in members:
                retired = added(retired, new)
            elif new:
                live[cgroup] = new
        return PodPairs(live, retired, reduce(added, live.values(), retired))

    def begun_anew(self, base: Mapping[int, Pairs]) -> "PodPairs":
        """See ``PairLedger.begun_anew``."""
        twice: dict[Cell, Pairs] = {
            c: base[c] for c in self.live if isinstance(c, int) and c in base
        }
        return PodPairs(twice, reduce(less, twice.values(), self.totals), self.totals)


@dataclass(frozen=True, slots=True)
class PairLedger:
    """All pods of the node, by the UID in their cgroup's name.

    Attributes:
        pods: one entry a pod.
    """

    pods: Mapping[str, PodPairs] = field(default_factory=lambda: MappingProxyType({}))

    def fold(self, readings: Mapping[int, Pairs], members: Mapping[str, Set[Cell]]) -> "PairLedger":
        """Take in one reading of all pairs.

        Args:
            readings: by cgroup id.
            members: cgroups of every pod that exist now; a pod that is missing is gone.
        """
        return PairLedger(
            {
                uid: self.pods.get(uid, _NEW).fold(readings, cgroups)
                for uid, cgroups in members.items()
            }
        )

    def begun_anew(self, base: Mapping[int, Pairs] = MappingProxyType({})) -> "PairLedger":
        """Go on with another kernel map: what the old one held is put aside.

        Args:
            base: what the new map holds already, that the old one has counted as well.
        """
        return PairLedger({uid: pod.begun_anew(base) for uid, pod in self.pods.items()})


_NEW = PodPairs()
