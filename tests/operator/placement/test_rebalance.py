"""Moves: for what reason, the fewest, the cheapest, and when none at all."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.machines import GIB, TWO, asks, machine, spot
from support.planning import node, policy

from numapin_api.cpulist import NodeSet
from numapin_api.policy import Rebalance
from numapin_operator.placement.rebalance import Bounds, Usage, rebalance, too_busy
from numapin_operator.placement.room import MEMORY, WHOLE, Room, sockets
from numapin_operator.placement.series import settle
from numapin_operator.placement.state import Tenant, begin, carry_out
from numapin_operator.placement.values import Candidate, Node, Placement

AUTO = policy(rebalance=Rebalance(mode="Auto", threshold="70%", min_gain="5%"))


def tenant(text: str, **more: Any) -> Tenant:
    """``a S0 2/1G`` is pinned, ``a - 2/1G`` waits."""
    name, where, wanted = text.split()
    requests = asks(wanted)
    current = None if where == "-" else spot(where)
    resident = {} if current is None else {current.socket: requests.memory_bytes}
    pod = Candidate(requests, resident=resident, current=current)
    made = Tenant(name, pod, AUTO)
    inner = {k: v for k, v in more.items() if k in {"devices", "resident"}}
    outer = {k: v for k, v in more.items() if k not in inner}
    return replace(made, pod=replace(pod, **inner), **outer)


def tenants(text: str) -> list[Tenant]:
    return [tenant(one) for one in filter(None, map(str.strip, text.split(",")))]


def said(where: Node, pinned: list[Tenant], usage: Usage | None = None) -> list[str]:
    found = rebalance(where, pinned, usage or Usage(), Bounds())
    return [f"{m.name} {m.from_socket}>{m.to_socket}" for m in found]


@pytest.mark.parametrize(
    ("pinned", "moves"),
    [
        ("", []),
        ("a S0 2/1G, b S1 2/1G", []),
        # Busy, but nothing would be better elsewhere.
        ("a S0 4/1G, b S1 4/1G", []),
        ("a S0 4/1G", []),
        ("a S0 2/1G, b S0 2/1G", ["a 0>1"]),
        # The cheaper of two that gain the same.
        ("a S0 2/3G, b S0 2/1G", ["b 0>1"]),
        ("a S0 1/1G, b S0 1/1G, c S0 1/1G, d S0 1/1G", ["a 0>1", "b 0>1"]),
        # A swap: two moves that gain together what none gains alone, in an order that fits.
        ("a S0 3/1G, b S0 1/1G, c S1 1/1G, d S1 1/1G", ["b 0>1"]),
        ("a S0 1/7G, b S0 1/1G, c S1 1/1G", ["b 0>1"]),
    ],
)
def test_busy_sockets(pinned: str, moves: list[str]):
    assert said(node(TWO), tenants(pinned)) == moves


def test_what_it_says():
    (move,) = rebalance(node(TWO), tenants("a S0 2/1G, b S0 2/3G"), Usage(), Bounds())
    assert (move.reason, move.gain, move.load, move.bytes_to_move) == (
        "SocketBusy", 50.0, 100.0, GIB,
    )  # fmt: skip
    assert move.message == (
        "moved from socket 0 (100 % in use) to socket 1, 1.0 GiB of memory: "
        "the busiest socket goes from 100 to 50 % in use by 1 move"
    )


@pytest.mark.parametrize(
    ("pinned", "waiting", "moves"),
    [
        ("a S0 2/1G, b S1 2/1G", "w - 3/1G", ["a 0>1"]),
        ("a S0 2/3G, b S1 2/1G", "w - 3/1G", ["b 1>0"]),
        ("a S0 3/1G, b S1 2/1G", "w - 3/1G", []),
        # Two moves, when one does not do.
        ("a S0 1/1G, b S0 1/1G, c S1 1/1G, d S1 1/1G", "w - 4/1G", ["a 0>1", "b 0>1"]),
        # Memory as well as CPU.
        ("a S0 0/4G, b S1 0/4G", "w - 1/5G", ["a 0>1"]),
        # The first that can be helped.
        ("a S0 2/1G, b S1 2/1G", "v - 5/1G, w - 3/1G", ["a 0>1"]),
        # It has room already: nothing has to move.
        ("a S0 2/1G, b S1 2/1G", "w - 2/1G", []),
    ],
)
def test_pods_that_wait(pinned: str, waiting: str, moves: list[str]):
    usage = Usage(hot=frozenset(), waiting=tuple(tenants(waiting)))
    assert said(node(TWO), tenants(pinned), usage) == moves


BUSY = "a S0 2/1G, b S0 2/1G"


@pytest.mark.parametrize(
    "changed",
    [
        {"movable": False},
        {"choice": replace(AUTO, mode="Observe")},
        {"choice": replace(AUTO, socket=0)},
        {"choice": replace(AUTO, rebalance=Rebalance())},
        {"choice": replace(AUTO, rebalance=Rebalance(mode="Auto", min_gain="60%"))},
        {"devices": NodeSet([0])},
    ],
)
def test_what_keeps_a_pod_where_it_is(changed: dict[str, Any]):
    pinned = [tenant("a S0 2/1G", **changed), tenant("b S0 2/1G", **changed)]
    assert said(node(TWO), pinned) == []


def test_a_budget_that_is_used_up_moves_nothing():
    assert rebalance(node(TWO), tenants(BUSY), Usage(), Bounds(budget={"p": 0})) == ()
    assert rebalance(node(TWO), tenants(BUSY), Usage(), Bounds(budget={"p": 1})) != ()


def test_only_sockets_that_were_busy_for_long_enough():
    assert said(node(TWO), tenants(BUSY), Usage(hot=frozenset())) == []
    assert said(node(TWO), tenants(BUSY), Usage(hot=frozenset([(1, "p")]))) == []
    assert said(node(TWO), tenants(BUSY), Usage(hot=frozenset([(0, "p")]))) == ["a 0>1"]


WEB = {"workload": "ns/Deployment/web", "namespace": "ns", "labels": {"app": "shop"}}


@pytest.mark.parametrize(
    ("wish", "pods", "moves"),
    [
        ({}, "a S0 2/1G web, b S0 2/3G, c S1 100m/1G web", ["a 0>1"]),
        ({"spread_replicas": True}, "a S0 2/1G web, b S0 2/3G, c S1 100m/1G web", ["b 0>1"]),
        # There are as many on either: it may go.
        (
            {"spread_replicas": True},
            "a S0 2/1G web, b S0 2/3G web, c S1 100m/1G web",
            ["a 0>1"],
        ),
        ({"colocate": "app"}, "a S0 2/1G web, b S0 1900m/2G, c S0 100m/1G web", ["b 0>1"]),
        ({"colocate": "app"}, "a S0 2/1G web, b S0 2/3G, c S1 100m/2G web", ["a 0>1"]),
    ],
)
def test_no_move_goes_against_wishes_for_neighbours(
    wish: dict[str, Any], pods: str, moves: list[str]
):
    how = replace(AUTO, **wish)
    pinned = []
    for text in pods.split(", "):
        one = tenant(text.removesuffix(" web"), choice=how)
        pinned.append(replace(one, pod=replace(one.pod, **WEB)) if "web" in text else one)
    assert said(node(TWO), pinned) == moves


def under(name: str, threshold: str, text: str) -> list[Tenant]:
    """Pods of a policy with a threshold of its own."""
    rules = Rebalance(mode="Auto", threshold=threshold, min_gain="5%")
    how = policy(policy=name, rebalance=rules)
    return [replace(t, choice=how) for t in tenants(text)]


@pytest.mark.parametrize(
    ("pods", "moves"),
    [
        # At 75 %, which the small pod's policy finds too busy; it alone would gain nothing.
        ("small S0 100m/1G | big S0 2/1G", []),
        ("small S0 500m/1G | big S0 2/1G", ["small 0>1"]),
        # At 100 % both find it too busy.
        ("small S0 1/1G, other S0 1/3G | big S0 2/1G", ["big 0>1"]),
    ],
)
def test_no_pod_is_moved_at_less_than_its_own_threshold(pods: str, moves: list[str]):
    low, high = pods.split(" | ")
    where = node(TWO, busy={0: 4000 if "other" in pods else 3000, 1: 0})
    pinned = [*under("low", "60%", low), *under("high", "95%", high)]
    assert said(where, pinned) == moves


def test_no_pod_is_moved_before_its_own_patience_is_over():
    pinned = [*under("low", "60%", "a S0 2/1G"), *under("high", "60%", "b S0 2/3G")]
    assert said(node(TWO), pinned) == ["a 0>1"]
    assert said(node(TWO), pinned, Usage(hot=frozenset([(0, "high")]))) == ["b 0>1"]
    assert said(node(TWO), pinned, Usage(hot=frozenset([(1, "low")]))) == []


THREE = f"{TWO} S2[N2 8-11 8G]"


def test_another_socket_is_not_relieved_of_a_moments_load():
    """Socket 0 has long been busy, and nothing there can be moved; socket 1 has just become so."""
    stuck = replace(tenant("a S0 4/1G"), movable=False)
    just = tenants("b S1 2/1G, c S1 1500m/1G")
    assert said(node(THREE), [stuck, *just], Usage(hot=frozenset([(0, "p")]))) == []
    assert said(node(THREE), [stuck, *just], Usage(hot=frozenset([(0, "p"), (1, "p")]))) == []
    assert said(node(THREE), [stuck, *just], Usage(hot=frozenset([(1, "p")]))) == ["b 1>2"]


def test_what_makes_way_for_a_swap_is_judged_by_what_it_takes_along():
    """It leaves a socket that is not busy, which can't fall by what the other is relieved of."""
    full = tenants("a S0 2500m/1G, b S0 1200m/1G, c S1 1/1G, d S1 1/1G")
    found = rebalance(node(TWO, busy={0: 3900, 1: 1200}), full, Usage(), Bounds())
    state = begin(node(TWO, busy={0: 3900, 1: 1200}), full)
    for move in found:
        after = state.moved(state.tenants[move.name], move.to_socket)
        assert after is not None
        fell = state.loads[move.from_socket] - after.loads[move.from_socket]
        assert move.gain <= max(0, 100 * fell / WHOLE)
        state = after
    assert found


