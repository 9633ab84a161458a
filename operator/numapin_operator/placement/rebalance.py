"""Which pinned pods to move, if any: the fewest and cheapest moves that are worth it.

A pod is moved for two reasons only: its socket is too busy, or another pod has no room. Moves
are searched for as a series, since a swap is two of them, and every step of a series is
within capacity; a caller makes the first, looks again, and makes the next. Nothing is
proposed that would not relieve the busiest socket by the policy's minimum gain a move. What is
too busy each pod's own policy says: none is moved off a socket that it is content with, but to
make way on one that nobody finds too busy.

It deliberately knows no time: how long a socket has been too busy, which pods were moved
lately and where in vain is the caller's to say. Pods that the policy, an annotation or a
device keeps where they are stay.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from numapin_api.policy import percent
from numapin_operator.placement.room import WHOLE
from numapin_operator.placement.state import State, Tenant, begin
from numapin_operator.placement.values import Node, Placement, Unplaceable
from numapin_operator.text import size

Reason = Literal["SocketBusy", "PodWaiting"]
Busy = tuple[int, str]
"""A socket, and the policy whose threshold it is over."""

MOST_MOVES: Final = 6
"""In one series: what takes more is not worth the memory that it moves."""
WIDTH: Final = 32
"""States that are followed after each move. Wide enough that on sockets with a dozen pods
each nothing is left out at the first two moves."""
WIDER: Final = 64
FEW: Final = 64
"""So many are followed where no more moves are possible at all than that."""
NEAR: Final = 40_000
"""A series of fewer moves, or none, is taken when it comes so near to the best, in millionths."""
LESS_NEAR: Final = 50_000
SPARED: Final = 3
"""And when it comes less near, if that spares so many moves: the last percent takes the most."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What is going on, beside what the node says of itself.

    Attributes:
        hot: sockets that have been too busy for long enough, each with the policy by whose
            threshold and patience; None to judge by now alone.
        waiting: pods that have no room, first come first.
        forced: move pods of policies with rebalance mode Never, too (to show what it would do).
    """

    hot: frozenset[Busy] | None = None
    waiting: tuple[Tenant, ...] = ()
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a search goes.

    Attributes:
        most_moves: in one series.
        budget: pods of each policy that may be on the move still; None without bound.
    """

    most_moves: int = MOST_MOVES
    budget: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One move.

    Attributes:
        name: of the pod, with its namespace.
        from_socket: where it is.
        to_socket: where it should be.
        bytes_to_move: of its memory.
        gain: percent of a socket: what the busy socket is relieved of by a move of this series
            on average, or less where the pod leaves another one to make way; or what the pod
            that waits asks for.
        load: percent of the busier resource of ``from_socket`` in use before.
        reason: why.
        message: the same for people.
        room_for: the pod that waits; None where that is not the reason.
        further: moves of the series that follow.
    """

    name: str
    from_socket: int
    to_socket: int
    bytes_to_move: int
    gain: float
    load: float
    reason: Reason
    message: str
    room_for: str | None = None
    further: int = 0


_Rank = tuple[tuple[int, ...], int, object]
"""How good a state is, the bytes that it takes, and what tells equals apart."""


def _points(millionths: int) -> float:
    return round(100 * millionths / WHOLE, 1)


def _allowed(tenant: Tenant, usage: Usage, bounds: Bounds) -> bool:
    """Whether a pod may be moved at all."""
    choice = tenant.choice
    if choice.mode != "Enforce" or choice.socket is not None or not tenant.movable:
        return False
    if tenant.pod.devices and choice.devices != "Ignore":
        return False
    if not usage.forced and not _auto(tenant):
        return False
    return bounds.budget.get(choice.policy, 1) > 0


def too_busy(node: Node, pins: Sequence[Tenant], *, forced: bool = False) -> frozenset[Busy]:
    """The sockets that are over the threshold of a pod on them, whose policy moves pods.

    Args:
        node: the node.
        pins: its pinned pods.
        forced: as if every policy did.

    Returns:
        Each with every policy that finds it too busy, pods of which may have to make way.
    """
    loads = begin(node, pins).loads
    least = {t.choice.policy: _threshold(t) for t in pins if forced or _auto(t)}
    busy = frozenset(
        (socket, policy)
        for policy, threshold in least.items()
        for socket, load in loads.items()
        if load >= threshold
    )
    hot = _hot(pins, busy)
    return frozenset(one for one in busy if one[0] in hot)


def _hot(pins: Sequence[Tenant], busy: frozenset[Busy]) -> frozenset[int]:
    """The sockets that a pod on them finds too busy."""
    return frozenset(
        socket
        for t in pins
        for socket in (() if t.pod.current is None else t.pod.current.sockets)
        if (socket, t.choice.policy) in busy
    )


def _auto(tenant: Tenant) -> bool:
    return tenant.choice.rebalance.mode == "Auto"


def _willing(tenant: Tenant, busy: frozenset[Busy], hot: frozenset[int]) -> Tenant:
    """The pod as it may be moved for busy sockets: off one that its own policy finds too busy.

    To make way for a swap it may leave one that nobody does, if the swap relieves one that its
    policy finds too busy.
    """
    spot, policy = tenant.pod.current, tenant.choice.policy
    if spot is None or not tenant.movable:
        return tenant
    if (spot.socket, policy) in busy:
        return replace(tenant, least_load=_threshold(tenant))
    makes_way = spot.socket not in hot and any((s, policy) in busy for s in hot)
    return tenant if makes_way else replace(tenant, movable=False)


def _search(  # noqa: PLR0913 (each bounds it)
    start: State,
    good: Callable[[State], bool],
    rank: Callable[[State], "_Rank"],
    *,
    most: int,
    patience: int,
    width: int = WIDTH,
) -> list[State]:
    """Beam search: the best state of each number of moves, from none to ``most``.

    Ends early at the first number of moves with a good one, or when ``patience`` more moves have
    made nothing better.
    """
    best, edge = [start], [start]
    for _ in range(most):
        found: dict[object, State] = {}
        for state in edge:
            for after in state.after_each():
                known = found.get(after.identity)
                if known is None or after.bytes_moved < known.bytes_moved:
                    found[after.identity] = after
        if not found:
            break
        edge = sorted(found.values(), key=rank)[:width]
        best.append(edge[0])
        stuck = len(best) > patience and rank(best[-1])[0] >= rank(best[-1 - patience])[0]
        if good(edge[0]) or stuck:
            break
    return best


def _heat(state: State, start: State, hot: frozenset[int]) -> int:
    """The load that counts: the highest of busy sockets, and of those that have got busier."""
    return max(
        (load for s, load in state.loads.items() if s in hot or load > start.loads.get(s, 0)),
        default=0,
    )


def _relief(start: State, hot: frozenset[int], bounds: Bounds) -> State | None:
    """The moves that relieve busy sockets; None if none are worth it."""
    moving = [t for t in start.tenants.values() if t.movable and t.name in start.spots]
    if not moving or not hot:
        return None
    goal = min(_threshold(t) for t in moving)
    floor = start.floor + start.floor * NEAR // WHOLE
    best = _search(
        start,
        lambda s: _heat(s, start, hot) < goal or _heat(s, start, hot) <= floor,
        lambda s: ((_heat(s, start, hot), *s.steepness), s.bytes_moved, s.identity),
        most=bounds.most_moves,
        patience=2,  # a swap
        width=WIDER if len(moving) * (len(start.loads) - 1) <= FEW else WIDTH,
    )
    before = _heat(start, start, hot)
    heats = [_heat(s, start, hot) for s in best]

    def fewest(near: int) -> State | None:
        """The state of the fewest moves, which must be worth it, that is cool or comes so near."""
        enough = max(goal - 1, min(heats) + min(heats) * near // WHOLE)
        for state, heat in zip(best, heats, strict=True):
            worth = before > heat and before - heat >= _least_gain(state)
            if heat <= enough and (worth or not state.steps):
                return state
        return None

    found, spare = fewest(NEAR), fewest(LESS_NEAR)
    if found is not None and spare is not None and len(found.steps) >= len(spare.steps) + SPARED:
        found = spare
    return found if found is not None and found.steps else None


def _threshold(tenant: Tenant) -> int:
    return percent(tenant.choice.rebalance.threshold) * WHOLE // 100


def _least_gain(state: State) -> int:
    """What the moves that led to a state must gain together, by their pods' policies."""
    moved = (state.tenants[name].choice for name, _, _ in state.steps)
    return sum(percent(choice.rebalance.min_gain) for choice in moved) * WHOLE // 100


