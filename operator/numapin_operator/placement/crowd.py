"""Who leaves where pods together ask for more than there is: one of them, the cheapest. Pure.

A pod was resized, or CPUs went. Each pod there is looked at, in whatever order, and each look
asks the same question of all of them, so that the answer does not hang on who was first: the
pod whose leaving is enough and moves the fewest bytes. Pods of policies that move none go only
where no other's leaving is enough. Where no single pod's is, the one goes that relieves most,
and the rest is looked at again.

A pod whose last move was in vain leaves only where no other's leaving is enough: it is not tried
again before the others, and no socket is asked for too much for ever on its account.

It deliberately knows no time: neither budgets nor cooldowns hold for what was promised and
can't be had.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from numapin_operator.placement.plan import plan, plan_in
from numapin_operator.placement.room import CPU, MEMORY, WHOLE, Room
from numapin_operator.placement.state import Tenant
from numapin_operator.placement.values import Node, Pinned, Placement, Spot, Unplaceable
from numapin_operator.text import listed, size


@dataclass(frozen=True, slots=True)
class Crowd:
    """The pods of a node without the one that is looked at.

    Attributes:
        tenants: those of which enough is known to say whether they could go.
        fixed: pins of the others.
    """

    tenants: Sequence[Tenant]
    fixed: Sequence[Pinned] = ()


@dataclass(frozen=True, slots=True)
class Leaving:
    """The pod that goes.

    Attributes:
        name: with its namespace.
        bytes_to_move: of its memory.
        enough: nothing is asked for too much once it is gone.
        told: where it goes, and what that is for; only of the pod that is looked at.
    """

    name: str
    bytes_to_move: int
    enough: bool
    told: "Told | None" = None


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a pod that goes.

    Attributes:
        load: percent that is asked for of the scarcest on the socket that it leaves.
        gain: by how many percent that falls.
        message: where from, where to and why, for people.
    """

    load: int
    gain: int
    message: str


def plan_among(
    node: Node, pins: Sequence[Pinned], me: Tenant, crowd: Callable[[], Crowd]
) -> tuple[Placement | Unplaceable, Leaving | None]:
    """Where a pod goes, as ``plan`` says, but for a place that all there ask too much of.

    Args:
        node: the node.
        pins: of all other pods there, in any order.
        me: the pod.
        crowd: the same pods, in any order; asked only where there is a crowd.

    Returns:
        The placement, or why there is none; and who leaves the place that the pod has because
        more is asked for there than there is: it or another one, None where nobody needs to or can.
    """
    found, at = plan(node, pins, me.pod, me.choice), me.pod.current
    if not isinstance(found, Placement) or at is None:
        return found, None
    if not found.crowded:
        return found, _too_large(node, pins, me, found)
    others = crowd()
    who = leaving(node, (*others.tenants, me), others.fixed, me.name)
    if who is not None and who.name == me.name:
        together = "its pods together ask for more than there is"
        return found, replace(who, told=_told(node, pins, me, found, together))
    kept = plan(node, pins, me.pod, me.choice, keep=True)
    if who is None and isinstance(kept, Placement):
        why = (
            f"; the pods of {_label(at)} together ask for more than there is, "
            "and none of them can go elsewhere"
        )
        kept = replace(kept, message=kept.message + why)
    return kept, who


