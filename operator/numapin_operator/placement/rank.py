"""Which place is best, of those that have room: wishes first, then the policy's strategy.

In this order: where the pod's devices are, where pods are that it talks to, where there are
fewest replicas of it, where its memory has room (not Strict: a Strict pod is given no other
place), the strategy, where its memory is already, the lower id. Everything but room is a wish:
none of it leaves a pod without a place. (devices Require is no wish; the planner leaves other
sockets out before it ranks.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from numapin_operator.placement.room import (
    SCORED_CPU_MILLIS,
    SCORED_MEMORY_BYTES,
    WHOLE,
    Place,
)
from numapin_operator.placement.values import Candidate, Pinned
from numapin_operator.select import Choice

USE_WEIGHT: Final = 2
"""Real use counts one part in so many, requests the rest: use says how it is, but lags when
many pods come at once; requests say what was promised."""

Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """How a place would be with the pod there; shares are millionths.

    Attributes:
        cpu: of CPUs taken, by requests and real use.
        memory: of memory taken, by requests and real use.
        local: bytes of the pod that are there already.
        off_device: 0 on the socket of its devices (or without any), 1 on another NUMA node
            of that socket, 2 elsewhere.
        together: pods there that it is to be with.
        replicas: pods there of the same workload.
    """

    cpu: int
    memory: int
    local: int
    off_device: int
    together: int
    replicas: int


def _blended(requested: int, used: int | None) -> int:
    return requested if used is None else (requested * (USE_WEIGHT - 1) + used) // USE_WEIGHT


def _cpu(place: Place, pod: Candidate, weight: int) -> int:
    """Share of CPUs taken once the pod is there."""
    capacity = max(1, place.cpu_capacity)
    millis = pod.requests.cpu_millis or SCORED_CPU_MILLIS
    requested = (weight + millis * WHOLE) // capacity
    busy = place.room.busy(place.mask)
    if busy is None:
        return requested
    here = pod.current is not None and place.socket in pod.current.sockets
    return _blended(requested, (busy + (0 if here else millis)) * WHOLE // capacity)


def _memory(place: Place, pod: Candidate, weight: int) -> int:
    """Share of memory taken once the pod is there."""
    total = place.memory_total
    if not place.mems or total <= 0:
        return 0
    wanted = pod.requests.memory_bytes or SCORED_MEMORY_BYTES
    requested = (weight + wanted) * WHOLE // total
    available = place.room.available(place.mems)
    if available is None:
        return requested
    more = max(wanted, pod.memory_need) - pod.at(place.mems)
    return _blended(requested, max(0, total - available + more) * WHOLE // total)


def _off_device(place: Place, pod: Candidate) -> int:
    if not pod.devices or pod.devices & place.mems:
        return 0
    owners = {place.room.node.topology.socket_of_node(n) for n in pod.devices}
    return 1 if owners & set(place.sockets) else 2


def score(place: Place, pod: Candidate, choice: Choice, pins: Iterable[Pinned]) -> Score:
    """How a place would be with the pod there.

    Args:
        place: one that could be given.
        pod: the pod.
        choice: its policy.
        pins: of the other pods on the node.
    """
    together = replicas = 0
    label = choice.colocate
    value = None if label is None else pod.labels.get(label)
    if value is not None or (choice.spread_replicas and pod.workload):
        for pin in pins:
            if not place.room.cells.covered(pin.spot) & place.mask:
                continue
            if choice.spread_replicas and pod.workload and pin.workload == pod.workload:
                replicas += 1
            if value is not None and pin.namespace == pod.namespace:
                together += pin.labels.get(label or "") == value
    cpu, memory = place.room.weight(place.mask)
    return Score(
        cpu=_cpu(place, pod, cpu),
        memory=_memory(place, pod, memory),
        local=pod.at(place.mems),
        off_device=0 if choice.devices == "Ignore" else _off_device(place, pod),
        together=together,
        replicas=replicas,
    )


def key(place: Place, found: Score, choice: Choice, *, lacks_memory: bool = False) -> Key:
    """A sort key, best first; total, so that equal inputs always give the same place.

    Args:
        place: the place.
        found: its score.
        choice: the pod's policy.
        lacks_memory: a Strict pin of the pod would have no room there.
    """
    fuller, both = max(found.cpu, found.memory), found.cpu + found.memory
    # What pins that bind no memory use is asked for nowhere; it shows in the share alone.
    over = 0 if choice.memory == "Strict" else max(0, found.memory - WHOLE)
    strategy: Sequence[int]
    match choice.strategy:
        case "Spread":
            strategy = (fuller, both, -found.local)
        case "Pack":
            # The fullest that still has room: what stays free elsewhere is one large hole.
            # Where it lacks everywhere, least beyond the whole first.
            strategy = (over, -fuller, -both, -found.local)
        case "FollowMemory":
            strategy = (-found.local, fuller, both)
    wishes = (found.off_device, -found.together, found.replicas)
    return (*wishes, lacks_memory, over > 0, *strategy, *place.order)
