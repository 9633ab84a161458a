"""The fewest sockets that together hold a pod (onUnplaceable Split).

A pod that no socket has room for gets all CPUs and all memory of the fewest sockets that
have, the closest ones first. Where that is all of them the pin still counts: no other pod is
promised what this one was. It deliberately knows nothing of pods that one socket holds.
"""

from collections.abc import Callable, Iterator
from itertools import combinations, islice
from math import comb
from typing import Final

from numapin_api.topology import Topology
from numapin_operator.placement.room import Place, Room, whole

MOST_TRIED: Final = 4096
"""Sets of sockets of one size; a machine of 16 sockets has 1820 of four. Beyond that only
sets of neighbours by id are tried."""


def distance(topology: Topology, sockets: tuple[int, ...]) -> int:
    """The sum of the distances between the NUMA nodes of some sockets; 0 where not known.

    Args:
        topology: of the machine.
        sockets: their ids.
    """
    if not topology.distances:
        return 0
    mine = [i for i, n in enumerate(topology.nodes) if n.socket in sockets]
    return sum(topology.distances[i][j] for i in mine for j in mine)


def _sets(ids: list[int], number: int) -> Iterator[tuple[int, ...]]:
    yield from islice(combinations(ids, number), MOST_TRIED)
    if comb(len(ids), number) > MOST_TRIED:
        yield from (tuple(ids[i : i + number]) for i in range(len(ids) - number + 1))


def split(
    room: Room,
    *,
    wanted: frozenset[int],
    holds: Callable[[Place], bool],
    rank: Callable[[Place], tuple[int, ...]],
) -> Place | None:
    """The best set of at least two sockets that holds a pod; None if not even all do.

    Args:
        room: of the node.
        wanted: sockets that must be among them.
        holds: whether a place has room for the pod.
        rank: of places of as many sockets and the same distance, best first.
    """
    ids = sorted(room.cells.of_socket)
    for number in range(2, len(ids) + 1):
        found = [
            place
            for chosen in _sets(ids, number)
            if wanted <= set(chosen) and (place := whole(room, chosen)) is not None and holds(place)
        ]
        if found:
            topology = room.node.topology
            return min(found, key=lambda p: (distance(topology, p.sockets), *rank(p)))
    return None
