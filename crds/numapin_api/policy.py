"""NumaPolicy: which opted-in pods are pinned how, and what counts as proof. By the user."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from numapin_api.base import ATOMIC_MAP, Conditions, Resource, Wire, cel, validations

Mode = Literal["Enforce", "Observe"]
Granularity = Literal["Socket", "NumaNode"]
Strategy = Literal["Spread", "Pack", "FollowMemory"]
OnUnplaceable = Literal["Skip", "CpuOnly", "Split"]
Devices = Literal["Prefer", "Require", "Ignore"]
Rebalancing = Literal["Never", "Auto"]
MemoryMode = Literal["Strict", "Preferred", "None"]
OnFailure = Literal["Warn", "Unpin"]
Percent = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]?)%$")]
Window = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,3}(s|m)$",
        max_length=32,
        json_schema_extra=validations(
            cel(
                "duration(self) >= duration('10s') && duration(self) <= duration('60m')",
                "must be between 10s and 60m",
            )
        ),
    ),
]


def percent(value: Percent) -> int:
    """The number in ``10%``."""
    return int(value.removesuffix("%"))


def seconds(value: Window) -> int:
    """The seconds in ``60s`` or ``5m``.

    Raises:
        ValueError: not of that form.
    """
    m = re.fullmatch(r"([1-9][0-9]{0,3})(s|m)", value)
    if m is None:
        raise ValueError(f"window {value!r} is not like 60s or 5m")
    return int(m[1]) * (60 if m[2] == "m" else 1)


LabelKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?"
        r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    ),
]
"""A label's key: a name of at most 63 characters, a DNS domain and ``/`` before it or not."""
LabelValue = Annotated[
    str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
]
"""A label's value."""


class LabelSelectorRequirement(Wire):
    """metav1.LabelSelectorRequirement."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            cel(
                "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
                "must be absent for Exists and DoesNotExist",
                field_path=".values",
            ),
            cel(
                "self.operator in ['Exists', 'DoesNotExist'] || "
                "has(self.values) && size(self.values) > 0",
                "In and NotIn need at least one value",
            ),
        )
    )

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[list[LabelValue], Field(max_length=64)] = []


class LabelSelector(Wire):
    """metav1.LabelSelector; empty matches everything."""

    model_config = ConfigDict(json_schema_extra=ATOMIC_MAP)

    match_labels: Annotated[
        dict[str, LabelValue],
        Field(
            max_length=64,
            json_schema_extra=validations(
                cel(
                    "self.all(key, !format.qualifiedName().validate(key).hasValue())",
                    "keys must be label keys like app or example.com/app",
                )
            ),
        ),
    ] = {}
    match_expressions: Annotated[list[LabelSelectorRequirement], Field(max_length=64)] = []


class Rebalance(Wire):
    """When a running pod may be moved to another socket, and how seldom."""

    mode: Rebalancing = "Never"
    """Auto moves pods of this policy off a socket that is too busy, or to make room for one
    that waits. Never: every pod stays where it is pinned."""
    threshold: Percent = "85%"
    """Use of a socket's CPUs or memory from which on it is too busy."""
    after: Window = "5m"
    """How long it must have been so."""
    cooldown: Window = "30m"
    """How long a pod that was moved stays where it is."""
    min_gain: Percent = "10%"
    """What a move must relieve the busiest socket of, in percent of a socket."""
    max_moving: Annotated[int, Field(ge=1)] = 1
    """How many pods of this policy may be on the move at a time, in the whole cluster."""


class Placement(Wire):
    """How a socket is chosen."""

    strategy: Strategy = "Spread"
    """Spread: least loaded, by requests and real use. Pack: best fit. FollowMemory: where its
    memory is."""
    on_unplaceable: OnUnplaceable = "Skip"
    """When no socket has room: leave the pod alone, pin its CPUs only, or give it the fewest
    sockets that together have."""
    devices: Devices = "Prefer"
    """Whether a pod goes to the socket of the devices that the kubelet gave it."""
    spread_replicas: bool = False
    """Keep pods of one workload on different sockets of a node, as far as there is room."""
    colocate: LabelKey | None = None
    """Keep pods of a namespace with the same value of this label on one socket, as far as
    there is room."""
    rebalance: Rebalance = Rebalance()
    """When running pods may be moved."""


class Verification(Wire):
    """What the counters must show before a pin is called Verified."""

    window: Window = "60s"
    """How long the counters are watched."""
    max_cross_socket_pages_per_second: Annotated[int, Field(ge=0)] = 10
    """NUMA-balancing migrations between sockets that are still tolerated."""
    min_local_percent: Annotated[int, Field(ge=0, le=100)] = 95
    """Least share of resident memory on the socket, and of local hint faults where valid."""
    on_failure: OnFailure = "Warn"
    """What to do when verification fails."""


class NumaPolicySpec(Wire):
    """What the user asks for."""

    priority: int = 0
    """Of several policies that match a pod the highest priority wins, then the first name."""
    pod_selector: LabelSelector = LabelSelector()
    """Among pods with label numapin.io/pin=true; empty matches all of them."""
    namespace_selector: LabelSelector = LabelSelector()
    """Namespaces whose pods are meant; empty matches all."""
    mode: Mode = "Enforce"
    """Observe measures and advises, and never writes a cpuset."""
    granularity: Granularity = "Socket"
    """Pin to a socket, or to one NUMA node where a socket holds several (SNC, NPS)."""
    placement: Placement = Placement()
    memory: MemoryMode = "Strict"
    """Strict sets cpuset.mems; Preferred only while there is room; None pins CPUs only."""
    memory_headroom: Percent = "10%"
    """Share of the target NUMA nodes' memory that is kept free."""
    verification: Verification = Verification()


class NumaPolicyStatus(Wire):
    """Counts and acceptance, by the operator."""

    observed_generation: int | None = None
    matched: Annotated[int, Field(ge=0)] = 0
    """Opted-in pods that this policy applies to."""
    pinned: Annotated[int, Field(ge=0)] = 0
    """Of those, pods that the agent has pinned."""
    verified: Annotated[int, Field(ge=0)] = 0
    """Of those, pods whose verdict is Verified."""
    conditions: Conditions = []


class NumaPolicy(Resource):
    """Which opted-in pods are pinned how, and what counts as proof."""

    KIND: ClassVar[str] = "NumaPolicy"
    PLURAL: ClassVar[str] = "numapolicies"
    api_version: Literal["numapin.io/v1alpha1"] = "numapin.io/v1alpha1"
    kind: Literal["NumaPolicy"] = "NumaPolicy"
    spec: NumaPolicySpec = NumaPolicySpec()
    status: NumaPolicyStatus | None = None
