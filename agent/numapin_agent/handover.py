"""What two tracers have both counted when one takes over from the other: to be counted once.

New programs count from the moment they are attached, and the old ones until they are closed. Reads
the new maps, once, and decides nothing else.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Protocol

from numapin_agent.counters.pairs import PairCounters, Pairs
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.ledger import Cell


class Tracer(Protocol):
    """What is read of the new one; ``census.Tracer`` is one such."""

    def read(self) -> Mapping[int, CgroupCounters]:
        """Counters by cgroup id."""

    def pairs(self) -> Mapping[int, Pairs]:
        """By cgroup id what was counted per pair of NUMA nodes."""


@dataclass(frozen=True, slots=True)
class Twice:
    """What the new maps hold already, that the old ones have counted as well.

    Attributes:
        counters: by cgroup.
        pairs: by cgroup, per pair of NUMA nodes.
    """

    counters: Mapping[Cell, CgroupCounters] = field(default_factory=dict)
    pairs: Mapping[int, Pairs] = field(default_factory=dict)


def counted_twice(new: Tracer, had: Set[str]) -> Twice:
    """Read it, right after the old maps were read for the last time.

    Args:
        new: counts from now on.
        had: names of the counters that the old one had; of others nothing was counted twice.

    Raises:
        CounterError: the new maps can't be read.
    """
    of_pairs = had | {"hint_fault_pages"} if "hint_fault_pages_local" in had else had
    return Twice(
        {
            cgroup: CgroupCounters(*_only(counts._asdict(), had))
            for cgroup, counts in new.read().items()
        },
        {
            cgroup: {pair: PairCounters(*_only(c._asdict(), of_pairs)) for pair, c in found.items()}
            for cgroup, found in new.pairs().items()
        },
    )


def _only(counts: Mapping[str, int], had: Set[str]) -> list[int]:
    return [number if name in had else 0 for name, number in counts.items()]