def _missing(state: State, tenant: Tenant) -> tuple[int, int]:
    """How far the pod that waits is from having room: 0 when it has, else what lacks least."""
    if isinstance(state.places(tenant), Placement):
        return 0, 0
    cpu, memory = tenant.pod.requests.cpu_millis, tenant.pod.memory_need
    lack: list[int] = []
    for place in state.free(tenant):
        short = max(0, cpu - place[0]) * WHOLE // max(1, cpu)
        lack.append(short + max(0, memory - place[1]) * WHOLE // max(1, memory))
    return 1, min(lack, default=0)


def _making_room(start: State, waiting: Tenant, bounds: Bounds) -> State | None:
    """The fewest moves after which the pod that waits has a place; None if there are none."""
    if not isinstance(start.places(waiting), Unplaceable):
        return None
    best = _search(
        start,
        lambda s: _missing(s, waiting) == (0, 0),
        lambda s: (_missing(s, waiting), s.bytes_moved, (s.steepness, s.identity)),
        most=bounds.most_moves,
        patience=3,  # on full sockets one pod for two
    )[-1]
    return best if best.steps and _missing(best, waiting) == (0, 0) else None


def _share(state: State, tenant: Tenant) -> int:
    """Millionths of the largest socket that a pod asks for."""
    sizes = [(p[2], p[3]) for p in state.free(tenant)]
    cpu = max((c for c, _ in sizes), default=1)
    memory = max((m for _, m in sizes), default=1)
    return max(
        tenant.pod.requests.cpu_millis * WHOLE // max(1, cpu),
        tenant.pod.memory_need * WHOLE // max(1, memory),
    )


def _proposals(
    start: State, end: State, gain: int, why: str, *, waiting: Tenant | None = None
) -> list[Proposal]:
    made: list[Proposal] = []
    state = start
    cause: Reason = "SocketBusy" if waiting is None else "PodWaiting"
    for i, (name, source, to) in enumerate(end.steps, 1):
        after = state.moved(state.tenants[name], to)
        if after is None:
            break
        moved = after.bytes_moved - state.bytes_moved
        load = _points(state.loads.get(source, 0))
        relief = gain
        if waiting is None:
            # A pod that makes way for a swap relieves its own socket of what it takes, no more.
            relief = max(0, min(gain, state.loads.get(source, 0) - after.loads.get(source, 0)))
        made.append(
            Proposal(
                name=name,
                from_socket=source,
                to_socket=to,
                bytes_to_move=moved,
                gain=_points(relief),
                load=load,
                reason=cause,
                room_for=None if waiting is None else waiting.name,
                further=len(end.steps) - i,
                message=f"moved from socket {source} ({load:.0f} % in use) to socket {to}, "
                f"{size(moved)} of memory: {why}",
            )
        )
        state = after
    return made


def rebalance(
    node: Node, pins: Sequence[Tenant], usage: Usage, policy: Bounds
) -> tuple[Proposal, ...]:
    """The moves that are worth making, in the order in which they can be made.

    Args:
        node: the node, with its real use.
        pins: its pinned pods, in any order; each with the policy that it is under.
        usage: which sockets are too busy, which pods wait.
        policy: how far to go.

    Returns:
        A series of moves for one reason; empty when nothing is worth moving.
    """
    allowed = [
        t if _allowed(t, usage, policy) else replace(t, movable=False)
        for t in sorted(pins, key=lambda t: t.name)
    ]
    start = begin(node, allowed, usage.waiting)
    for waiting in usage.waiting:
        end = _making_room(start, waiting, policy)
        if end is not None:
            gain = _share(start, waiting)
            why = f"so that {waiting.name}, which had none, has room"
            return tuple(_proposals(start, end, gain, why, waiting=waiting))
    busy = too_busy(node, allowed, forced=usage.forced)
    busy = busy if usage.hot is None else busy & usage.hot
    hot = _hot(allowed, busy)
    start = begin(node, [_willing(t, busy, hot) for t in allowed], usage.waiting)
    end = _relief(start, hot, policy)
    if end is None:
        return ()
    before, heat = _heat(start, start, hot), _heat(end, start, hot)
    gain = (before - heat) // len(end.steps)
    why = (
        f"the busiest socket goes from {_points(before):.0f} to {_points(heat):.0f} % "
        f"in use by {len(end.steps)} move{'s' if len(end.steps) > 1 else ''}"
    )
    return tuple(_proposals(start, end, gain, why))
