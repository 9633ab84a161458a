"""What the reconcile loop works with, as it sees it: eight small interfaces.

The real ones are named in each; tests of faults hand in others. No behaviour here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from numapin_agent.census import Census, Cgroup
from numapin_agent.pin.values import PinOrder, PinReport
from numapin_agent.pods import PodView
from numapin_api.cpulist import NodeSet
from numapin_api.pin import Borrowed, NumaPin, Observed
from numapin_api.topology import Topology

Key = tuple[str, str]
"""Namespace and name, of a pod and of its NumaPin alike."""


class Pins(Protocol):
    """Applies pins; ``numapin_agent.pin.Pinner`` is one such."""

    def reconcile(self, order: PinOrder, *, history_seconds: float) -> PinReport:
        """Bring a pod to what is ordered, and read back."""

    def unchanged(self, uid: str) -> bool:
        """Whether the same order would find nothing to do; False is no statement."""

    def release(self, uid: str) -> PinReport:
        """Give a pod back what its parent has, and forget it."""

    def taken(self) -> tuple[str, ...]:
        """UIDs of the pods that are on file as pinned by us."""


class Objects(Protocol):
    """What is known of pods and pins; both from mirrors of the API server."""

    @property
    def listed(self) -> bool:
        """Whether both collections were received whole at least once."""

    @property
    def trusted(self) -> bool:
        """Whether every NumaPin could be read: else none is taken to be missing."""

    def pins(self) -> Mapping[Key, NumaPin]:
        """NumaPins of this node."""

    def pods(self) -> Mapping[Key, PodView]:
        """Pods of this node."""


class Cgroups(Protocol):
    """Finds pods' cgroups; ``numapin_agent.cgroup.CgroupHost`` is one such."""

    def counted(self) -> Iterable[Cgroup]:
        """All that are there, those that can't be pinned among them."""

    def find_pod(self, uid: str) -> Cgroup | None:
        """One of them."""


class Sender(Protocol):
    """Sends writes; ``numapin_agent.publisher.Publisher`` is one such."""

    def submit(self, key: str, write: Callable[[], None]) -> None:
        """Make a write due."""

    def drop(self, key: str) -> None:
        """Forget what is due."""


class Recorder(Protocol):
    """Where the loop says how it fares; the metrics are one such."""

    def pass_took(self, seconds: float) -> None:
        """One look at one pod."""

    def error(self, kind: str) -> None:
        """Something failed."""

    def pinned_after(self, seconds: float) -> None:
        """From a cgroup's appearance to its pin."""


class Writes(Protocol):
    """The API server's side; ``numapin_agent.kube.Api`` is one such."""

    def apply_observed(self, pin: NumaPin, observed: Observed) -> None:
        """Write status.observed."""


class Lenders(Protocol):
    """Knows whose files pods use; ``numapin_agent.borrowing.Borrowing`` is one such."""

    def of(
        self, key: Key, uid: str, report: PinReport, *, home: NodeSet, held: Observed | None
    ) -> list[Borrowed]:
        """Files that a pod maps and others are charged for, as far as is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All that the loop works with.

    Attributes:
        node_name: this Kubernetes node.
        interval_seconds: between two ticks.
        objects: pods and pins.
        cgroups: finds pods' cgroups.
        pinner: applies pins.
        census: counters.
        lenders: files that others are charged for.
        topology: the machine's; None while it can't be read.
        writes: the API server.
        publisher: sends writes.
        recorder: metrics.
        on_tick: called once per tick, before the pods.
        clock: monotonic seconds.
        wall: seconds since 1970.
        uniform: draws jitter.
    """

    node_name: str
    interval_seconds: float
    objects: Objects
    cgroups: Cgroups
    pinner: Pins
    census: Census
    lenders: Lenders
    topology: Callable[[], Topology | None]
    writes: Writes
    publisher: Sender
    recorder: Recorder
    on_tick: Callable[[], None]
    clock: Callable[[], float]
    wall: Callable[[], float]
    uniform: Callable[[float, float], float]
