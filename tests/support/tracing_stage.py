"""A tracing with all around it made up, and tracers that die when told to."""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field

from support.counted import QuietCgroup, QuietTracer

from numapin_agent.census import Census
from numapin_agent.counters.pulse import Fault
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.tracing import CHECK_SECONDS, Tracing
from numapin_agent.trust import Trust
from numapin_api.errors import CounterError
from numapin_api.node import Level, Signal

DEAD = Fault("task_migrate", ("taskMigrations",), "is not attached any more")


@dataclass
class Tracer(QuietTracer):
    level: Level = "rawTracepoint"
    dead: tuple[Fault, ...] = ()
    broke_off: bool = False
    losses: int = 0
    lost_of_pairs: int = 0
    room: bool = True
    counts: dict[int, int] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    closed: bool = False
    unreadable: bool = False

    def levels(self) -> tuple[Signal, ...]:
        return (Signal(name="taskMigrations", level=self.level, reason="because"),)

    def roster(self) -> tuple[tuple[str, str], ...]:
        return () if self.level == "none" else (("taskMigrations", "task_migrate"),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        if self.unreadable:
            raise CounterError("map taskMigrations can't be read")
        return {
            cgroup: CgroupCounters(cross_socket_task_migrations=n)
            for cgroup, n in self.counts.items()
            if only is None or cgroup in only
        }

    def forget(self, cgroup_ids: Iterable[int]) -> None:
        for cgroup in cgroup_ids:
            self.forgotten.add(cgroup)
            self.counts.pop(cgroup, None)

    def lost(self) -> int:
        if self.unreadable:
            raise CounterError("lost events can't be read")
        return self.losses

    def lost_pairs(self) -> int:
        if self.unreadable:
            raise CounterError("lost pairs can't be read")
        return self.lost_of_pairs

    def full(self) -> tuple[str, ...]:
        return () if self.room else ("taskMigrations",)

    def faults(self) -> tuple[Fault, ...]:
        if self.unreadable:
            raise CounterError("no map")
        return self.dead

    def close(self) -> None:
        self.closed = True


class Stage:
    """A tracing with all around it made up; ``next`` is what the coming load gives."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.next: Tracer | CounterError = Tracer()
        self.tried: list[float] = []
        self.loaded: list[Tracer] = []
        self.trusts: list[Trust] = []
        self.attached: list[object] = []
        self.gone: CounterError | None = None
        self.errors: list[Exception] = []
        self.gaps = 0
        self.cgroups: Set[int] = {1, 2}
        self.census = Census(clock=lambda: self.now)
        self.census.replace([QuietCgroup("a", frozenset({1}))])
        self.tracing = Tracing(
            load=self.load,
            census=self.census,
            reporter=self,
            existing=lambda: self.cgroups,
            failed=self.errors.append,
            interrupted=self.interrupted,
            clock=lambda: self.now,
            wall=lambda: self.now + 1e9,
        )

    def load(self) -> Tracer:
        self.tried.append(self.now)
        if isinstance(self.next, CounterError):
            raise self.next
        self.loaded.append(self.next)
        return self.next

    def attach(self, tracer: object) -> None:
        self.attached.append(tracer)

    def counters_failed(self, error: CounterError) -> None:
        self.gone = error

    def trusted(self, trust: Trust) -> None:
        self.trusts.append(trust)

    def interrupted(self) -> None:
        self.gaps += 1

    def beat(self, *, seconds: float = CHECK_SECONDS, late: float = 0.0) -> None:
        self.now += seconds
        self.tracing.beat(late=late)

    def hops(self) -> int:
        pod = self.census.read().pods["a"]
        return pod.totals().cross_socket_task_migrations

    @property
    def reasons(self) -> set[str]:
        return {r.reason for r in self.tracing.trust.reasons()}
