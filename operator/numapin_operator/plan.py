"""Which socket (or NUMA node) a pod gets: a pure function of what is known.

It never promises more than a place has: the requests of all pods pinned inside stay within
its CPUs less the reserved ones and its memory less the headroom. Pods that are not opted in
are not counted by request, since the kernel moves them away; the memory they hold is, by
what the node reports as available.

It deliberately leaves a pod where it is pinned (moving memory costs more than imbalance),
does not look at a clock, and writes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.policy import Strategy
from numapin_operator.requests import NOTHING, Requests
from numapin_operator.room import Node, Pinned, Place, Spot, places
from numapin_operator.select import Choice
from numapin_operator.text import cores, listed, size


@dataclass(frozen=True, slots=True)
class Candidate:
    """The pod to be placed.

    Attributes:
        requests: as the scheduler counts.
        resident: bytes that it holds per NUMA node now, where known.
        current: where it is pinned already.
        cpu_limit_millis: most CPU it may use; None without limit.
    """

    requests: Requests = NOTHING
    resident: Mapping[int, int] = field(default_factory=dict)
    current: Spot | None = None
    cpu_limit_millis: int | None = None

    @property
    def memory_need(self) -> int:
        """Bytes that must fit: what it asks for, or what it already uses if that is more."""
        return max(self.requests.memory_bytes, sum(self.resident.values()))

    def at(self, mems: NodeSet) -> int:
        """Bytes that it holds on those NUMA nodes."""
        return sum(self.resident.get(n, 0) for n in mems)


@dataclass(frozen=True, slots=True)
class Placement:
    """The pod goes here.

    Attributes:
        socket: id of the socket.
        numa_node: the NUMA node, where the policy asks for one.
        cpus: all CPUs it may use.
        mems: NUMA nodes of its memory; None when only CPUs are pinned.
        message: where and why, for people.
    """

    socket: int
    numa_node: int | None
    cpus: CpuSet
    mems: NodeSet | None
    message: str

    @property
    def spot(self) -> Spot:
        """The room that it takes."""
        return Spot(self.socket, self.numa_node, memory=self.mems is not None)


@dataclass(frozen=True, slots=True)
class Unplaceable:
    """No place: ``reason`` is a condition reason, ``message`` has the numbers."""

    reason: str
    message: str


_Key = tuple[Fraction | int, ...]


def _rank(strategy: Strategy, pod: Candidate) -> Callable[[Place], _Key]:
    """A sort key, best first; total, so that equal inputs always give the same place."""

    def least_loaded(place: Place) -> _Key:
        cpu, memory = place.utilisation(pod.requests)
        return max(cpu, memory), cpu + memory, -pod.at(place.mems), *place.order

    def best_fit(place: Place) -> _Key:
        cpu, memory = place.utilisation(pod.requests)
        return -max(cpu, memory), -(cpu + memory), -pod.at(place.mems), *place.order

    def follow(place: Place) -> _Key:
        return -pod.at(place.mems), *least_loaded(place)

    return {"Spread": least_loaded, "Pack": best_fit, "FollowMemory": follow}[strategy]


@dataclass(frozen=True, slots=True)
class _Case:
    """One question: where does this pod go on this node under this policy?"""

    node: Node
    pod: Candidate
    choice: Choice

    @property
    def unit(self) -> str:
        return "socket" if self.choice.granularity == "Socket" else "NUMA node"

    @property
    def why(self) -> str:
        return self.choice.strategy if self.choice.socket is None else "asked for by annotation"

    def available(self, place: Place) -> int | None:
        """Bytes that can really be had there; None where the node does not say."""
        if not place.mems or any(n not in self.node.available for n in place.mems):
            return None
        return sum(self.node.available[n] for n in place.mems)

    def memory_fits(self, place: Place) -> bool:
        """Whether a Strict pin is safe: by requests, and by what can really be had there."""
        percent = self.choice.headroom_percent
        if not place.mems:
            return False
        if not place.takes_memory(self.pod.memory_need, headroom_percent=percent):
            return False
        there = self.available(place)
        if there is None:
            return True
        spare = max(0, there - place.memory_total * percent // 100)
        return self.pod.memory_need - self.pod.at(place.mems) <= spare

    def placed(self, place: Place, why: str, *, mems: bool) -> Placement:
        text = f"{place.label} of node {self.node.name}: CPUs {place.cpus}"
        text += f", memory of NUMA nodes {place.mems}" if mems else ", memory not bound"
        text += f" ({why})"
        limit = self.pod.cpu_limit_millis
        if limit is not None and limit > place.cpu_capacity:
            text += (
                f"; the pod's CPU limit of {cores(limit)} "
                f"can't be used up on {cores(place.cpu_capacity)} CPUs"
            )
        return Placement(
            socket=place.socket,
            numa_node=place.numa_node,
            cpus=place.cpus,
            mems=place.mems if mems else None,
            message=text,
        )

    def no_room(self, candidates: Sequence[Place]) -> Unplaceable:
        """Why none of the candidates will do, with what each has left."""
        strict = self.choice.memory == "Strict"
        if strict and not any(p.mems for p in candidates):
            return Unplaceable(
                "SharedNumaNode",
                f"on node {self.node.name} no NUMA node belongs to "
                f"{listed(p.label for p in candidates)} alone, so memory can't be bound; "
                "memory None pins CPUs only",
            )
        wanted = f"{cores(self.pod.requests.cpu_millis)} CPU"
        kept = ""
        if strict:
            wanted += f" and {size(self.pod.memory_need)} of memory"
            kept = f" with {self.choice.headroom_percent}% of memory kept free"
        details: list[str] = []
        for place in candidates:
            there = self.available(place)
            seen = "" if there is None else f" ({size(there)} of memory available)"
            details.append(place.left(self.choice.headroom_percent) + seen)
        return Unplaceable(
            "NoRoom",
            f"no {self.unit} of node {self.node.name} has room for {wanted}{kept}: "
            f"{'; '.join(details)}"
            if self.choice.socket is None
            else f"socket {self.choice.socket} of node {self.node.name}, asked for by annotation, "
            f"has no room for {wanted}{kept}: {'; '.join(details)}",
        )

    def stay(self, candidates: Sequence[Place]) -> Placement | None:
        """Keep the place that the pod has; bind or release memory as the policy says now."""
        current = self.pod.current
        if current is None:
            return None
        # A whole socket is also where a pod of one of its NUMA nodes may stay.
        same = (current.numa_node, None)
        place = next(
            (p for p in candidates if p.socket == current.socket and p.numa_node in same), None
        )
        if place is None:
            return None
        if self.choice.memory != "Strict":
            return self.unbound(place)
        if place.mems and (current.memory or self.memory_fits(place)):
            return self.placed(place, self.why, mems=True)
        if self.choice.on_unplaceable == "CpuOnly":
            return self.cpus_only(place, candidates)
        return None

    def unbound(self, place: Place) -> Placement:
        """Memory None binds no memory; Preferred does, and the agent lets go in time."""
        return self.placed(
            place, self.why, mems=self.choice.memory == "Preferred" and bool(place.mems)
        )

    def cpus_only(self, place: Place, candidates: Sequence[Place]) -> Placement:
        """What is left when memory has no room and the policy says CpuOnly."""
        return self.placed(place, f"CPUs only: {self.no_room(candidates).message}", mems=False)

    def choose(self, candidates: Sequence[Place]) -> Placement | Unplaceable:
        """The best of the places that have room; on the pod's own socket, if it has one."""
        rank, current = _rank(self.choice.strategy, self.pod), self.pod.current
        fitting = sorted(
            (p for p in candidates if p.takes_cpu(self.pod.requests.cpu_millis)),
            key=lambda p: (current is not None and p.socket != current.socket, rank(p)),
        )
        strict = self.choice.memory == "Strict"
        if fitting and not strict:
            return self.unbound(fitting[0])
        roomy = next((p for p in fitting if self.memory_fits(p)), None) if strict else None
        if roomy is not None:
            return self.placed(roomy, self.why, mems=True)
        if fitting and self.choice.on_unplaceable == "CpuOnly":
            return self.cpus_only(fitting[0], candidates)
        return self.no_room(candidates)


def plan(
    node: Node, pins: Sequence[Pinned], pod: Candidate, choice: Choice
) -> Placement | Unplaceable:
    """Decide where a pod goes.

    Args:
        node: the node it runs on.
        pins: the pins of all other pods on that node, in any order.
        pod: the pod, with the place it has.
        choice: its policy, annotations applied.

    Returns:
        A placement within capacity, or the reason why there is none.
    """
    case = _Case(node, pod, choice)
    everywhere = places(node, pins, choice.granularity)
    if len(everywhere) == 1 and len(node.topology.sockets) == 1:
        return Unplaceable(
            "SingleSocket",
            f"node {node.name} has one {case.unit}: there is nothing to keep the pod away from",
        )
    candidates = [p for p in everywhere if choice.socket in (None, p.socket)]
    if not candidates:
        where = f"node {node.name}" if choice.socket is None else f"socket {choice.socket}"
        return Unplaceable(
            "NoPlace",
            f"{where} has no CPUs for pods"
            if choice.granularity == "Socket"
            else f"{where} has no NUMA node with CPUs for pods and memory of its own",
        )
    return case.stay(candidates) or case.choose(candidates)
