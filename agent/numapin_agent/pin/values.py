"""What is asked of a pin, what was seen, and what is reported: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from numapin_agent.cgroup.values import Cpuset, Residency
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import StateError

if TYPE_CHECKING:
    # Names of values only: pydantic stays out of the core.
    from numapin_api.pin import Phase
    from numapin_api.policy import MemoryMode, Mode


@dataclass(frozen=True, slots=True)
class PinOrder:
    """What a NumaPin asks for.

    Attributes:
        namespace: of the pod.
        name: of the pod.
        uid: of the pod.
        generation: of the NumaPin's spec.
        mode: Observe never writes.
        cpus: None when the pod is not to be pinned.
        mems: None when only CPUs are pinned.
        memory: how strict memory is to be.
        headroom_percent: share of the target NUMA nodes' memory that is kept free.
        container_names: names by container id; the sandbox has none.
        mirrors: the UID is a static pod's, which an annotation of its mirror pod names.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    mode: Mode
    cpus: CpuSet | None
    mems: NodeSet | None
    memory: MemoryMode
    headroom_percent: int
    container_names: Mapping[str, str] = field(default_factory=dict)
    mirrors: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an order can't be carried out, or not fully: shown to users as it is."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Moving:
    """Progress of a page move, in bytes."""

    bytes_done: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class MoveOutcome:
    """How a page move ended.

    Attributes:
        mems: the NUMA nodes that it moved to.
        left: mapped bytes still elsewhere.
        error: why it gave up before converging; None when it ran to its end.
        age_seconds: how long ago that was.
    """

    mems: NodeSet
    left: int
    error: str | None
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Applied:
    """What was written last; an empty set was not written."""

    cpus: CpuSet
    mems: NodeSet
    time: datetime


@dataclass(frozen=True, slots=True)
class Drift:
    """What somebody else had set when the cpuset was last found changed."""

    cpus: CpuSet
    mems: NodeSet
    count: int
    time: datetime


@dataclass(frozen=True, slots=True)
class ContainerCpuset:
    """A container's cpuset.

    Attributes:
        id: as the runtime names it.
        name: as the pod spec names it; empty for the sandbox.
        own: what is configured; empty sets inherit.
        effective: the kernel's own view.
    """

    id: str
    name: str
    own: Cpuset
    effective: Cpuset

    @property
    def title(self) -> str:
        """For messages."""
        return f"container {self.name or self.id[:12]}"


@dataclass(frozen=True, slots=True)
class View:
    """The pod and its node at one moment.

    Attributes:
        effective: of the pod's cgroup.
        parent: of its parent's.
        guaranteed: whether the pod is of QoS class Guaranteed.
        containers: the sandbox among them.
        memory: where the pod's memory lies.
        age_seconds: of its oldest process; 0 without processes, infinite when unknown or when
            it does not matter.
        processes: how many there are; 0 when its age does not matter.
        available: free and reclaimable bytes per NUMA node of the host.
        capacity: bytes per NUMA node of the host.
    """

    effective: Cpuset
    parent: Cpuset
    guaranteed: bool
    containers: tuple[ContainerCpuset, ...]
    memory: Residency
    age_seconds: float
    processes: int
    available: Mapping[int, int]
    capacity: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Past:
    """What the agent remembers of a pod.

    Attributes:
        record: what is on file; None when the pod was never written.
        history_seconds: how long counters have been running for it.
        moving: whether its pages are being moved now.
        outcome: of the last finished page move, if any.
        immovable: why pages can't be moved on this node; None when they can.
        drifts: how often somebody else changed its cpuset lately.
        guarded_seconds: how long ago its record was written, which for guarded ones is when
            its memory nodes were widened.
    """

    record: Record | None = None
    history_seconds: float = 0
    moving: bool = False
    outcome: MoveOutcome | None = None
    immovable: str | None = None
    drifts: int = 0
    guarded_seconds: float = float("inf")