def test_real_use_decides_where_it_is_reported():
    pinned = [tenant("a S0 2/1G", cpu_millis=100), tenant("b S0 2/1G", cpu_millis=1500)]
    assert said(node(TWO, busy={0: 1600, 1: 0}), pinned) == []
    assert too_busy(node(TWO, busy={0: 1600, 1: 0}), pinned) == frozenset()
    hot = node(TWO, busy={0: 3600, 1: 0})
    assert too_busy(hot, pinned) == {(0, "p")}
    # It is the use that goes with the pod, not what it asks for.
    assert said(hot, pinned) == ["b 0>1"]


def test_memory_in_use_is_a_load_too():
    where = node(TWO, available={0: 1, 1: 7})
    assert said(where, tenants("a S0 1/3G, b S0 1/1G")) == ["a 0>1"]


def test_more_promised_than_there_is_counts_as_busy_whatever_is_used():
    where = node(TWO, busy={0: 100, 1: 100})
    assert said(where, tenants("a S0 3/1G, b S0 2/1G")) == ["b 0>1"]


def test_no_room_where_it_would_go():
    assert said(node(TWO, available={0: 1, 1: 1}), tenants("a S0 1/4G, b S0 1/3G")) == []


def test_a_move_that_was_made_is_not_taken_back():
    done = settle(node(TWO), tenants("a S0 1/1G, b S0 1/1G, c S0 1/1G, d S0 1/1G"), [])
    assert [m.name for m in done.moves] == ["a", "b"]
    assert rebalance(done.node, done.pinned, Usage(), Bounds()) == ()


