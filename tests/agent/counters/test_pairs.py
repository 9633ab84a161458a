"""Bytes of the map of pairs, and sums of pairs."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.counters.pairs import (
    KEY,
    VALUE,
    PairCounters,
    added,
    decode,
    grew,
    max_pairs,
    other_nodes,
)

NODE = st.one_of(st.none(), st.integers(0, 1023))
COUNT = st.integers(0, 1 << 60)
PAIRS = st.dictionaries(st.tuples(NODE, NODE), st.builds(PairCounters, *[COUNT] * 4), max_size=5)


def test_recorded_entry():
    """Cgroup 3598, from node 1 to node 0; the members as in programs.c."""
    keys = bytes.fromhex("0e0e000000000000 01000000 00000000")
    values = bytes.fromhex("0300000000000000 0006000000000000 40420f0000000000 0500000000000000")
    assert decode(keys, values) == {3598: {(1, 0): PairCounters(3, 1536, 1_000_000, 5)}}


@given(st.dictionaries(st.integers(0, (1 << 64) - 1), PAIRS, max_size=4))
def test_entries_of_all_cgroups_come_back(table):
    keys, values = b"", b""
    for cgroup, pairs in table.items():
        for (one, other), counts in pairs.items():
            keys += KEY.pack(cgroup, *(0xFFFFFFFF if n is None else n for n in (one, other)))
            values += VALUE.pack(*counts)
    assert decode(keys, values) == {cgroup: pairs for cgroup, pairs in table.items() if pairs}


@pytest.mark.parametrize(("keys", "values"), [(16, 0), (0, 32), (15, 32), (16, 31), (32, 32)])
def test_lengths_that_do_not_fit_are_refused(keys, values):
    with pytest.raises((ValueError, struct.error), match="no pairs"):
        decode(bytes(keys), bytes(values))


@given(PAIRS, PAIRS)
def test_a_sum_has_all_of_both(one, other):
    total = added(one, other)
    assert total.keys() == one.keys() | other.keys()
    for pair, counts in total.items():
        both = (one.get(pair, PairCounters()), other.get(pair, PairCounters()))
        assert counts == tuple(map(sum, zip(*both, strict=True)))
    assert grew(total, one)
    assert grew(total, other)


@pytest.mark.parametrize(
    ("new", "old", "grown"),
    [
        ({}, {}, True),
        ({(0, 1): PairCounters(1, 1, 1, 1)}, {}, True),
        ({}, {(0, 1): PairCounters(1, 1, 1, 1)}, False),
        ({(0, 1): PairCounters(2, 9, 0, 1)}, {(0, 1): PairCounters(1, 1, 1, 1)}, False),
        ({(1, 0): PairCounters(9, 9, 9, 9)}, {(0, 1): PairCounters(1, 1, 1, 1)}, False),
    ],
)
def test_a_map_made_anew_is_noticed(new, old, grown):
    assert grew(new, old) is grown


@pytest.mark.parametrize(
    ("cgroups", "nodes", "room"),
    [
        (2048, 1, 2048),
        (2048, 2, 8192),
        (1024, 2, 4096),
        (1024, 4, 16384),
        (1024, 8, 16384),
        (9, 0, 9),
    ],
)
def test_room_for_pairs_is_bounded(cgroups, nodes, room):
    assert max_pairs(cgroups, nodes) == room


@pytest.mark.parametrize(
    ("nodes", "others"),
    [
        ((), ()),
        ((0,), (0,)),
        ((0, 1), (2, 1)),
        ((8, 0), (9, 0, 0, 0, 0, 0, 0, 0, 1)),
        ((0, 1, 2), (0, 0, 0)),
    ],
)
def test_only_of_two_nodes_each_names_the_other(nodes, others):
    assert other_nodes(nodes) == others
