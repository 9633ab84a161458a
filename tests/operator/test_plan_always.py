"""Where pods go: what must hold for any input."""

from hypothesis import given
from hypothesis import strategies as st
from support.choices import choice
from support.machines import CXL, GIB, LOPSIDED, ONE, SHARED, SNC, SPARSE, TWO, machine

from numapin_api.cpulist import CpuSet
from numapin_operator.placement.plan import plan
from numapin_operator.placement.room import MEMORY, places
from numapin_operator.placement.values import Candidate, Node, Pinned, Placement, Unplaceable
from numapin_operator.requests import Requests
from numapin_operator.select import Choice

MACHINES = [TWO, SNC, SHARED, ONE, CXL, LOPSIDED, SPARSE, "S0[N0 0-3 8G] S1[N1 4-5 1G, N2 6-7 9G]"]
requests = st.builds(
    Requests, st.integers(0, 5000), st.integers(0, 10).map(lambda halves: halves * GIB // 2)
)
choices = st.builds(
    choice,
    st.sampled_from(["Spread", "Pack", "FollowMemory"]),
    memory=st.sampled_from(["Strict", "Preferred", "None"]),
    granularity=st.sampled_from(["Socket", "NumaNode"]),
    otherwise=st.sampled_from(["Skip", "CpuOnly", "Split"]),
    socket=st.none() | st.sampled_from([0, 1, 36]),
    headroom=st.integers(0, 99),
)


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    text = draw(st.sampled_from(MACHINES))
    reserved = draw(st.sets(st.integers(0, 7), max_size=3))
    return Node("n", machine(text), CpuSet(reserved))


pods = st.lists(st.tuples(requests, choices), max_size=12)


def fill(where: Node, wanted: list[tuple[Requests, Choice]]) -> list[Pinned]:
    taken: list[Pinned] = []
    for asked, how in wanted:
        found = plan(where, taken, Candidate(requests=asked), how)
        if isinstance(found, Placement):
            taken.append(Pinned(found.spot, asked))
    return taken


@given(nodes(), pods)
def test_no_place_is_ever_promised_more_than_it_has(
    where: Node, wanted: list[tuple[Requests, Choice]]
):
    taken = fill(where, wanted)
    strict = [(r, c) for r, c in wanted if c.memory == "Strict"]
    for granularity in ("Socket", "NumaNode"):
        for place in places(where, taken, granularity):
            assert place.cpu_used <= place.cpu_capacity
            if len(strict) == len(wanted):
                assert place.room.taken(place.mask, MEMORY) <= place.memory_total


@given(nodes(), pods, requests, choices)
def test_a_placement_lies_on_its_sockets_and_off_reserved_cpus(
    where: Node, wanted: list[tuple[Requests, Choice]], asked: Requests, how: Choice
):
    found = plan(where, fill(where, wanted), Candidate(requests=asked), how)
    if isinstance(found, Unplaceable):
        assert found.message
        return
    homes = [s for s in where.topology.sockets if s.id in found.spot.sockets]
    assert [s.id for s in homes] == list(found.spot.sockets)
    assert found.cpus
    assert found.cpus <= {c for s in homes for c in s.cpus} - where.reserved
    assert how.socket in (None, found.socket)
    if found.mems is not None:
        assert found.mems <= {n for s in homes for n in where.topology.mems(s.id)}
        assert found.mems
    if how.memory == "None":
        assert found.mems is None
    if how.memory == "Strict" and how.on_unplaceable != "CpuOnly":
        assert found.mems is not None


@given(nodes(), pods, requests, choices, st.randoms(use_true_random=False))
def test_order_of_the_input_does_not_matter(where: Node, wanted, asked, how, chance):
    taken = fill(where, wanted)
    shuffled = list(taken)
    chance.shuffle(shuffled)
    candidate = Candidate(requests=asked)
    assert plan(where, taken, candidate, how) == plan(where, shuffled, candidate, how)


@given(nodes(), pods, requests, choices, st.dictionaries(st.integers(0, 3), st.just(GIB)))
def test_a_plan_that_is_carried_out_is_planned_again(where: Node, wanted, asked, how, memory):
    taken = fill(where, wanted)
    first = plan(where, taken, Candidate(requests=asked, resident=memory), how)
    if isinstance(first, Placement):
        again = plan(where, taken, Candidate(asked, memory, first.spot), how)
        assert again == first
