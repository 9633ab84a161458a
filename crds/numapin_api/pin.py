"""NumaPin: one pod's pin. Spec and verdict by the operator, status.observed by the agent."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from numapin_api.base import (
    ATOMIC_MAP,
    Conditions,
    Resource,
    Timestamp,
    Wire,
    cel,
    validations,
)
from numapin_api.node import CpuList, NonEmptyCpuList
from numapin_api.policy import Granularity, MemoryMode, Mode, Percent, Verification

Verdict = Literal[
    "Pending",
    "Verified",
    "Ineffective",
    "Drifted",
    "NoSignal",
    "Conflict",
    "Unplaceable",
    "Invalid",
    "Observing",
]
Evidence = Literal["Measured", "MeasuredPMU", "ByPlacement"]
Phase = Literal["Waiting", "Baseline", "Moving", "Pinned", "Observing", "Unpinned", "Refused"]
"""Where the agent is with a pin.

Waiting: the pod's cgroup is not there yet. Baseline: counting before the pin. Moving: CPUs
are set, far pages are being moved. Pinned: written and read back. Observing: mode Observe,
nothing is written. Unpinned: given back. Refused: not written, ``problem`` says why.
"""

MIN_HINT_FAULT_PAGES: Final = 500
"""Fewer sampled pages prove nothing: at 95 % local, 500 pages give ±2 % (two sigma)."""
STEADY_WINDOWS: Final = 2
"""So many whole windows in a row must say the same before a verdict by figures changes."""
MIN_DRAM_FILLS_PER_SECOND: Final = 10_000
"""At some 100 ns each, fewer take less than a thousandth of one CPU: where they come from does
not matter to the pod."""
MIN_DRAM_COUNTED_PERCENT: Final = 25
"""PMU counters that ran for less of the pod's CPU time may have missed what counts."""
BORROWED_FILES: Final = 5
BORROWED_PODS: Final = 8
BORROWED_PATH: Final = 256
"""How many files that others are charged for are told, pods for each, and characters of a path."""
IDLE_CPU_SHARE: Final = 0.001
"""Below a thousandth of one CPU a pod touches too little memory to be judged by faults."""

Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
PodName = Annotated[str, Field(max_length=253)]


class Move(Wire):
    """Why the operator moved a pod that was pinned already, and what it expects of it."""

    from_socket: Annotated[int, Field(ge=0, alias="from")]
    to_socket: Annotated[int, Field(ge=0, alias="to")]
    time: Timestamp
    # Closed for good: a version that does not know a reason can't read the pin at all, and would
    # plan the pod anew. What a reason is not enough for is told by a field that it drops.
    reason: Literal["SocketBusy", "PodWaiting"]
    """SocketBusy: the socket was over its policy's threshold, or ``crowded``. PodWaiting: another
    pod had no room."""
    message: Annotated[str, Field(max_length=1024)]
    gain: Annotated[int, Field(ge=0, le=10000)]
    """Expected, in percent of a socket: what the busiest socket is relieved of, or less where the
    pod left another one to make way; or what the pod that waits asks for."""
    load: Annotated[int, Field(ge=0, le=10000)]
    """Percent of the busiest resource of socket ``from`` that was in use before."""
    bytes_to_move: Bytes
    """Memory that the pod held elsewhere."""
    room_for: Annotated[str | None, Field(max_length=317)] = None
    """Namespace and name of the pod that waited for room: by that the move is judged."""
    further: Annotated[int | None, Field(ge=0, le=100)] = None
    """How many moves of other pods were to follow until that pod has room."""
    crowded: bool | None = None
    """True where the pods of socket ``from`` asked for more than it has: by what they ask for then
    the move is judged, and ``load`` and ``gain`` are of that, not of what is in use."""

    @property
    def cause(self) -> Literal["SocketBusy", "PodWaiting", "SocketCrowded"]:
        """The reason, as metrics count it."""
        return "SocketCrowded" if self.crowded else self.reason