def asked(node: Node, pins: Iterable[Pinned], socket: int) -> int:
    """How much pods ask for of the scarcest that they have on a socket, in percent, rounded up.

    More than 100 exactly where they ask for more than there is, be it on one NUMA node.

    Args:
        node: the node.
        pins: of all its pods.
        socket: one that gives nothing to pods any more is asked for nothing.
    """
    every = list(pins)
    room, firm = Room(node, every), Room(node, [p for p in every if not p.spot.lenient])
    covered = room.cells.covered
    masks = {covered(p.spot) for p in every if socket in p.spot.sockets}
    shares = [0]
    for mask in masks - {0} if socket in room.cells.of_socket else ():
        for there, part in ((room, CPU), (firm, MEMORY)):
            has = there.capacity(mask, part)
            shares.append(-(-100 * (has - there.left(mask, part)) // max(1, has)))
    return max(shares)


def _told(node: Node, pins: Sequence[Pinned], me: Tenant, to: Placement, why: str) -> Told | None:
    """What is said of a pod that goes."""
    at = me.pod.current
    if at is None:
        return None
    mine = me.pinned(replace(at, lenient=me.choice.memory != "Strict"))
    before = asked(node, [*pins, mine], at.socket)
    after = asked(node, [*pins, me.pinned(to.spot)], at.socket)
    return Told(
        load=before,
        gain=max(0, before - after),
        message=f"moved from {_label(at)} ({before} % asked for) to {_label(to.spot)}, "
        f"{size(_bytes(me, to))} of memory: {why}",
    )


def _too_large(node: Node, pins: Sequence[Pinned], me: Tenant, to: Placement) -> Leaving | None:
    """A pod that leaves a place because it alone asks for more than there is."""
    at, asked_for = me.pod.current, me.choice.socket
    if at is None or to.spot.sockets == at.sockets or asked_for not in {None, *at.sockets}:
        return None
    room = Room(node, ())
    if not _alone(room, me, me.pinned(at)):
        return None
    told = _told(node, pins, me, to, "it alone asks for more than there is")
    return Leaving(me.name, _bytes(me, to), enough=False, told=told)


def _alone(room: Room, tenant: Tenant, pin: Pinned) -> bool:
    """Whether a pod asks for more than its place has, whoever else goes."""
    asks, mask = tenant.pod.requests, room.cells.covered(pin.spot)
    keeps = pin.spot.memory and tenant.choice.memory == "Strict"
    return asks.cpu_millis > room.capacity(mask, CPU) or (
        keeps and asks.memory_bytes > room.capacity(mask, MEMORY)
    )


def _label(spot: Spot) -> str:
    """How people call a place."""
    if spot.numa_node is not None:
        return f"NUMA node {spot.numa_node} of socket {spot.socket}"
    return f"socket{'s' if spot.also else ''} {listed(spot.sockets)}"


def leaving(
    node: Node, tenants: Sequence[Tenant], fixed: Sequence[Pinned], name: str
) -> Leaving | None:
    """Who leaves the sockets that a pod is on; None if nobody needs to, or can.

    Args:
        node: the node.
        tenants: its pods that could go, and the one that is looked at, in any order.
        fixed: pins of the others.
        name: of the pod that is looked at.
    """
    found = _Crowded(node, tenants, fixed, name)
    return found.outgrown() or found.cheapest()


class _Crowded:
    """The pods of some sockets, and what is left with all of them in place."""

    def __init__(
        self, node: Node, tenants: Sequence[Tenant], fixed: Sequence[Pinned], name: str
    ) -> None:
        self.node = node
        placed = sorted((t for t in tenants if t.pod.current is not None), key=lambda t: t.name)
        # By its policy as it is now: what its pin says is written anew only when it is looked at.
        self.pins = {
            t.name: t.pinned(replace(t.pod.current, lenient=t.choice.memory != "Strict"))
            for t in placed
            if t.pod.current is not None
        }
        self.fixed = list(fixed)
        every = [*self.fixed, *self.pins.values()]
        self.room = Room(node, every)
        self.firm = Room(node, [p for p in every if not p.spot.lenient])
        self.here = _together(placed, name)
        self.masks = {self.room.cells.covered(self.pins[t.name].spot) for t in self.here}

    def lack(self) -> int:
        """By how much more is asked for than there is, in millionths; summed over places."""
        short = 0
        for mask in self.masks:
            for room, part in ((self.room, CPU), (self.firm, MEMORY)):
                beyond = max(0, -room.left(mask, part))
                short += -(-beyond * WHOLE // max(1, room.capacity(mask, part)))
        return short

    def put(self, pin: Pinned, sign: int = 1) -> None:
        """A pod comes, or with sign -1 goes."""
        self.room.put(pin.spot, pin.requests, sign)
        if not pin.spot.lenient:
            self.firm.put(pin.spot, pin.requests, sign)

    def elsewhere(self, found: Placement, pin: Pinned) -> bool:
        """Whether a placement is another place than a pin's."""
        return self.room.cells.covered(found.spot) != self.room.cells.covered(pin.spot)

    def outgrown(self) -> Leaving | None:
        """A pod that is not kept there whoever else goes: it alone asks for too much."""
        for tenant in self.here:
            if _alone(self.room, tenant, self.pins[tenant.name]):
                return Leaving(tenant.name, _bytes(tenant, None), enough=False)
        return None

    def cheapest(self) -> Leaving | None:
        """The pod whose leaving is enough and moves least; else the one that relieves most."""
        before = self.lack()
        best: tuple[tuple[bool, bool, bool, int, int, str], Leaving] | None = None
        for tenant in self.here:
            if not tenant.movable or not before:
                continue
            pin = self.pins[tenant.name]
            others = [*self.fixed, *(p for n, p in self.pins.items() if n != tenant.name)]
            self.put(pin, -1)
            found = plan_in(self.room, others, tenant.pod, tenant.choice)
            if isinstance(found, Placement) and found.crowded and self.elsewhere(found, pin):
                there = tenant.pinned(found.spot)
                self.put(there)
                after = self.lack()
                self.put(there, -1)
                never = tenant.choice.rebalance.mode != "Auto"
                one = Leaving(tenant.name, _bytes(tenant, found), enough=not after)
                moved = one.bytes_to_move
                rank = (after > 0, tenant.in_vain, never, after, moved, tenant.name)
                if after < before and (best is None or rank < best[0]):
                    best = rank, one
            self.put(pin)
        return None if best is None else best[1]


def _bytes(tenant: Tenant, to: Placement | None) -> int:
    """What a pod takes along: what it holds elsewhere; what it asks for where that is not known."""
    if to is not None and to.mems is None:
        return 0
    held = tenant.pod.resident
    if not held:
        return tenant.pod.requests.memory_bytes
    stays = frozenset[int]() if to is None or to.mems is None else to.mems
    return sum(amount for numa_node, amount in held.items() if numa_node not in stays)


def _together(placed: Sequence[Tenant], name: str) -> list[Tenant]:
    """The pods that share sockets with one, or with one that does (Split)."""
    where = {t.name: {*t.pod.current.sockets} for t in placed if t.pod.current is not None}
    sockets = set(where.get(name, ()))
    while any(s & sockets and not s <= sockets for s in where.values()):
        sockets |= {one for s in where.values() if s & sockets for one in s}
    return [t for t in placed if where[t.name] & sockets]
