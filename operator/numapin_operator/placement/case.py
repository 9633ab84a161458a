"""One pod asking for a place on one node: what will do, what is best, and what is said of it.

The rules of ``plan``, which see for what they promise. Which of several pods has to go where
all together ask for more than there is, they don't say: ``crowd`` does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from numapin_api.cpulist import NodeSet
from numapin_operator.placement import rank
from numapin_operator.placement.room import MEMORY, Place, Room, numa_nodes, sockets, whole
from numapin_operator.placement.split import split
from numapin_operator.placement.values import Candidate, Node, Pinned, Placement, Unplaceable
from numapin_operator.select import Choice
from numapin_operator.text import cores, listed, size


@dataclass(frozen=True, slots=True)
class Option:
    """A place that was weighed, for people who ask why.

    Attributes:
        place: the place.
        score: how it would be with the pod there.
        obstacle: why it is none for this pod; empty if it has room.
    """

    place: Place
    score: rank.Score
    obstacle: str


@dataclass(frozen=True, slots=True)
class Case:
    """One question: where does this pod go on this node under this policy?

    Attributes:
        room: of the node with the pins of all other pods.
        pins: the same pins.
        pod: the pod, with the place it has.
        choice: its policy, annotations applied.
        keep: it leaves no place only because all pods there together ask for too much.
    """

    room: Room
    pins: Sequence[Pinned]
    pod: Candidate
    choice: Choice
    keep: bool = False

    @property
    def node(self) -> Node:
        """The node."""
        return self.room.node

    @property
    def strict(self) -> bool:
        """Whether memory is bound there and nowhere else."""
        return self.choice.memory == "Strict"

    @property
    def unit(self) -> str:
        """What the policy gives, as people call it."""
        return "socket" if self.choice.granularity == "Socket" else "NUMA node"

    @property
    def device_sockets(self) -> frozenset[int]:
        """Sockets that the pod's devices belong to, where the policy looks at them."""
        if self.choice.devices == "Ignore":
            return frozenset()
        owners = (self.node.topology.socket_of_node(n) for n in self.pod.devices)
        return frozenset(s for s in owners if s is not None)

    @property
    def required(self) -> frozenset[int]:
        """Sockets that must be among the pod's."""
        asked = frozenset(() if self.choice.socket is None else (self.choice.socket,))
        return asked | self.device_sockets if self.choice.devices == "Require" else asked

    @property
    def homeless(self) -> NodeSet:
        """NUMA nodes of its devices that belong to no socket, where the policy requires theirs.

        Memory-only ones, ones whose CPUs are all offline, or ones that the node doesn't have.
        """
        owner = self.node.topology.socket_of_node
        required = self.choice.devices == "Require"
        return NodeSet(n for n in self.pod.devices if required and owner(n) is None)

    def why(self, place: Place) -> str:
        """Why this place; the same when the pod is looked at again, or its pin is rewritten."""
        asked = self.choice.socket is not None
        said = "asked for by annotation" if asked else str(self.choice.strategy)
        if not asked and self.device_sockets & set(place.sockets):
            said += ", with its devices"
        if place.also:
            said += ", Split: no socket has room for it"
        elif place.numa_node is None and self.choice.granularity == "NumaNode":
            said += ", no NUMA node of it has room"
        return said

    # -- whether a place will do ----------------------------------------------------------

    def memory_fits(self, place: Place) -> bool:
        """Whether a Strict pin is safe: by requests, and by what can really be had there."""
        percent = self.choice.headroom_percent
        if not place.mems:
            return False
        if not place.takes_memory(self.pod.memory_need, headroom_percent=percent):
            return False
        if not self.hugepages_fit(place):
            return False
        there = self.room.available(place.mems)
        if there is None:
            return True
        spare = max(0, there - place.memory_total * percent // 100)
        return self.pod.memory_need - self.pod.at(place.mems) <= spare

    def hugepages_fit(self, place: Place) -> bool:
        """Whether the huge pages that it asks for are there."""
        current = self.pod.current
        held = current is not None and current.memory and set(current.sockets) <= {*place.sockets}
        return place.takes_hugepages(self.pod.requests, held=held)

    def takes_cpu(self, place: Place) -> bool:
        """Whether its CPUs fit, by requests."""
        return place.takes_cpu(self.pod.requests.cpu_millis)

    def fits(self, place: Place) -> bool:
        """Whether a place will do, its own one apart."""
        return self.takes_cpu(place) and (not self.strict or self.memory_fits(place))

    def key(self, place: Place) -> rank.Key:
        """Sorts places, best first."""
        # A Strict pod is given no place that lacks memory, so that it needs no order among them.
        lacks = not self.strict and not self.memory_fits(place)
        return rank.key(place, self.score(place), self.choice, lacks_memory=lacks)

    def score(self, place: Place) -> rank.Score:
        """How a place would be with the pod there."""
        return rank.score(place, self.pod, self.choice, self.pins)

    # -- what is said ----------------------------------------------------------------------

    def placed(self, place: Place, why: str, *, mems: bool) -> Placement:
        """The pod in a place, with what is said of that."""
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
            also=place.also,
            lenient=mems and not self.strict,
        )

    def left(self, place: Place) -> str:
        """What a place has left, for people."""
        there = self.room.available(place.mems)
        seen = "" if there is None else f" ({size(there)} of memory available)"
        pages = ""
        if self.pod.requests.hugepages and not self.hugepages_fit(place):
            pages = ", too few free huge pages"
        return place.left(self.choice.headroom_percent) + seen + pages

    def no_room(self, candidates: Sequence[Place]) -> Unplaceable:
        """Why none of the candidates will do, with what each has left."""
        if self.strict and not any(p.mems for p in candidates):
            return Unplaceable(
                "SharedNumaNode",
                f"on node {self.node.name} no NUMA node belongs to "
                f"{listed(p.label for p in candidates)} alone, so memory can't be bound; "
                "memory None pins CPUs only",
            )
        wanted = f"{cores(self.pod.requests.cpu_millis)} CPU"
        kept = ""
        if self.strict:
            wanted += f" and {size(self.pod.memory_need)} of memory"
            kept = f" with {self.choice.headroom_percent}% of memory kept free"
            for page, amount in self.pod.requests.hugepages:
                wanted += f" and {size(amount)} of {size(page)} huge pages"
        details = "; ".join(map(self.left, candidates))
        who = f"no {self.unit} of node {self.node.name} has room"
        if self.choice.socket is not None:
            who = f"socket {self.choice.socket} of node {self.node.name}, asked for by annotation,"
            who += " has no room"
        elif self.required:
            who = f"socket {listed(sorted(self.required))} of node {self.node.name}, where the "
            who += "pod's devices are, has no room"
        return Unplaceable("NoRoom", f"{who} for {wanted}{kept}: {details}")

    # -- deciding --------------------------------------------------------------------------

    def candidates(self) -> tuple[Place, ...]:
        """The places of the policy's granularity that the pod may have, best order unknown."""
        socket = self.choice.granularity == "Socket"
        found = sockets(self.room) if socket else numa_nodes(self.room)
        return tuple(p for p in found if self.required <= set(p.sockets))

    def wider(self) -> tuple[Place, ...]:
        """Sockets for pods that no NUMA node holds; none on a machine of one socket."""
        if self.choice.granularity == "Socket" or len(self.node.topology.sockets) == 1:
            return ()
        return tuple(p for p in sockets(self.room) if self.required <= set(p.sockets))

    def stay(self, place: Place, candidates: Sequence[Place]) -> Placement | None:
        """Keep the place that the pod has; bind or release memory as the policy says now."""
        current = self.pod.current
        if not self.strict:
            return self.unbound(place)
        if place.mems and ((current is not None and current.memory) or self.memory_fits(place)):
            return self.placed(place, self.why(place), mems=True)
        if self.choice.on_unplaceable == "CpuOnly":
            return self.cpus_only(place, candidates)
        return None

    def kept(self, candidates: Sequence[Place]) -> Place | None:
        """The place that the pod has, if it may be there and alone asks for no more than it has."""
        current = self.pod.current
        if current is None or not self.required <= set(current.sockets):
            return None
        place = self.same(candidates)
        return None if place is None or self.outgrown(place) else place

    @property
    def bound(self) -> int:
        """Bytes that the pod keeps where it is, by requests."""
        current = self.pod.current
        keeps = self.strict and current is not None and current.memory
        return self.pod.requests.memory_bytes if keeps else 0

    def outgrown(self, place: Place) -> bool:
        """Whether the pod alone asks for more than there is in the place that it has."""
        cpu = self.pod.requests.cpu_millis
        return cpu > place.cpu_capacity or self.bound > place.memory_total

    def crowded(self, place: Place) -> bool:
        """Whether all pods together ask for more than there is in the place that it has.

        By requests alone, without headroom: what pods use is for ``rebalance`` to weigh. Memory
        that a neighbour lets go of in time (Preferred) drives nobody out.
        """
        if self.pod.requests.cpu_millis and not self.takes_cpu(place):
            return True
        if place.takes_memory(self.bound, headroom_percent=0) or not self.bound:
            return False
        firm = Room(self.node, [p for p in self.pins if not p.spot.lenient])
        return self.bound > firm.left(place.mask, MEMORY)

    def may_leave(self, place: Place) -> bool:
        """Whether the pod may go for a crowd: not off the socket of its devices."""
        return not (self.keep or self.homeless or self.device_sockets & set(place.sockets))

    def same(self, candidates: Sequence[Place]) -> Place | None:
        """The place that the pod has, as it is now."""
        current = self.pod.current
        if current is None:
            return None
        if current.also:
            return whole(self.room, current.sockets) if self.splits else None
        # A whole socket is also where a pod of one of its NUMA nodes may stay.
        held = (current.numa_node, None)
        own = [p for p in candidates if p.socket == current.socket]
        place = next((p for p in own if p.numa_node in held), None)
        if place is not None or current.numa_node is not None:
            return place
        # Granularity NumaNode, and it has a socket: one NUMA node inside, as soon as one holds it.
        if any(self.fits(p) for p in own):
            return None
        return next((p for p in self.wider() if p.socket == current.socket), None)

    @property
    def splits(self) -> bool:
        """Whether it may have several sockets."""
        return self.choice.on_unplaceable == "Split" and self.choice.socket is None

    def unbound(self, place: Place) -> Placement:
        """Memory None binds no memory; Preferred does, and the agent lets go in time.

        It can't let go of huge pages in time: a page fault without any is SIGBUS.
        """
        mems = self.choice.memory == "Preferred" and bool(place.mems) and self.hugepages_fit(place)
        return self.placed(place, self.why(place), mems=mems)

    def cpus_only(self, place: Place, candidates: Sequence[Place]) -> Placement:
        """What is left when memory has no room and the policy says CpuOnly."""
        return self.placed(place, f"CPUs only: {self.no_room(candidates).message}", mems=False)

    def choose(self, candidates: Sequence[Place]) -> Placement | Unplaceable:
        """The best of the places that have room; on the pod's own socket, if it has one."""
        if self.homeless:
            return self.astray()
        best = self.best(candidates, self.fits) or self.best(self.wider(), self.fits)
        own = None if self.pod.current is None else self.pod.current.socket
        if best is not None and own is not None and best.socket != own:
            # Its own socket as a whole, before a NUMA node elsewhere.
            best = self.best([p for p in self.wider() if p.socket == own], self.fits) or best
        if best is None and self.choice.on_unplaceable == "CpuOnly":
            loose = self.best([*candidates, *self.wider()], self.takes_cpu)
            if loose is not None:
                return self.cpus_only(loose, candidates)
        if best is None and self.splits:
            best = split(self.room, wanted=self.required, holds=self.fits, rank=self.key)
        if best is None:
            return self.no_room(candidates) if candidates else self.apart()
        return self.placed(best, self.why(best), mems=True) if self.strict else self.unbound(best)

    def best(self, among: Sequence[Place], holds: Callable[[Place], bool]) -> Place | None:
        """The best of some places that have room, on the pod's own socket if one has."""
        current = self.pod.current
        fitting = [p for p in among if holds(p)]
        if not fitting:
            return None
        if current is not None:
            own = [p for p in fitting if p.socket == current.socket]
            fitting = own or fitting
        return fitting[0] if len(fitting) == 1 else min(fitting, key=self.key)

    def astray(self) -> Unplaceable:
        """The pod must be on the socket of its devices, and they are on none."""
        return Unplaceable(
            "DevicesUnknown",
            f"placement.devices is Require, and NUMA nodes {self.homeless} of node "
            f"{self.node.name}, which the pod's devices are on, belong to no socket (they have no "
            "CPUs); Prefer or Ignore pins it all the same",
        )

    def apart(self) -> Unplaceable:
        """The pod must be on sockets that are not one."""
        return Unplaceable(
            "DevicesApart",
            f"the pod's devices are on NUMA nodes {self.pod.devices} of node {self.node.name}, "
            f"and it must be on socket {listed(sorted(self.required))}: no place is there; "
            "placement.devices Prefer or Ignore pins it all the same",
        )

    def nowhere(self) -> Unplaceable | None:
        """Why there is no place at all, whatever the pod asks for."""
        socket, node = self.choice.granularity == "Socket", self.node.name
        everywhere = sockets(self.room) if socket else numa_nodes(self.room)
        if len(everywhere) == 1 and len(self.node.topology.sockets) == 1:
            return Unplaceable(
                "SingleSocket",
                f"node {node} has one {self.unit}: there is nothing to keep the pod away from",
            )
        asked = self.choice.socket
        if any(asked in (None, p.socket) for p in everywhere):
            return None
        where = f"node {node}" if asked is None else f"socket {asked}"
        return Unplaceable(
            "NoPlace",
            f"{where} has no CPUs for pods"
            if socket
            else f"{where} has no NUMA node with CPUs for pods and memory of its own",
        )

    def decide(self) -> Placement | Unplaceable:
        """The answer."""
        nowhere = self.nowhere()
        if nowhere is not None:
            return nowhere
        candidates = self.candidates()
        place = self.kept(candidates)
        crowded = place is not None and self.crowded(place)
        if place is not None and crowded and self.may_leave(place):
            # Where it fits nowhere else, it stays.
            place = None if any(map(self.fits, (*candidates, *self.wider()))) else place
        found = (None if place is None else self.stay(place, candidates)) or self.choose(candidates)
        return replace(found, crowded=True) if crowded and isinstance(found, Placement) else found

    def weighed(self) -> Iterator[Option]:
        """Every place that could be given, with what speaks against it."""
        level = self.choice.granularity == "Socket"
        own = sockets(self.room) if level else numa_nodes(self.room)
        for place in (*own, *self.wider()):
            obstacle = ""
            if self.homeless:
                obstacle = f"its devices are on NUMA nodes {self.homeless}, which have no socket"
            elif not self.required <= set(place.sockets):
                obstacle = f"it must be on socket {listed(sorted(self.required))}"
            elif not self.takes_cpu(place):
                obstacle = f"no room for its CPU: {place.left(self.choice.headroom_percent)}"
            elif self.strict and not self.memory_fits(place):
                obstacle = f"no room for its memory: {self.left(place)}"
            yield Option(place, self.score(place), obstacle)