class NumaPinSpec(Wire):
    """What the operator decided."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            cel(
                "has(self.socket) == has(self.cpus)",
                "socket and cpus must be given together or both be absent",
                field_path=".cpus",
            ),
            cel(
                "!has(self.mems) || has(self.cpus)",
                "must be absent when cpus is",
                field_path=".mems",
            ),
            cel(
                "self.memory != 'None' || !has(self.mems)",
                "must be absent when memory is None",
                field_path=".mems",
            ),
        )
    )

    pod_uid: Annotated[
        str,
        Field(
            alias="podUID",
            min_length=1,
            max_length=64,
            pattern=r"^[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?$",
            json_schema_extra=validations(cel("self == oldSelf", "can't be changed")),
        ),
    ]
    """metadata.uid of the pod; never changes: another pod of this name gets a pin of its own."""
    node_name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            json_schema_extra=validations(cel("self == oldSelf", "can't be changed")),
        ),
    ]
    """The Kubernetes node that the pod runs on; never changes."""
    policy: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the NumaPolicy that decided, or ``(default)``."""
    mode: Mode = "Enforce"
    granularity: Granularity = "Socket"
    socket: Annotated[int | None, Field(ge=0)] = None
    """Absent when the pod is not to be pinned: the conditions say why."""
    sockets: Annotated[list[Annotated[int, Field(ge=0)]] | None, Field(max_length=64)] = None
    """All sockets of a pod that one doesn't hold (onUnplaceable Split), ``socket`` being the
    first; absent when there is only one."""
    cpus: NonEmptyCpuList | None = None
    """Present exactly when socket is."""
    mems: NonEmptyCpuList | None = None
    """Absent when only CPUs are pinned."""
    memory: MemoryMode = "Strict"
    memory_headroom: Percent = "10%"
    verification: Verification = Verification()
    move: Move | None = None
    """The last move, as long as the pod is where it led; absent if it was never moved."""


class CpusMems(Wire):
    """A pair of cpuset.cpus and cpuset.mems."""

    cpus: CpuList
    mems: CpuList


class Applied(CpusMems):
    """What the agent wrote last, and when."""

    time: Timestamp


class Drift(CpusMems):
    """What somebody else had set when the agent last found the cpuset changed."""

    count: Count
    time: Timestamp


class ContainerEffective(CpusMems):
    """cpuset.*.effective of one container."""

    name: str


class NodeBytes(Wire):
    """Resident memory on a NUMA node."""

    node: int
    bytes: Bytes
    page_cache: Bytes | None = None
    """Of these, files: pages that no process maps stay where they were read."""
    shared: Bytes | None = None
    """Of these, tmpfs and shared memory, which stay where they were first touched."""


class Borrowed(Wire):
    """A file that the pod maps on a NUMA node that is not its own, and others are charged for.

    Its pages are charged to the cgroup that read them first, and don't count as the pod's memory.
    """

    path: Annotated[str, Field(max_length=BORROWED_PATH)]
    """As the pod's processes have it; of a longer one the end."""
    node: int
    """The NUMA node."""
    bytes: Bytes
    """Estimated from a sample of pages: mapped there by the pod, less all that the pod is charged
    for of mapped files there."""
    pods: Annotated[list[PodName], Field(max_length=BORROWED_PODS)] = []
    """Other pods of the namespace that map the file, too; whichever read it first is charged."""
    others: Count = 0
    """How many more pods do, those of other namespaces among them."""


class Moving(Wire):
    """Progress of moving a running pod's pages."""

    bytes_done: Bytes
    bytes_total: Bytes


class Problem(Wire):
    """Why the agent could not do, or not fully do, what the spec asks."""

    reason: str
    message: str


