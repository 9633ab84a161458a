"""Which policy applies to a pod, and what its annotations change about it.

An annotation that is not understood never pins: the result is then ``Invalid`` with a
message for the user that names the annotation, its value and what is allowed. Where the
pod goes is not decided here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, get_args

from numapin_api.names import (
    ANNOTATIONS,
    DEFAULT_POLICY,
    GROUP,
    MEMORY_ANNOTATION,
    MODE_ANNOTATION,
    POLICY_ANNOTATION,
    SOCKET_ANNOTATION,
)
from numapin_api.policy import (
    Devices,
    Granularity,
    LabelSelector,
    LabelSelectorRequirement,
    MemoryMode,
    Mode,
    NumaPolicySpec,
    OnUnplaceable,
    Rebalance,
    Strategy,
    Verification,
    percent,
)
from numapin_api.topology import Topology
from numapin_operator.pods import MOST_LABELS, Pod
from numapin_operator.text import listed, quoted

INVALID_POLICY: Final = "(invalid)"
"""spec.policy of a pin whose annotations are not understood; no object can be named so."""

NEVER_MOVED: Final = Rebalance()

_SOCKET = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_T = TypeVar("_T", bound=str)


@dataclass(frozen=True, slots=True)
class Choice:
    """A policy with a pod's own wishes applied.

    Attributes:
        policy: name of the NumaPolicy, or ``(default)``.
        socket: the socket that the pod asks for, if it does.
        headroom_percent: share of the target NUMA nodes' memory that is kept free.
        devices: whether it goes to the socket of its devices.
        spread_replicas: whether pods of its workload are kept on different sockets.
        colocate: label whose value pods on one socket share.
        rebalance: when it may be moved.
    """

    policy: str
    mode: Mode
    granularity: Granularity
    strategy: Strategy
    on_unplaceable: OnUnplaceable
    memory: MemoryMode
    headroom_percent: int
    verification: Verification
    socket: int | None = None
    devices: Devices = "Prefer"
    spread_replicas: bool = False
    colocate: str | None = None
    rebalance: Rebalance = NEVER_MOVED


@dataclass(frozen=True, slots=True)
class Invalid:
    """The pod's annotations are not understood; it is not pinned."""

    reason: str
    message: str


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    """metav1 semantics: NotIn and DoesNotExist hold where the key is absent."""
    match requirement.operator:
        case "In":
            return labels.get(requirement.key) in requirement.values
        case "NotIn":
            return labels.get(requirement.key) not in requirement.values
        case "Exists":
            return requirement.key in labels
        case "DoesNotExist":
            return requirement.key not in labels


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; the empty selector selects all."""
    return all(labels.get(k) == v for k, v in selector.match_labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def policy_for(
    pod: Pod, *, namespace_labels: Mapping[str, str], policies: Mapping[str, NumaPolicySpec]
) -> str | None:
    """The name of the policy whose selectors match: highest priority, then first name."""
    names = [
        name
        for name, spec in policies.items()
        if matches(spec.pod_selector, pod.labels or {})
        and matches(spec.namespace_selector, namespace_labels)
    ]
    return min(names, key=lambda name: (-policies[name].priority, name), default=None)


def _word(
    name: str, value: str, kind: str, allowed: tuple[_T, ...], problems: list[str]
) -> _T | None:
    for word in allowed:
        if word == value:
            return word
    problems.append(f"{name}: {quoted(value)} is no {kind}; allowed: {listed(allowed)}")
    return None


def _socket(
    value: str, *, node: str | None, topology: Topology | None, problems: list[str]
) -> int | None:
    name = SOCKET_ANNOTATION
    known = None if topology is None else [s.id for s in topology.sockets]
    if _SOCKET.fullmatch(value) is None:
        allowed = "a socket number such as 0" if known is None else listed(known)
        problems.append(f"{name}: {quoted(value)} is no socket number; allowed: {allowed}")
        return None
    if known is not None and int(value) not in known:
        problems.append(
            f"{name}: {quoted(value)} is no socket of node {node}; allowed: {listed(known)}"
        )
        return None
    return int(value)


def select(
    pod: Pod,
    *,
    namespace_labels: Mapping[str, str],
    policies: Mapping[str, NumaPolicySpec],
    default: NumaPolicySpec,
    topology: Topology | None = None,
) -> Choice | Invalid:
    """Choose the policy of a pod and apply its annotations.

    Args:
        pod: the pod.
        namespace_labels: labels of its namespace.
        policies: all NumaPolicies by name.
        default: what applies when none matches.
        topology: of the pod's node; None while unknown, then a socket number is only
            checked to be a number.
    """
    annotations = pod.annotations or {}
    problems = [
        f"{quoted(name)} is no annotation of {GROUP}; allowed: {listed(ANNOTATIONS)}"
        for name in sorted(annotations)
        if name not in ANNOTATIONS
    ]
    reason = "InvalidAnnotation"
    if len(pod.labels or {}) > MOST_LABELS:
        problems.append(f"the pod has more labels than {MOST_LABELS}, so no policy can be chosen")
        reason = "TooManyLabels" if len(problems) == 1 else reason
    name = annotations.get(POLICY_ANNOTATION)
    if name is None:
        name = policy_for(pod, namespace_labels=namespace_labels, policies=policies)
    elif name not in policies:
        there = f"allowed: {listed(sorted(policies))}" if policies else "there is none"
        problems.append(f"{POLICY_ANNOTATION}: {quoted(name)} is no NumaPolicy; {there}")
        reason = "UnknownPolicy" if len(problems) == 1 else reason
    spec = policies.get(name, default) if name is not None else default

    socket: int | None = None
    if SOCKET_ANNOTATION in annotations:
        socket = _socket(
            annotations[SOCKET_ANNOTATION], node=pod.node, topology=topology, problems=problems
        )
    memory: MemoryMode | None = spec.memory
    if MEMORY_ANNOTATION in annotations:
        memory = _word(
            MEMORY_ANNOTATION,
            annotations[MEMORY_ANNOTATION],
            "memory mode",
            get_args(MemoryMode),
            problems,
        )
    mode: Mode | None = spec.mode
    if MODE_ANNOTATION in annotations:
        mode = _word(
            MODE_ANNOTATION, annotations[MODE_ANNOTATION], "mode", get_args(Mode), problems
        )
    if problems or memory is None or mode is None:
        return Invalid(reason if len(problems) == 1 else "InvalidAnnotation", "; ".join(problems))
    return Choice(
        policy=name if name is not None else DEFAULT_POLICY,
        mode=mode,
        granularity=spec.granularity,
        strategy=spec.placement.strategy,
        on_unplaceable=spec.placement.on_unplaceable,
        memory=memory,
        headroom_percent=percent(spec.memory_headroom),
        verification=spec.verification,
        socket=socket,
        devices=spec.placement.devices,
        spread_replicas=spec.placement.spread_replicas,
        colocate=spec.placement.colocate,
        rebalance=spec.placement.rebalance,
    )