def test_moves_that_can_not_be_made_are_an_error():
    with pytest.raises(ValueError, match="socket 1 of node numa-0 has no room for a"):
        carry_out(node(TWO), tenants("a S0 2/1G, b S1 3/1G"), [("a", 1)])


# -- what holds for any input ---------------------------------------------------------

MACHINES = [TWO, " ".join(f"S{i}[N{i} {4 * i}-{4 * i + 3} 8G]" for i in range(3))]
sizes = st.tuples(st.integers(1, 30), st.integers(0, 30))


@st.composite
def filled(draw: st.DrawFn) -> tuple[Node, list[Tenant], list[Tenant]]:
    """Pods that came in order, each on any socket that had room; the rest waits."""
    where = Node("n", machine(draw(st.sampled_from(MACHINES))))
    pinned: list[Tenant] = []
    waiting: list[Tenant] = []
    for i, (cpu, memory) in enumerate(draw(st.lists(sizes, max_size=9))):
        wanted = asks(f"{cpu * 100}m/{memory / 4}G")
        room = Room(where, [t.pinned(t.pod.current) for t in pinned if t.pod.current])
        fits = [
            p.socket
            for p in sockets(room)
            if p.takes_cpu(wanted.cpu_millis)
            and p.takes_memory(wanted.memory_bytes, headroom_percent=0)
        ]
        pod = Candidate(wanted)
        if fits:
            socket = draw(st.sampled_from(fits))
            pod = replace(pod, current=spot(f"S{socket}"), resident={socket: wanted.memory_bytes})
            pinned.append(Tenant(f"p{i}", pod, AUTO))
        else:
            waiting.append(Tenant(f"p{i}", pod, AUTO))
    return where, pinned, waiting


@given(filled(), st.randoms(use_true_random=False))
def test_moves_keep_to_capacity_gain_something_and_come_to_an_end(cluster: Any, chance: Any):
    where, pinned, waiting = cluster
    done = settle(where, pinned, waiting)
    final = begin(done.node, done.pinned)
    for place in sockets(Room(done.node, final.pins())):
        assert place.cpu_used <= place.cpu_capacity
        assert place.room.taken(place.mask, MEMORY) <= place.memory_total
    names = [m.name for m in done.moves]
    assert len(set(names)) == len(names)
    assert all(m.gain >= 0 for m in done.moves)
    if not waiting:
        relief = begin(where, pinned).peak - final.peak
        assert relief >= len(done.moves) * 5 * WHOLE // 100
    # Nothing that is settled is unsettled by looking again.
    held = [replace(t, movable=t.name not in names) for t in done.pinned]
    assert rebalance(done.node, held, Usage(waiting=done.waiting), Bounds()) == ()
    # In whatever order the pods are named.
    shuffled = list(pinned)
    chance.shuffle(shuffled)
    assert settle(where, shuffled, waiting).moves == done.moves


@given(filled())
def test_every_step_of_a_series_fits(cluster: Any):
    where, pinned, waiting = cluster
    state = begin(where, pinned, waiting)
    found = rebalance(where, pinned, Usage(waiting=tuple(waiting)), Bounds())
    for move in found:
        after = state.moved(state.tenants[move.name], move.to_socket)
        assert after is not None
        state = after
    if found and found[0].reason == "PodWaiting":
        assert any(isinstance(state.places(t), Placement) for t in waiting)
