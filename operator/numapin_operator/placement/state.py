"""A node's pins as they are, and as they would be after some moves. Pure.

What moves change is kept apart from what they don't: where each pod is, what is available on
each NUMA node, what each socket is busy with. Which moves are worth making is decided in
``search``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from numapin_operator.placement.plan import plan, plan_in
from numapin_operator.placement.room import CPU, MEMORY, WHOLE, Room, sockets
from numapin_operator.placement.values import (
    Candidate,
    Node,
    Pinned,
    Placement,
    Spot,
    Unplaceable,
)
from numapin_operator.select import Choice


@dataclass(frozen=True, slots=True)
class Tenant:
    """A pod on the node: one that is pinned, or one that waits for room.

    Attributes:
        name: namespace and name; tells pods apart and orders equals.
        pod: what it needs and where its memory is; ``current`` is where it is pinned.
        choice: its policy, annotations applied.
        cpu_millis: CPU time that it takes; None where not known.
        movable: it may be moved now.
        in_vain: it was moved once, and that has not helped.
        least_load: it is moved off a socket only while so many millionths of that are in use.
    """

    name: str
    pod: Candidate
    choice: Choice
    cpu_millis: int | None = None
    movable: bool = True
    in_vain: bool = False
    least_load: int = 0

    @property
    def use(self) -> tuple[int, int]:
        """Millicores and bytes that go with it; what it asks for where use is not known."""
        cpu = self.pod.requests.cpu_millis if self.cpu_millis is None else self.cpu_millis
        held = sum(self.pod.resident.values())
        return cpu, held or self.pod.requests.memory_bytes

    def pinned(self, spot: Spot) -> Pinned:
        """Its pin, were it there."""
        pod = self.pod
        return Pinned(spot, pod.requests, pod.workload, pod.namespace, pod.labels)


@dataclass(frozen=True)
class State:
    """Where all pods are.

    Attributes:
        node: with what is available and busy in this state.
        spots: of every pinned pod, by name.
        tenants: by name.
        steps: the moves that led here: name, socket before, socket after.
        bytes_moved: by these.
    """

    node: Node
    spots: Mapping[str, Spot]
    tenants: Mapping[str, Tenant]
    steps: tuple[tuple[str, int, int], ...] = ()
    bytes_moved: int = 0

    def pins(self, but: str = "") -> list[Pinned]:
        """The pins in this state, without that of one pod."""
        return [self.tenants[n].pinned(s) for n, s in self.spots.items() if n != but]

    @cached_property
    def room(self) -> Room:
        """What is left with all pins in place."""
        return Room(self.node, self.pins())

    @cached_property
    def loads(self) -> Mapping[int, int]:
        """Millionths of each socket's fuller resource in use."""
        room = self.room
        uses = [(self.tenants[n].use, s.sockets) for n, s in self.spots.items()]
        found: dict[int, int] = {}
        for place in sockets(room):
            cpu = room.busy(place.mask)
            there = room.available(place.mems)
            mine = [(use, len(where)) for use, where in uses if place.socket in where]
            used = sum(u[0] // parts for u, parts in mine) if cpu is None else cpu
            held = (
                sum(u[1] // parts for u, parts in mine)
                if there is None
                else place.memory_total - there
            )
            shares = [used * WHOLE // max(1, place.cpu_capacity)]
            if place.memory_total:
                shares.append(max(0, held) * WHOLE // place.memory_total)
            # Promised more than there is: that is too much, whatever is in use.
            asked = place.cpu_used * WHOLE // max(1, place.cpu_capacity)
            wanted = room.taken(place.mask, MEMORY) * WHOLE // max(1, place.memory_total)
            shares += [share for share in (asked, wanted) if share > WHOLE]
            found[place.socket] = max(shares)
        return found

    @cached_property
    def steepness(self) -> tuple[int, ...]:
        """Loads, highest first: of two states the smaller one is the better balanced."""
        return tuple(sorted(self.loads.values(), reverse=True))

    @property
    def floor(self) -> int:
        """What the highest load can't be brought below by any moves: all sockets alike."""
        places = sockets(self.room)
        cpus = max(1, sum(p.cpu_capacity for p in places))
        memory = max(1, sum(p.memory_total for p in places))
        busy = [self.room.busy(p.mask) for p in places]
        there = [self.room.available(p.mems) for p in places]
        uses = [self.tenants[n].use for n in self.spots]
        used = [b for b in busy if b is not None]
        free = [a for a in there if a is not None]
        cpu = sum(used) if len(used) == len(places) else sum(u[0] for u in uses)
        held = memory - sum(free) if len(free) == len(places) else sum(u[1] for u in uses)
        return max(cpu * WHOLE // cpus, held * WHOLE // memory)

    @property
    def peak(self) -> int:
        """The highest load."""
        return self.steepness[0] if self.steepness else 0

    def places(self, tenant: Tenant) -> Placement | Unplaceable:
        """Where a pod that has no place would go in this state."""
        return plan(self.node, self.pins(tenant.name), tenant.pod, tenant.choice)

    def free(self, tenant: Tenant) -> list[tuple[int, int, int, int]]:
        """Of each socket, what is left for a pod, and what it has: millicores and bytes."""
        room, percent = Room(self.node, self.pins(tenant.name)), tenant.choice.headroom_percent
        return [
            (
                room.left(p.mask, CPU),
                room.left(p.mask, MEMORY, headroom_percent=percent),
                p.cpu_capacity,
                p.memory_total,
            )
            for p in sockets(room)
        ]

    def _company(self, tenant: Tenant, socket: int) -> tuple[int, int]:
        """Other pods on a socket: replicas of this one, and those that it is to be with."""
        pod, choice = tenant.pod, tenant.choice
        value = None if choice.colocate is None else pod.labels.get(choice.colocate)
        there = [
            self.tenants[name].pod
            for name, spot in self.spots.items()
            if name != tenant.name and socket in spot.sockets
        ]
        replicas = sum(other.workload == pod.workload for other in there)
        together = sum(
            other.namespace == pod.namespace and other.labels.get(choice.colocate or "") == value
            for other in there
        )
        return (
            replicas if choice.spread_replicas and pod.workload else 0,
            together if value is not None else 0,
        )

    def _keeps_company(self, tenant: Tenant, to: int) -> bool:
        """Whether a move goes against none of the pod's wishes for its neighbours."""
        if not tenant.choice.spread_replicas and tenant.choice.colocate is None:
            return True
        replicas, together = self._company(tenant, self.spots[tenant.name].socket)
        more, fewer = self._company(tenant, to)
        return more <= replicas and fewer >= together

    def moved(self, tenant: Tenant, to: int) -> "State | None":
        """The state after a move; None if the socket has no room for the pod.

        Nor where it would have more replicas of it beside it than before (``spreadReplicas``), or
        fewer of the pods that it belongs to (``colocate``).

        Args:
            tenant: a pinned pod.
            to: the socket.
        """
        spot = self.spots[tenant.name]
        if not self._keeps_company(tenant, to):
            return None
        choice = replace(tenant.choice, socket=to, on_unplaceable="Skip")
        pins = self.pins(tenant.name) if choice.granularity == "NumaNode" else ()
        self.room.put(spot, tenant.pod.requests, sign=-1)
        found = plan_in(self.room, pins, replace(tenant.pod, current=None), choice)
        self.room.put(spot, tenant.pod.requests)
        if isinstance(found, Unplaceable) or (spot.memory and not found.spot.memory):
            return None
        cpu, held = tenant.use
        busy = dict(self.node.busy)
        if spot.socket in busy and to in busy:
            busy[spot.socket] = max(0, busy[spot.socket] - cpu)
            busy[to] += cpu
        available = dict(self.node.available)
        resident, going = tenant.pod.resident, 0
        if found.mems is not None:
            leaving = {n: b for n, b in resident.items() if n not in found.mems}
            going = sum(leaving.values())
            for node, amount in leaving.items():
                if node in available:
                    available[node] += amount
            _take(available, sorted(found.mems), going)
            if not resident:
                going = held
        return State(
            node=replace(self.node, busy=busy, available=available),
            spots={**self.spots, tenant.name: found.spot},
            tenants=self.tenants,
            steps=(*self.steps, (tenant.name, spot.socket, to)),
            bytes_moved=self.bytes_moved + going,
        )

    def after_each(self) -> Iterator["State"]:
        """Every state that one more move leads to; no pod is moved twice."""
        done = {name for name, _, _ in self.steps}
        for name in sorted(self.spots):
            tenant, spot = self.tenants[name], self.spots[name]
            if name in done or spot.also or not tenant.movable:
                continue
            if self.loads.get(spot.socket, 0) < tenant.least_load:
                continue
            for to in sorted(self.loads):
                if to == spot.socket:
                    continue
                found = self.moved(tenant, to)
                if found is not None:
                    yield found

    @property
    def identity(self) -> tuple[tuple[str, int], ...]:
        """The same for states that the same moves in another order lead to."""
        return tuple(sorted((name, to) for name, _, to in self.steps))


def _take(available: dict[int, int], nodes: Sequence[int], amount: int) -> None:
    """Take memory where there is most of it, node by node."""
    known = [n for n in nodes if n in available]
    for node in sorted(known, key=lambda n: -available[n]):
        part = min(amount, available[node])
        available[node] -= part
        amount -= part


def begin(node: Node, pinned: Sequence[Tenant], waiting: Sequence[Tenant] = ()) -> State:
    """The state as it is.

    Args:
        node: the node.
        pinned: pods with a place (``pod.current``).
        waiting: pods without.
    """
    return State(
        node=node,
        spots={t.name: t.pod.current for t in pinned if t.pod.current is not None},
        tenants={t.name: t for t in (*pinned, *waiting)},
    )


def carry_out(
    node: Node, pinned: Sequence[Tenant], moves: Sequence[tuple[str, int]]
) -> tuple[Node, tuple[Tenant, ...]]:
    """The node and its pods once moves are made: to look further, or to compare afterwards.

    Args:
        node: as it is.
        pinned: its pods.
        moves: names of pods, and the sockets that they go to, in order.

    Raises:
        ValueError: a move can't be made.
    """
    state = begin(node, pinned)
    for name, to in moves:
        tenant = state.tenants[name]
        after = state.moved(tenant, to)
        if after is None:
            raise ValueError(f"socket {to} of node {node.name} has no room for {name}")
        resident = tenant.pod.resident
        mems = after.node.topology.mems(to)
        if resident and mems and after.spots[name].memory:
            resident = {min(mems): sum(resident.values())}
        pod = replace(tenant.pod, current=after.spots[name], resident=resident)
        tenants = {**after.tenants, name: replace(tenant, pod=pod)}
        state = State(after.node, after.spots, tenants)
    return state.node, tuple(state.tenants[t.name] for t in pinned)
