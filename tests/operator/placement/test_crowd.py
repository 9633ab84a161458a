"""Who leaves a socket where pods together ask for more than it has, whoever is looked at first."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.machines import GIB, TWO, asks, machine, spot
from support.planning import node, policy

from numapin_api.cpulist import NodeSet
from numapin_api.policy import Rebalance
from numapin_operator.placement.crowd import (
    Crowd,
    Leaving,
    Told,
    asked,
    leaving,
    plan_among,
)
from numapin_operator.placement.plan import plan
from numapin_operator.placement.room import CPU, MEMORY, Room
from numapin_operator.placement.state import Tenant
from numapin_operator.placement.values import Candidate, Node, Placement, Spot, Unplaceable

WIDE = "S0[N0 0-7 64G] S1[N1 8-15 64G]"
NEVER, AUTO = policy(rebalance=Rebalance()), policy(rebalance=Rebalance(mode="Auto"))


def tenant(text: str, **more: Any) -> Tenant:
    """``db S0 3/20G`` is pinned; with ``auto`` behind it, under a policy that moves pods."""
    name, where, wanted, *rest = text.split()
    pod = Candidate(asks(wanted), current=spot(where))
    choice = AUTO if "auto" in rest else NEVER
    made = Tenant(name, pod, replace(choice, memory="Preferred") if "loose" in rest else choice)
    inner = {k: v for k, v in more.items() if k in {"devices", "resident"}}
    outer = {k: v for k, v in more.items() if k not in inner}
    return replace(made, pod=replace(made.pod, **inner), **outer)


def tenants(text: str) -> list[Tenant]:
    return [tenant(one) for one in filter(None, map(str.strip, text.split(",")))]


def look(
    where: Node, every: Sequence[Tenant], me: Tenant
) -> tuple[Placement | Unplaceable, Leaving | None]:
    others = [t for t in every if t.name != me.name]
    pins = [t.pinned(t.pod.current) for t in others if t.pod.current is not None]
    return plan_among(where, pins, me, lambda: Crowd(others))


def settle(where: Node, every: Sequence[Tenant], order: Sequence[str]) -> dict[str, int | None]:
    """The socket of each pod once all have been looked at in an order until nothing changes."""
    now = {t.name: t for t in every}
    for _ in range(2 * len(now) + 2):
        before = dict(now)
        for name in order:
            one = now[name]
            if one.pod.current is None:
                continue
            found, _ = look(where, list(now.values()), one)
            at = found.spot if isinstance(found, Placement) else None
            now[name] = replace(one, pod=replace(one.pod, current=at))
        if now == before:
            return {
                n: None if t.pod.current is None else t.pod.current.socket for n, t in now.items()
            }
    raise AssertionError(f"pods go round in circles: {now}")


@pytest.mark.parametrize(
    ("pods", "leaves"),
    [
        ("db S0 3/20G, s S0 5/1G", None),
        # The fewest bytes, though another is as good and more are asked for by name first.
        ("db S0 3/20G, s1 S0 4600m/1G, s2 S0 500m/2G, f S1 4/1G", "s2"),
        ("a S0 3/20G, b S0 3/1G, c S0 3/2G", "b"),
        ("a S0 3/1G, b S0 3/1G, c S0 3/1G", "a"),
        # The small one is not enough.
        ("a S0 3/20G, b S0 100m/1G, c S0 5/2G", "b"),
        ("a S0 4/20G, b S0 100m/1G, c S0 5/2G", "c"),
        # It would be, and has room nowhere.
        ("a S0 3/20G, b S0 3/1G, c S0 3/2G, d S1 6/1G", None),
        ("a S0 3/20G, b S0 3/1G, c S0 2500m/2G, d S1 5500m/1G", "c"),
        # No single one is: the one that relieves most.
        ("a S0 4/20G, b S0 4/1G, c S0 3/2G, d S0 2/1G", "b"),
        # Memory as well as CPU, but not that of pods that let go of it.
        ("a S0 1/40G, b S0 1/30G", "b"),
        ("a S0 1/40G, b S0 1/30G loose", None),
        ("a S0 1/40G, b S0 1/40G, c S0 1/10G loose", "a"),
        # A pod that asks for nothing relieves nobody.
        ("a S0 9/0, b S0 0/0", "a"),
        ("a S0 5/20G, b S0 4/20G, c S0 0/0", "a"),
        # Those of policies that move pods go first, whatever they hold.
        ("a S0 3/20G auto, b S0 3/1G, c S0 3/2G", "a"),
        ("a S0 500m/20G auto, b S0 3/1G, c S0 6/2G", "b"),
        # One that alone asks for more than there is goes before anybody else has to.
        ("a S0 3/1G, b S0 9/20G, c S0 3/2G", "b"),
        # Another socket's crowd is another question.
        ("a S0 3/1G, b S0 3/2G, c S1 5/1G, d S1 4/1G", None),
    ],
)
def test_who_leaves(pods: str, leaves: str | None):
    every = tenants(pods)
    names = [t.name for t in every if t.pod.current is not None and t.pod.current.socket == 0]
    for name in names:
        for order in (every, every[::-1]):
            found = leaving(node(WIDE), order, (), name)
            assert (None if found is None else found.name) == leaves


@pytest.mark.parametrize(
    ("changed", "leaves"),
    [
        ({}, "b"),
        ({"movable": False}, "c"),
        # By what it holds, where that is known.
        ({"resident": {0: 30 * GIB}}, "c"),
        ({"devices": NodeSet([0])}, "c"),
        ({"devices": NodeSet([0]), "choice": replace(NEVER, devices="Ignore")}, "b"),
        ({"choice": replace(NEVER, socket=0)}, "c"),
        ({"choice": replace(NEVER, devices="Require"), "devices": NodeSet([7])}, "c"),
    ],
)
def test_what_keeps_a_pod_in_a_crowd(changed: dict[str, Any], leaves: str):
    every = [*tenants("a S0 3/20G, c S0 3/2G"), tenant("b S0 3/1G", **changed)]
    found = leaving(node(WIDE), every, (), "a")
    assert found is not None
    assert found.name == leaves


def test_what_is_said():
    every = tenants("a S0 3/20G, b S0 3/1G, c S0 3/2G")
    went, who = look(node(WIDE), every, every[1])
    assert isinstance(went, Placement)
    told = Told(
        load=113,
        gain=38,
        message="moved from socket 0 (113 % asked for) to socket 1, 1.0 GiB of memory: "
        "its pods together ask for more than there is",
    )
    assert (went.socket, who) == (1, Leaving("b", GIB, enough=True, told=told))
    stayed, who = look(node(WIDE), every, every[0])
    assert isinstance(stayed, Placement)
    assert (stayed.socket, who) == (0, Leaving("b", GIB, enough=True))
    # Another one will: that is no news of this pod.
    assert stayed.message.endswith("(Spread)")
    stuck = [*every, tenant("d S1 6/1G")]
    stays, who = look(node(WIDE), stuck, every[1])
    assert isinstance(stays, Placement)
    assert (stays.socket, who) == (0, None)
    assert stays.message.endswith(
        "; the pods of socket 0 together ask for more than there is, "
        "and none of them can go elsewhere"
    )


def test_what_is_said_of_one_that_alone_asks_for_more_than_there_is():
    where = node("S0[N0 0-3 64G] S1[N1 8-15 64G]")
    large = tenant("b S0 5/1G")
    went, who = look(where, [large, *tenants("a S0 3/1G")], large)
    told = Told(
        load=200,
        gain=125,
        message="moved from socket 0 (200 % asked for) to socket 1, 1.0 GiB of memory: "
        "it alone asks for more than there is",
    )
    assert isinstance(went, Placement)
    assert (went.socket, who) == (1, Leaving("b", GIB, enough=False, told=told))
    # Its author sends it there: that needs no other reason.
    sent = replace(large, choice=replace(NEVER, socket=1))
    assert look(where, [sent], sent)[1] is None


@pytest.mark.parametrize(
    ("pods", "percent"),
    [
        ("", 0),
        ("a S1 9/1G", 0),
        ("a S0 4/1G", 50),
        ("a S0 1/48G", 75),
        ("a S0 8/64G", 100),
        ("a S0 8/64G, b S0 1m/0", 101),
        ("a S0 1/64G, b S0 1/1G loose", 100),
        ("a S0 1/64G, b S0 1/1G", 102),
    ],
)
def test_how_much_is_asked_for(pods: str, percent: int):
    pins = [t.pinned(_at(t)) for t in tenants(pods)]
    assert asked(node(WIDE), pins, 0) == percent
    # Whose CPUs are all gone is nobody's any more.
    assert asked(node(WIDE), pins, 7) == 0


def _at(one: Tenant) -> Spot:
    spot = one.pod.current
    assert spot is not None
    return replace(spot, lenient=one.choice.memory != "Strict")


def test_a_split_pod_stays_as_it_is_where_a_narrower_place_relieves_nobody():
    """CPUs went and it shrank: socket 1 is asked for three of its two, with it or without."""
    where = node("S0[N0 3 8G] S1[N1 6-7 8G]")
    pod = Candidate(asks("1m/0"), current=Spot(0, also=(1,)))
    me = Tenant("split", pod, policy(on_unplaceable="Split"))
    every = [*tenants("a S1 1600m/0, b S1 1300m/0, c S1 100m/0"), me]
    pins = [t.pinned(_at(t)) for t in every if t is not me]
    alone = plan(where, pins, me.pod, me.choice)
    assert isinstance(alone, Placement)
    assert (alone.spot.sockets, alone.crowded) == ((0,), True)
    for others in (every, every[::-1]):
        found, who = look(where, others, me)
        assert isinstance(found, Placement)
        assert (found.spot, who) == (pod.current, None)


def test_a_pod_that_was_moved_in_vain_leaves_only_where_no_other_is_enough():
    def leaves(text: str) -> str | None:
        first, *others = tenants(text)
        found = leaving(node(WIDE), [replace(first, in_vain=True), *others], (), first.name)
        return None if found is None else found.name

    assert leaves("b S0 3/1G, a S0 3/20G, c S0 3/2G") == "c"
    # Though its policy moves pods, and no other's does.
    assert leaves("b S0 3/1G auto, a S0 3/20G, c S0 3/2G") == "c"
    assert leaves("b S0 3/1G, a S0 7/20G, f S1 2/1G") == "b"
    assert leaves("b S0 4500m/1G, a S0 500m/20G, c S0 4/2G, d S0 4/1G") == "d"


def test_pods_of_which_nothing_is_known_stay_and_take_room():
    every = tenants("a S0 3/20G, c S0 3/2G")
    unknown = tenant("b S0 3/1G")
    assert unknown.pod.current is not None
    found = leaving(node(WIDE), every, [unknown.pinned(unknown.pod.current)], "a")
    assert found is not None
    assert found.name == "c"


# -- what holds for any input ---------------------------------------------------------

MACHINES = [TWO, " ".join(f"S{i}[N{i} {4 * i}-{4 * i + 3} 8G]" for i in range(3))]
sizes = st.tuples(st.integers(0, 20), st.integers(0, 12), st.integers(0, 8), st.booleans())


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Node, list[Tenant]]:
    """Pods on sockets of which at most one is asked for more than it has, as after a resize.

    Pods of two crowds may want the same room elsewhere: then the first that is looked at has it.
    """
    text = draw(st.sampled_from(MACHINES))
    where = Node("n", machine(text))
    made: list[Tenant] = []
    for i, (cpu, memory, at, auto) in enumerate(draw(st.lists(sizes, min_size=2, max_size=7))):
        socket = at % len(where.topology.sockets)
        word = " auto" if auto else ""
        made.append(tenant(f"p{i} S{socket} {cpu * 100}m/{memory / 4}G{word}"))
    assume(len(over(where, made)) <= 1)
    return where, made


def over(where: Node, every: Sequence[Tenant]) -> set[int]:
    """Sockets of which more is asked for than there is."""
    pins = [t.pinned(t.pod.current) for t in every if t.pod.current is not None]
    room = Room(where, pins)
    return {
        socket
        for socket, mask in room.cells.of_socket.items()
        if any(room.taken(mask, part) > room.capacity(mask, part) for part in (CPU, MEMORY))
    }


@given(crowds(), st.randoms(use_true_random=False))
def test_it_is_the_same_from_any_order_of_looks(crowd: tuple[Node, list[Tenant]], chance: Any):
    where, every = crowd
    order = [t.name for t in every]
    first = settle(where, every, order)
    chance.shuffle(order)
    shuffled = list(every)
    chance.shuffle(shuffled)
    assert settle(where, shuffled, order) == first


@given(crowds())
def test_never_two_where_one_is_enough(crowd: tuple[Node, list[Tenant]]):
    where, every = crowd
    at = {t.name: t.pod.current.socket for t in every if t.pod.current is not None}
    for one in every:
        _, who = look(where, every, one)
        if who is None or not who.enough:
            continue
        went = settle(where, every, [t.name for t in every])
        assert [n for n, socket in went.items() if socket != at[n]] == [who.name]
