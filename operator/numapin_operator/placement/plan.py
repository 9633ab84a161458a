"""Which socket (or NUMA node) a pod gets: a pure function of what is known.

It never promises more than a place has: the requests of all pods pinned inside stay within
its CPUs less the reserved ones, and its memory less huge pages and the headroom. Pods that
are not opted in are not counted by request, since the kernel moves them away; the memory and
the CPU time that they take are, by what the node reports.

It deliberately leaves a pod where it is pinned (moving memory costs more than imbalance; when
that pays, ``rebalance`` says so) unless more is asked for there than there is, because a pod
grew or CPUs went, and it fits elsewhere; which of the pods there is to go ``crowd`` says. It
does not look at a clock, and writes nothing. The rules are in ``case``.
"""

from collections.abc import Sequence

from numapin_operator.placement.case import Case, Option
from numapin_operator.placement.room import Room
from numapin_operator.placement.values import Candidate, Node, Pinned, Placement, Unplaceable
from numapin_operator.select import Choice

__all__ = ["Option", "options", "plan", "plan_in"]


def plan(
    node: Node, pins: Sequence[Pinned], pod: Candidate, policy: Choice, *, keep: bool = False
) -> Placement | Unplaceable:
    """Decide where a pod goes.

    Args:
        node: the node it runs on.
        pins: the pins of all other pods on that node, in any order.
        pod: the pod, with the place it has.
        policy: its policy, annotations applied.
        keep: it leaves no place only because all pods there together ask for too much: another
            one does.

    Returns:
        A placement within capacity, or the reason why there is none.
    """
    return Case(Room(node, pins), pins, pod, policy, keep).decide()


def plan_in(
    room: Room, pins: Sequence[Pinned], pod: Candidate, policy: Choice
) -> Placement | Unplaceable:
    """Decide where a pod goes, in a room that is counted already.

    Args:
        room: of the node with the pins of all other pods.
        pins: the same pins, for ``colocate`` and ``spreadReplicas``.
        pod: as for ``plan``.
        policy: as for ``plan``.
    """
    return Case(room, pins, pod, policy).decide()


def options(
    node: Node, pins: Sequence[Pinned], pod: Candidate, policy: Choice
) -> tuple[Option, ...]:
    """What ``plan`` weighed: every place with its score and what speaks against it.

    Args:
        node: as for ``plan``.
        pins: as for ``plan``.
        pod: as for ``plan``.
        policy: as for ``plan``.

    Returns:
        Sockets or NUMA nodes by id, then the sockets that a NUMA node's pod may fall back to.
    """
    return tuple(Case(Room(node, pins), pins, pod, policy).weighed())
