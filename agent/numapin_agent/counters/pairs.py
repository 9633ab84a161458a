"""What is counted per pair of NUMA nodes: the map ``nodePairs`` as values.

Apart from ``signals``, whose counters are read at each tick: pairs are many, no verdict needs
them, and so they are read when somebody asks for the metrics. Pure: bytes in, counts out.
"""

import struct
from collections.abc import Iterable, Mapping
from operator import add, ge, sub
from typing import Final, NamedTuple

NodePair = tuple[int | None, int | None]
"""From and to of a migration; the CPU's node and the page's of a hint fault. None: unknown."""

KEY: Final = struct.Struct("=QII")
VALUE: Final = struct.Struct("=4Q")
_UNKNOWN: Final = 0xFFFFFFFF
_MOST_PAIRS: Final = 16384
"""1.6 MB of kernel memory at 96 bytes an entry (kernel/bpf/hashtab.c ``htab_elem``)."""


class PairCounters(NamedTuple):
    """What a cgroup did between two NUMA nodes; every number only grows.

    Attributes:
        migrations: times that NUMA balancing moved at least one page.
        migrated_pages: base pages that it moved; a huge page counts as the pages it is made of.
        migration_nanoseconds: time spent on it, moves that failed included.
        hint_fault_pages: pages that a CPU of the first node touched on the second and whose
            NUMA hint fault said so.
    """

    migrations: int = 0
    migrated_pages: int = 0
    migration_nanoseconds: int = 0
    hint_fault_pages: int = 0


Pairs = Mapping[NodePair, PairCounters]
PAIRS: Final = "nodePairs"
"""The map's name, which stands for it among the signals that have no room."""
_NOTHING: Final = PairCounters()


def max_pairs(cgroups: int, nodes: int) -> int:
    """Size of the map: room for all pairs of all cgroups, but no more than 16,384.

    With eight NUMA nodes that is all pairs of 256 cgroups; most cgroups use only a few. An event
    whose pair has no room is counted for its cgroup all the same, and reported as lost for pairs.

    Args:
        cgroups: that there is room for in the other maps.
        nodes: how many NUMA nodes there are.
    """
    return min(_MOST_PAIRS, cgroups * max(1, nodes) ** 2)


def other_nodes(nodes: Iterable[int]) -> tuple[int, ...]:
    """What the programs are told: by NUMA node the other one + 1 of two in all, else 0."""
    ids = sorted(nodes)
    others = [0] * (max(ids, default=-1) + 1)
    if len(ids) == 2:
        others[ids[0]], others[ids[1]] = ids[1] + 1, ids[0] + 1
    return tuple(others)


def decode(keys: bytes, values: bytes) -> dict[int, dict[NodePair, PairCounters]]:
    """Pairs by cgroup id.

    Args:
        keys: of the map's entries, joined.
        values: in the same order.

    Raises:
        ValueError: the lengths don't fit together.
    """
    if len(keys) % KEY.size or len(values) * KEY.size != len(keys) * VALUE.size:
        raise ValueError(f"{len(keys)} bytes of keys and {len(values)} of values are no pairs")
    found: dict[int, dict[NodePair, PairCounters]] = {}
    # Each scrape comes here with up to 16,384 entries: as few steps as can be for each.
    for (cgroup, one, other), numbers in zip(
        KEY.iter_unpack(keys), map(PairCounters._make, VALUE.iter_unpack(values)), strict=True
    ):
        pair = (None if one == _UNKNOWN else one, None if other == _UNKNOWN else other)
        of_cgroup = found.get(cgroup)
        if of_cgroup is None:
            found[cgroup] = {pair: numbers}
        else:
            of_cgroup[pair] = numbers
    return found


def added(one: Pairs, other: Pairs) -> Pairs:
    """The sum of both."""
    if not one or not other:
        return one or other
    total = dict(one)
    for pair, counts in other.items():
        total[pair] = PairCounters(*map(add, total.get(pair, _NOTHING), counts))
    return total


def less(one: Pairs, other: Pairs) -> Pairs:
    """The first without the second, which may hold more of some pair."""
    left = dict(one)
    for pair, counts in other.items():
        left[pair] = PairCounters(*map(sub, left.get(pair, _NOTHING), counts))
    return left


def grew(new: Pairs, old: Pairs) -> bool:
    """Whether no counter went back, as it does when the kernel's map was made anew."""
    return all(pair in new and all(map(ge, new[pair], counts)) for pair, counts in old.items())