@dataclass(frozen=True, slots=True)
class Record:
    """What is on file about a pod that was, or is about to be, written.

    Attributes:
        uid: of the pod.
        namespace: of the pod.
        name: of the pod.
        cpus: written, or about to be; empty when not.
        mems: written, or about to be; empty when not.
        time: when.
        settled: the kernel was seen to hold it.
        guarded: mems were widened again because the target NUMA nodes ran low.
        hasty: they were by file alone, in a hurry: systemd still holds the old ones.
        drift: the last one seen.
        moved_pages: moved by the agent so far, in base pages.
    """

    uid: str
    namespace: str
    name: str
    cpus: CpuSet
    mems: NodeSet
    time: datetime
    settled: bool = False
    guarded: bool = False
    hasty: bool = False
    drift: Drift | None = None
    moved_pages: int = 0

    def to_json(self) -> dict[str, object]:
        """As it is stored."""
        drift = self.drift and {
            "cpus": str(self.drift.cpus),
            "mems": str(self.drift.mems),
            "count": self.drift.count,
            "time": self.drift.time.isoformat(),
        }
        return {
            "version": 1,
            "uid": self.uid,
            "namespace": self.namespace,
            "name": self.name,
            "cpus": str(self.cpus),
            "mems": str(self.mems),
            "time": self.time.isoformat(),
            "settled": self.settled,
            "guarded": self.guarded,
            "hasty": self.hasty,
            "drift": drift,
            "movedPages": self.moved_pages,
        }

    @classmethod
    def from_json(cls, value: object) -> Record:
        """Read back what ``to_json`` made.

        Raises:
            StateError: it is something else.
        """
        match value:
            case {
                "version": 1,
                "uid": str(uid),
                "namespace": str(namespace),
                "name": str(name),
                "cpus": str(cpus),
                "mems": str(mems),
                "time": str(time),
                "settled": bool(settled),
                "guarded": bool(guarded),
                "drift": dict() | None as drift,
                "movedPages": int(moved),
                **later,
            }:
                return cls(
                    uid=uid,
                    namespace=namespace,
                    name=name,
                    cpus=CpuSet.parse(cpus),
                    mems=NodeSet.parse(mems),
                    time=datetime.fromisoformat(time),
                    settled=settled,
                    guarded=guarded,
                    # Agents up to 0.1 wrote no such key, and nothing in a hurry.
                    hasty=later.get("hasty") is True,
                    drift=None if drift is None else _drift(drift),
                    moved_pages=moved,
                )
        raise StateError(f"not a record of version 1: {value!r:.200}")


def _drift(value: dict[object, object]) -> Drift:
    match value:
        case {"cpus": str(cpus), "mems": str(mems), "count": int(count), "time": str(time)}:
            return Drift(
                cpus=CpuSet.parse(cpus),
                mems=NodeSet.parse(mems),
                count=count,
                time=datetime.fromisoformat(time),
            )
    raise StateError(f"not a drift: {value!r:.200}")


@dataclass(frozen=True, slots=True)
class PinReport:
    """What the agent did and saw, for NumaPin.status.observed.

    Attributes:
        phase: as in the contract.
        problem: why it is not, or not all, as ordered.
        applied: what was written last.
        effective: the kernel's view of the pod's cgroup.
        containers: the kernel's view of each named container.
        drift: the last one seen.
        moving: progress while pages are moved.
        moved_pages: base pages that the agent moved so far.
        memory: resident bytes per NUMA node.
        file: of these, files, with tmpfs and shared memory.
        shmem: of these, tmpfs and shared memory.
        threads: of the process with the most memory.
    """

    phase: Phase
    problem: Problem | None = None
    applied: Applied | None = None
    effective: Cpuset | None = None
    containers: tuple[ContainerCpuset, ...] = ()
    drift: Drift | None = None
    moving: Moving | None = None
    moved_pages: int = 0
    memory: Mapping[int, int] = field(default_factory=dict)
    file: Mapping[int, int] = field(default_factory=dict)
    shmem: Mapping[int, int] = field(default_factory=dict)
    threads: int = 0