class Counters(Wire):
    """Kernel counters of a pod over a window."""

    since: Timestamp
    seconds: Annotated[float, Field(ge=0)]
    migrated_pages: Count = 0
    """Pages moved by NUMA balancing."""
    cross_socket_migrated_pages: Count = 0
    """Of those, pages that changed socket."""
    migration_nanoseconds: Count = 0
    """Time spent moving them."""
    hint_fault_pages_local: Count = 0
    hint_fault_pages_remote: Count = 0
    cross_socket_task_migrations: Count = 0
    moved_by_pin_pages: Count = 0
    """Pages moved because of the pin itself, apart from NUMA balancing; not only in the window:
    by the agent since there is the pin, and by the kernel, which moves them when cpuset.mems is
    written, since the agent was started."""
    syscall_moved_pages: Count = 0
    """Pages moved by system calls of the pod's own processes, apart from both."""
    scanner_skips: Count = 0
    """Times the NUMA scanner left a thread alone, as it may use one NUMA node only."""
    dram_fills_local: Count | None = None
    """Reads of its socket's own DRAM by the pod's programs (PMU); absent where not counted."""
    dram_fills_remote: Count | None = None
    """Reads of another socket's DRAM; absent where not counted."""
    dram_counted_percent: Annotated[float | None, Field(ge=0, le=100)] = None
    """Share of the pod's CPU time in which the PMU counted these; absent where not counted."""
    page_cache_refaults_per_second: Annotated[float | None, Field(ge=0)] = None
    """Pages of the pod's page cache that were read again shortly after they had been reclaimed;
    absent where not known. Before the pin over up to 90 seconds."""
    cpu_nanoseconds: Count = 0
    """CPU time the pod used in the window: tells an idle pod from a quiet one."""


class Observed(Wire):
    """What the agent did and measured."""

    model_config = ConfigDict(json_schema_extra=ATOMIC_MAP)

    generation: int
    """metadata.generation of the spec that this answers."""
    time: Timestamp | None = None
    """When the agent said so; it says it anew at least every 15 minutes, be it the same. Absent
    from agents that don't tell."""
    phase: Phase
    problem: Problem | None = None
    applied: Applied | None = None
    effective: CpusMems | None = None
    """The kernel's own view of the pod's cgroup."""
    containers: list[ContainerEffective] = []
    drift: Drift | None = None
    moving: Moving | None = None
    memory: list[NodeBytes] = []
    borrowed: Annotated[list[Borrowed], Field(max_length=BORROWED_FILES)] = []
    """The largest files that the pod maps off its pin's NUMA nodes and others are charged for,
    looked for at most once in 15 minutes. An estimate, so no verdict rests on it; empty where
    nothing was found or can be said."""
    threads: Annotated[int | None, Field(ge=0)] = None
    """Threads of the process with the most memory: hint-fault locality is valid only above 1."""
    baseline: Counters | None = None
    """The same counters before the pin, for pods that ran already."""
    baseline_memory: list[NodeBytes] = []
    counters: Counters | None = None
    """Over the last whole verification window since the pin."""
    windows: Count | None = None
    """Whole windows in a row, the last one included, whose figures were on the sides of all
    thresholds that those here are on; 0 while memory is on another side than at their end."""


class NumaPinStatus(Wire):
    """observed by the agent; everything else by the operator."""

    observed_generation: int | None = None
    observed: Observed | None = None
    verdict: Verdict | None = None
    evidence: Evidence | None = None
    local_percent: Annotated[float | None, Field(ge=0, le=100)] = None
    """Share of resident memory on the pin's NUMA nodes."""
    cross_socket_pages_per_second: Annotated[float | None, Field(ge=0)] = None
    conditions: Conditions = []


class NumaPin(Resource):
    """One pod's pin: where it goes, what the agent did, what the counters say."""

    KIND: ClassVar[str] = "NumaPin"
    PLURAL: ClassVar[str] = "numapins"
    api_version: Literal["numapin.io/v1alpha1"] = "numapin.io/v1alpha1"
    kind: Literal["NumaPin"] = "NumaPin"
    spec: NumaPinSpec
    status: NumaPinStatus | None = None

    @classmethod
    def read(cls, obj: object) -> Self:
        """Validate a NumaPin as the API server sent it.

        A part of the status that this version does not know, like a verdict of a later one,
        counts as absent: where the pod belongs stands in the spec, and an operator that could
        not read a pin would plan it anew, an agent would not follow it.

        Raises:
            pydantic.ValidationError: the object is not of this kind.
        """
        try:
            return super().read(obj)
        except ValidationError as error:
            places = [found["loc"][:2] for found in error.errors(include_url=False)]
            unknown = {place[1] for place in places if len(place) > 1 and place[0] == "status"}
            if not isinstance(obj, Mapping) or len(unknown) < len(set(places)):
                raise
            known = {name: part for name, part in obj["status"].items() if name not in unknown}
            return super().read({**obj, "status": known})
