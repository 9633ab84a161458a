"""A tracer and a pod's cgroup that have nothing to tell; tests override what they are about."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from numapin_agent.counters.pairs import Pairs
from numapin_agent.counters.pulse import Fault
from numapin_agent.counters.signals import CgroupCounters
from numapin_api.node import Signal
from numapin_api.topology import Topology


class QuietTracer:
    """What ``Counters`` can be asked, with no event, no loss and no fault."""

    broke_off: bool = False

    def levels(self) -> tuple[Signal, ...]:
        return (Signal(name="numaMigrations", level="fentry"),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        return {}

    def pairs(self) -> Mapping[int, Pairs]:
        return {}

    def forget(self, cgroup_ids: Iterable[int]) -> None: ...

    def lost(self) -> int:
        return 0

    def lost_pairs(self) -> int:
        return 0

    def full(self) -> tuple[str, ...]:
        return ()

    def faults(self) -> tuple[Fault, ...]:
        return ()

    def follow(self, topology: Topology) -> None: ...


@dataclass
class QuietCgroup:
    """What is read of a pod's cgroups, all at rest."""

    uid: str
    ids: frozenset[int]

    def cgroup_ids(self) -> frozenset[int]:
        return self.ids

    def cpu_nanoseconds(self) -> int:
        return 5

    def numa_pages_migrated(self) -> int | None:
        return None

    def page_cache_refaults(self) -> int | None:
        return None

    def residency(self) -> dict[int, int]:
        return {}
