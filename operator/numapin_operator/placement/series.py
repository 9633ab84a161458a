"""All moves of a node, one series after the other, as if each were made at once. Pure.

What the operator comes to in the end if nothing else changes meanwhile: for ``numapin plan
--rebalance``, and to compare with what is possible at best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from numapin_operator.placement.plan import plan
from numapin_operator.placement.rebalance import Bounds, Proposal, Usage, rebalance
from numapin_operator.placement.state import Tenant, carry_out
from numapin_operator.placement.values import Node, Placement


@dataclass(frozen=True, slots=True)
class Settled:
    """A node once nothing is worth moving.

    Attributes:
        node: with what is available and busy then.
        pinned: its pods, where they are then.
        waiting: pods that still have no room.
        moves: in order.
    """

    node: Node
    pinned: tuple[Tenant, ...]
    waiting: tuple[Tenant, ...]
    moves: tuple[Proposal, ...]


def settle(
    node: Node, pinned: Sequence[Tenant], waiting: Sequence[Tenant], *, forced: bool = False
) -> Settled:
    """Make moves until none is worth making; no pod is moved twice.

    Args:
        node: the node.
        pinned: its pinned pods.
        waiting: pods without room, first come first; they get it as soon as there is some.
        forced: as if every policy moved pods.
    """
    held, left, made = list(pinned), list(waiting), list[Proposal]()
    moved: set[str] = set()
    while True:
        held = [replace(t, movable=False) if t.name in moved else t for t in held]
        found = rebalance(node, held, Usage(waiting=tuple(left), forced=forced), Bounds())
        if not found:
            return Settled(node, tuple(held), tuple(left), tuple(made))
        made += found
        moved |= {move.name for move in found}
        node, after = carry_out(node, held, [(m.name, m.to_socket) for m in found])
        held = list(after)
        left = _placed(node, held, left)


def _placed(node: Node, held: list[Tenant], waiting: Sequence[Tenant]) -> list[Tenant]:
    """Give room to those that wait; returns who still does."""
    left: list[Tenant] = []
    for tenant in waiting:
        pins = [t.pinned(t.pod.current) for t in held if t.pod.current is not None]
        outcome = plan(node, pins, tenant.pod, tenant.choice)
        if isinstance(outcome, Placement):
            held.append(replace(tenant, pod=replace(tenant.pod, current=outcome.spot)))
        else:
            left.append(tenant)
    return left
