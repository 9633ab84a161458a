"""Everything around the agent's loop in memory, with the test's clock: for faults and timing."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from support.agent_objects import POD_UID
from support.counted import QuietCgroup, QuietTracer

from numapin_agent.census import Census
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.loop import Loop
from numapin_agent.orders import wants_pin
from numapin_agent.pin.values import Applied, Drift, PinOrder, PinReport
from numapin_agent.pods import PodView
from numapin_agent.ports import Key, Surroundings
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CounterError
from numapin_api.node import Signal
from numapin_api.pin import Borrowed, NumaPin, Observed

KEY = ("default", "hopper")


TIME = datetime(2026, 1, 2, tzinfo=UTC)


INTERVAL = 10.0


@dataclass
class Cgroup(QuietCgroup):
    uid: str = POD_UID
    ids: frozenset[int] = frozenset({1})
    refaulted: int | None = None

    def numa_pages_migrated(self) -> int | None:
        return 77

    def page_cache_refaults(self) -> int | None:
        return self.refaulted


@dataclass
class Cgroups:
    one: Cgroup | None = field(default_factory=Cgroup)

    def counted(self) -> Iterable[Cgroup]:
        return [self.one] if self.one else []

    def find_pod(self, uid: str) -> Cgroup | None:
        return self.one if self.one and self.one.uid == uid else None


@dataclass
class Tracer(QuietTracer):
    level: str = "fentry"
    pages: int = 0
    bound: int = 0
    broken: bool = False

    def levels(self) -> tuple[Signal, ...]:
        return (Signal.model_validate({"name": "numaMigrations", "level": self.level}),)

    def read(self, only: Collection[int] | None = None) -> Mapping[int, CgroupCounters]:
        if self.broken:
            raise CounterError("the map can't be read")
        counted = CgroupCounters(migrated_pages=self.pages, pin_moved_pages=self.bound)
        return {1: counted} if self.level == "fentry" else {}


@dataclass
class Node:
    """Everything around the loop, and what it did."""

    on_file: set[str] = field(default_factory=set)
    listed: bool = True
    trusted: bool = True
    its_pins: dict[Key, NumaPin] = field(default_factory=dict)
    its_pods: dict[Key, PodView] = field(default_factory=dict)
    cgroups: Cgroups = field(default_factory=Cgroups)
    surprise: Exception | None = None
    drifts: int = 0
    moved_pages: int = 0
    borrowed: list[Borrowed] = field(default_factory=list)
    untouched: bool = False
    looks: int = 0
    spared: int = 0
    now: float = 1000.0
    released: list[str] = field(default_factory=list)
    published: list[Observed] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.census = Census(clock=lambda: self.now)
        self.loop = Loop(
            Surroundings(
                node_name="numa-0",
                interval_seconds=INTERVAL,
                objects=self,
                cgroups=self.cgroups,
                pinner=self,
                census=self.census,
                lenders=self,
                topology=lambda: None,
                writes=self,
                publisher=self,
                recorder=self,
                on_tick=lambda: None,
                clock=lambda: self.now,
                wall=lambda: self.now + 1e9,
                uniform=lambda _low, high: high,
            )
        )

    def have(self, its_pin: NumaPin | None, its_pod: PodView | None) -> "Node":
        """The API server has these now, and says so."""
        self.its_pins = {KEY: its_pin} if its_pin else {}
        self.its_pods = {KEY: its_pod} if its_pod else {}
        self.loop.dirty([KEY])
        return self

    def run(self, seconds: int = 0) -> "Node":
        """Do all that is due, and again after each second of these."""
        for second in range(seconds + 1):
            self.now += min(second, 1)
            while self.loop.step(wait=False):
                pass
        return self

    # Objects
    def pins(self) -> Mapping[Key, NumaPin]:
        return self.its_pins

    def pods(self) -> Mapping[Key, PodView]:
        return self.its_pods

    # Pins
    def taken(self) -> tuple[str, ...]:
        return tuple(self.on_file)

    def reconcile(self, order: PinOrder, *, history_seconds: float) -> PinReport:
        self.looks += 1
        self.history = history_seconds
        if self.surprise:
            raise self.surprise
        if not wants_pin(order):
            self.on_file.discard(order.uid)
            return PinReport(phase="Observing" if order.mode == "Observe" else "Unpinned")
        if self.cgroups.one is None:
            return PinReport(phase="Waiting")
        self.on_file.add(order.uid)
        assert order.cpus is not None
        return PinReport(
            phase="Pinned",
            applied=Applied(order.cpus, order.mems or NodeSet(), TIME),
            drift=Drift(CpuSet({0}), NodeSet(), self.drifts, TIME) if self.drifts else None,
            moved_pages=self.moved_pages,
        )

    def unchanged(self, uid: str) -> bool:
        self.spared += self.untouched
        return self.untouched

    def release(self, uid: str) -> PinReport:
        self.released.append(uid)
        self.on_file.discard(uid)
        return PinReport(phase="Unpinned")

    # Lenders
    def of(
        self, key: Key, uid: str, report: PinReport, *, home: NodeSet, held: Observed | None
    ) -> list[Borrowed]:
        return self.borrowed

    # Writes
    def apply_observed(self, its_pin: NumaPin, observed: Observed) -> None:
        self.published.append(observed)

    def submit(self, key: str, write: Callable[[], None]) -> None:
        write()

    def drop(self, key: str) -> None: ...

    # Recorder
    def pass_took(self, seconds: float) -> None: ...

    def error(self, kind: str) -> None:
        self.errors.append(kind)

    def pinned_after(self, seconds: float) -> None:
        self.latencies.append(seconds)

    @property
    def last(self) -> Observed:
        return self.published[-1]


def phases(node: Node) -> list[str]:
    return [o.phase for o in node.published]


def counting(node: Node, **tracer: object) -> Tracer:
    found = Tracer(**tracer)  # type: ignore[arg-type]
    node.census.attach(found)
    return found
