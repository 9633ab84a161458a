"""What is known of each pod that could be labelled: its spec, its counters, its node. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_api.policy import NumaPolicySpec
from numapin_cli.live.rates import Rates
from numapin_cli.live.values import Counts, Key, PodReading
from numapin_operator.placement.read import read_machine
from numapin_operator.placement.values import Node, Pinned, Spot
from numapin_operator.pods import Pod, owner, read_pod
from numapin_operator.requests import quantity
from numapin_operator.select import Choice, Invalid, select

Json = Mapping[str, Any]

MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of the API's image of a static pod; only the kubelet can change the pod itself."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A node as far as advice needs it.

    Attributes:
        node: for the planner; None while its agent has not reported.
        pins: of its pods.
        balancing: whether the kernel's NUMA balancing is on; None where that is not known.
    """

    node: Node | None
    pins: tuple[Pinned, ...] = ()
    balancing: bool | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What was counted of a pod before the window.

    Attributes:
        totals: since counting began.
        seconds: since then, or since the pod was made if that is later; None where the agent
            does not say when it began.
    """

    totals: Counts
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A running pod without the label.

    Attributes:
        pod: as the planner reads it.
        choice: how it would be pinned where no NumaPolicy says otherwise.
        node: that it runs on.
        owner: kind and name of what makes such pods; None for a pod of its own.
        static: made by a kubelet from a file.
        memory_limit: bytes; None if any container has none.
        reading: of its agent, the latest; None where there is none.
        rates: over the window; None where it was not counted at both ends.
        history: before; None without counters.
    """

    pod: Pod
    choice: Choice | Invalid
    node: str
    owner: tuple[str, str] | None = None
    static: bool = False
    memory_limit: int | None = None
    reading: PodReading | None = None
    rates: Rates | None = None
    history: History | None = None


def machine(node: NumaNode, pins: Iterable[Pinned] = ()) -> Machine:
    """What a NumaNode says.

    Args:
        node: as its agent wrote it.
        pins: of its pods.
    """
    status = node.status
    balancing = status.capabilities.numa_balancing if status and status.capabilities else None
    if status is None or status.topology is None:
        return Machine(None, tuple(pins), balancing)
    return Machine(read_machine(node), tuple(pins), balancing)


def pinned(pins: Iterable[NumaPin], pods: Iterable[Json]) -> Mapping[str, tuple[Pinned, ...]]:
    """What pins take of each node.

    Args:
        pins: of all namespaces.
        pods: with the label, of all namespaces.
    """
    asked = {p.uid: p.requests for p in map(read_pod, pods) if not p.finished}
    found: dict[str, tuple[Pinned, ...]] = {}
    for pin in pins:
        spec = pin.spec
        if spec.socket is None or spec.mode != "Enforce" or spec.pod_uid not in asked:
            continue
        # A pin of one NUMA node takes its room in the socket around as well.
        also = tuple(s for s in spec.sockets or () if s != spec.socket)
        spot = Spot(spec.socket, memory=spec.mems is not None, also=also)
        found[spec.node_name] = (
            *found.get(spec.node_name, ()),
            Pinned(spot, asked[spec.pod_uid]),
        )
    return found


def labelled(pod: Json) -> bool:
    """Whether a pod asks to be pinned already."""
    return (pod["metadata"].get("labels") or {}).get(PIN_LABEL) == PIN_LABEL_VALUE


def subject(
    obj: Json,
    *,
    reading: PodReading | None = None,
    rates: Rates | None = None,
    history: History | None = None,
) -> Subject | None:
    """What is known of a pod; None if it can't be labelled any more, or is already.

    Args:
        obj: a v1 Pod as the API server sends it.
        reading: of its agent.
        rates: over the window.
        history: before it.

    Raises:
        ValueError: a quantity in it is malformed.
    """
    pod = read_pod(obj)
    if labelled(obj) or not pod.running or pod.terminating or pod.node is None:
        return None
    return Subject(
        pod=pod,
        choice=select(pod, namespace_labels={}, policies={}, default=NumaPolicySpec()),
        node=pod.node,
        owner=owner(obj["metadata"]),
        static=MIRROR in (obj["metadata"].get("annotations") or {}),
        memory_limit=memory_limit(obj["spec"]),
        reading=reading,
        rates=rates,
        history=history,
    )


def key(obj: Json) -> Key:
    """Namespace and name of a pod."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def memory_limit(spec: Json) -> int | None:
    """Bytes that a pod may use at most; None if any container has no limit.

    Args:
        spec: of the pod.

    Raises:
        ValueError: a quantity is malformed.
    """
    whole = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    if whole is not None:
        return quantity(whole)
    limits = [
        ((c.get("resources") or {}).get("limits") or {}).get("memory")
        for c in spec.get("containers") or ()
    ]
    return None if None in limits else sum(map(quantity, limits))
