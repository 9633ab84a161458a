"""Where pods go: tables in the planner's notation."""

from dataclasses import replace

import pytest
from support.choices import choice
from support.machines import (
    CXL,
    GIB,
    LOPSIDED,
    ONE,
    SHARED,
    SNC,
    SPARSE,
    TWO,
    asks,
    machine,
    outcome,
    pins,
    spot,
)

from numapin_api.cpulist import CpuSet
from numapin_api.policy import MemoryMode, Strategy
from numapin_operator.placement.plan import plan
from numapin_operator.placement.values import Candidate, Node, Pinned, Placement, Unplaceable
from numapin_operator.select import Choice


def node(text: str, *, reserved: str = "", available: dict[int, int] | None = None) -> Node:
    free = {n: g * GIB for n, g in (available or {}).items()}
    return Node("numa-0", machine(text), CpuSet.parse(reserved), free)


def resident(**gib: float) -> dict[int, int]:
    return {int(n.removeprefix("N")): round(g * GIB) for n, g in gib.items()}


def decide(
    on: str | Node,
    taken: str,
    wanted: str,
    how: Choice | None = None,
    **pod: object,
) -> Placement | Unplaceable:
    where = node(on) if isinstance(on, str) else on
    candidate = replace(Candidate(requests=asks(wanted)), **pod)  # type: ignore[arg-type]
    return plan(where, pins(taken), candidate, how or choice())


@pytest.mark.parametrize(
    ("machine_text", "taken", "wanted", "result"),
    [
        (TWO, "", "500m/1G", "S0 0-3 N0"),
        (TWO, "S0 500m/1G", "500m/1G", "S1 4-7 N1"),
        (TWO, "S0 500m/1G, S1 900m/1G", "500m/1G", "S0 0-3 N0"),
        # CPU and memory both weigh: the fuller of the two decides.
        (TWO, "S0 100m/6G, S1 2/1G", "500m/1G", "S1 4-7 N1"),
        (TWO, "S0 100m/6G, S1 3500m/1G", "500m/1G", "S0 0-3 N0"),
        # Equal at the fuller resource: the other one decides.
        (TWO, "S0 2/2G, S1 2/1G", "100m/0", "S1 4-7 N1"),
        # Pods that ask for nothing still spread.
        (TWO, "S0 0/0", "0/0", "S1 4-7 N1"),
        (TWO, "S0 0/0, S1 0/0", "0/0", "S0 0-3 N0"),
        # The bigger socket is emptier.
        (LOPSIDED, "", "500m/1G", "S1 2-7 N1"),
        # Full sockets are passed over, whatever the score.
        (TWO, "S0 3800m/0, S1 3/7G", "500m/1G", "S1 4-7 N1"),
        (TWO, "S0 3800m/0, S1 3800m/0", "500m/1G", "NoRoom"),
        (TWO, "S0 0/7500m, S1 0/0", "100m/9G", "NoRoom"),
        # Exactly full is not too full.
        (TWO, "S0 2/4G, S1 4/0", "2/4G", "S0 0-3 N0"),
        (SPARSE, "S0 1/1G", "1/1G", "S36 4-7 N8"),
        # CXL memory is nobody's, and nobody is given it.
        (CXL, "S0 1/1G", "1/9G", "NoRoom"),
        (CXL, "S0 1/1G", "1/1G", "S1 4-7 N1"),
        (SNC, "S0 1/1G", "1/1G", "S1 4-7 N2-3"),
        (ONE, "", "1/1G", "SingleSocket"),
        (SHARED, "", "1/1G", "SharedNumaNode"),
    ],
)
def test_spread(machine_text: str, taken: str, wanted: str, result: str):
    taken = taken.replace("0/7500m", "0/7.5G")
    assert outcome(decide(machine_text, taken, wanted)) == result


@pytest.mark.parametrize(
    ("taken", "wanted", "result"),
    [
        ("", "500m/1G", "S0 0-3 N0"),
        ("S1 500m/1G", "500m/1G", "S1 4-7 N1"),
        ("S0 2/1G, S1 3/1G", "500m/1G", "S1 4-7 N1"),
        ("S0 2/1G, S1 3800m/1G", "500m/1G", "S0 0-3 N0"),
        ("S0 100m/7G, S1 3/1G", "500m/1G", "S0 0-3 N0"),
    ],
)
def test_pack_is_best_fit(taken: str, wanted: str, result: str):
    assert outcome(decide(TWO, taken, wanted, choice("Pack"))) == result


@pytest.mark.parametrize(
    ("strategy", "taken", "memory", "result"),
    [
        ("FollowMemory", "", {"N1": 0.5}, "S1 4-7 N1"),
        ("FollowMemory", "S1 2/1G", {"N0": 0.2, "N1": 0.5}, "S1 4-7 N1"),
        ("FollowMemory", "S1 3800m/1G", {"N1": 0.5}, "S0 0-3 N0"),
        ("FollowMemory", "S0 1/1G", {}, "S1 4-7 N1"),
        # A tie-break for the others, no more.
        ("Spread", "", {"N1": 0.5}, "S1 4-7 N1"),
        ("Spread", "S1 100m/0", {"N1": 0.5}, "S0 0-3 N0"),
        ("Pack", "", {"N1": 0.5}, "S1 4-7 N1"),
    ],
)
def test_where_the_memory_is(strategy: Strategy, taken: str, memory: dict[str, float], result: str):
    found = decide(TWO, taken, "500m/1G", choice(strategy), resident=resident(**memory))
    assert outcome(found) == result


@pytest.mark.parametrize(
    ("taken", "wanted", "how", "result"),
    [
        ("", "1/1G", choice(socket=1), "S1 4-7 N1"),
        ("S1 3/7G", "1/1G", choice(socket=1), "S1 4-7 N1"),
        ("S1 3500m/0", "1/1G", choice(socket=1), "NoRoom"),
        ("S1 0/7.5G", "1/1G", choice(socket=1, otherwise="CpuOnly"), "S1 4-7 -"),
        ("S1 0/7.5G", "1/1G", choice(socket=1, memory="None"), "S1 4-7 -"),
    ],
)
def test_explicit_socket_is_honoured_within_capacity(
    taken: str, wanted: str, how: Choice, result: str
):
    assert outcome(decide(TWO, taken, wanted, how)) == result


@pytest.mark.parametrize(
    ("machine_text", "taken", "how", "result"),
    [
        (TWO, "S0 0/7.5G, S1 0/7.5G", choice(), "NoRoom"),
        (TWO, "S0 0/7.5G, S1 0/7.5G", choice(otherwise="CpuOnly"), "S0 0-3 -"),
        (TWO, "S0 3800m/7.5G, S1 0/7.5G", choice(otherwise="CpuOnly"), "S1 4-7 -"),
        (TWO, "S0 3800m/0, S1 3800m/0", choice(otherwise="CpuOnly"), "NoRoom"),
        (SHARED, "", choice(otherwise="CpuOnly"), "S0 0-3 -"),
        (SHARED, "S0 1/1G cpu", choice(memory="None"), "S1 4-7 -"),
        (SHARED, "", choice(memory="Preferred"), "S0 0-3 -"),
        (SHARED, "", choice(granularity="NumaNode"), "NoPlace"),
        (TWO, "S0 0/7.5G, S1 0/7.5G", choice(memory="Preferred"), "S0 0-3 N0"),
        (TWO, "S0 0/7.5G cpu, S1 0/0", choice("Pack"), "S0 0-3 N0"),
    ],
)
def test_when_memory_has_no_room(machine_text: str, taken: str, how: Choice, result: str):
    assert outcome(decide(machine_text, taken, "500m/1G", how)) == result


@pytest.mark.parametrize("memory", ["Preferred", "None"])
@pytest.mark.parametrize("strategy", ["Pack", "Spread", "FollowMemory"])
def test_without_strict_the_sockets_whose_memory_fits_come_first(
    strategy: Strategy, memory: MemoryMode
):
    """Five pods of 6 GiB on two sockets of 8: one each, and then as even as it gets."""
    how, taken, went = choice(strategy, memory=memory), list[Pinned](), list[int]()
    for _ in range(5):
        found = plan(node(TWO), taken, Candidate(asks("100m/6G")), how)
        assert isinstance(found, Placement)
        taken.append(Pinned(found.spot, asks("100m/6G")))
        went.append(found.socket)
    assert set(went[:2]) == {0, 1}
    assert set(went[2:4]) == {0, 1}


@pytest.mark.parametrize(
    ("taken", "memory", "wanted", "result"),
    [
        ("S0 1/4G", "Preferred", "1/6G", "S1 4-7 N1"),
        ("S0 1/4G", "Preferred", "1/3G", "S0 0-3 N0"),
        ("S0 1/4G", "Strict", "1/3G", "S0 0-3 N0"),
        # Nowhere: least beyond what there is.
        ("S0 1/7G, S1 1/4G", "Preferred", "1/6G", "S1 4-7 N1"),
        ("S0 1/7G, S1 4/0", "Preferred", "1/6G", "S0 0-3 N0"),
    ],
)
def test_pack_fills_no_memory_beyond_the_whole_while_another_has_room(
    taken: str, memory: MemoryMode, wanted: str, result: str
):
    assert outcome(decide(TWO, taken, wanted, choice("Pack", memory=memory))) == result


@pytest.mark.parametrize(("lenient", "result"), [(True, "S0 0-3 N0"), (False, "S1 4-7 N1")])
def test_only_memory_that_is_kept_drives_a_strict_pod_out(lenient: bool, result: str):
    (big,) = pins("S0 1/6G")
    taken = [replace(big, spot=replace(big.spot, lenient=lenient))]
    pod = Candidate(asks("1/4G"), current=spot("S0"))
    assert outcome(plan(node(TWO), taken, pod, choice())) == result
    # A new one is not given what may be in use, all the same.
    assert outcome(plan(node(TWO), taken, Candidate(asks("1/4G")), choice("Pack"))) == "S1 4-7 N1"


@pytest.mark.parametrize(
    ("headroom", "wanted", "result"),
    [
        (0, "100m/8G", "S0 0-3 N0"),
        (10, "100m/7G", "S0 0-3 N0"),
        (10, "100m/7.3G", "NoRoom"),
        (50, "100m/4G", "S0 0-3 N0"),
        (99, "100m/0.07G", "S0 0-3 N0"),
        (99, "100m/1G", "NoRoom"),
    ],
)
def test_headroom_is_kept_free(headroom: int, wanted: str, result: str):
    assert outcome(decide(TWO, "", wanted, choice(headroom=headroom))) == result


@pytest.mark.parametrize(
    ("available", "memory", "wanted", "result"),
    [
        # What others (not opted in) hold counts by what is available.
        ({0: 1, 1: 6}, {}, "100m/2G", "S1 4-7 N1"),
        ({0: 1, 1: 1}, {}, "100m/2G", "NoRoom"),
        # The pod's own memory that is there already needs no room.
        ({0: 1, 1: 0}, {"N1": 3}, "100m/3G", "S1 4-7 N1"),
        # A pod that uses more than it asks for is taken by its use.
        ({0: 2, 1: 2}, {"N0": 1.5, "N1": 1.5}, "100m/0", "S0 0-3 N0"),
        ({0: 1, 1: 1}, {"N0": 1.5, "N1": 1.5}, "100m/0", "NoRoom"),
        # Not reported: only requests count.
        ({0: 1}, {}, "100m/2G", "S1 4-7 N1"),
    ],
)
def test_memory_that_can_really_be_had(
    available: dict[int, int], memory: dict[str, float], wanted: str, result: str
):
    where = node(TWO, available=available)
    assert outcome(decide(where, "", wanted, resident=resident(**memory))) == result


@pytest.mark.parametrize(
    ("reserved", "taken", "wanted", "result"),
    [
        ("0", "S1 2/0", "1/1G", "S0 1-3 N0"),
        ("0,4", "", "3/1G", "S0 1-3 N0"),
        ("0,4", "", "3500m/1G", "NoRoom"),
        ("0-3", "", "1/1G", "S1 4-7 N1"),
        ("0-7", "", "0/0", "NoPlace"),
    ],
)
def test_reserved_cpus_are_never_given(reserved: str, taken: str, wanted: str, result: str):
    assert outcome(decide(node(TWO, reserved=reserved), taken, wanted)) == result


@pytest.mark.parametrize(
    ("taken", "wanted", "socket", "result"),
    [
        ("", "500m/1G", None, "S0/N0 0-1 N0"),
        ("S0/N0 100m/1G", "500m/1G", None, "S0/N1 2-3 N1"),
        ("S0/N0 1/1G, S0/N1 1/1G, S1/N2 1/1G", "500m/1G", None, "S1/N3 6-7 N3"),
        ("S0/N0 1/1G", "500m/1G", 1, "S1/N2 4-5 N2"),
        # A pin of the whole socket burdens both of its NUMA nodes.
        ("S0 1/1G", "500m/1G", None, "S1/N2 4-5 N2"),
        # A NUMA node with room in a socket without is no place.
        ("S0 3500m/0, S1 3800m/0", "500m/1G", None, "S0/N0 0-1 N0"),
        ("S0 3800m/0, S1 3800m/0", "500m/1G", None, "NoRoom"),
        # Too big for a NUMA node, or none has room: the socket.
        ("", "2500m/1G", None, "S0 0-3 N0-1"),
        ("S0/N0 1500m/0, S0/N1 1500m/0, S1 3800m/0", "600m/1G", None, "S0 0-3 N0-1"),
        ("S0 1/0, S1 4/0", "3500m/1G", None, "NoRoom"),
    ],
)
def test_granularity_numa_node(taken: str, wanted: str, socket: int | None, result: str):
    how = choice(granularity="NumaNode", socket=socket)
    assert outcome(decide(SNC, taken, wanted, how)) == result


def test_single_socket_with_several_numa_nodes_can_be_pinned_by_numa_node():
    snc1 = "S0[N0 0-1 4G, N1 2-3 4G]"
    assert outcome(decide(snc1, "", "1/1G")) == "SingleSocket"
    assert outcome(decide(snc1, "", "1/1G", choice(granularity="NumaNode"))) == "S0/N0 0-1 N0"


@pytest.mark.parametrize(
    ("machine_text", "current", "taken", "how", "result"),
    [
        # Where it is pinned it stays, as long as no more is asked for there than there is.
        (TWO, "S1", "S1 3500m/7G", choice(), "S1 4-7 N1"),
        (TWO, "S1", "S1 4/1G", choice(), "S0 0-3 N0"),
        (TWO, "S1", "S1 1/8G", choice(), "S0 0-3 N0"),
        # And then, too, when no other place holds it.
        (TWO, "S1", "S1 4/8G, S0 4/0", choice(), "S1 4-7 N1"),
        (TWO, "S1", "S1 4/8G, S0 0/8G", choice(otherwise="CpuOnly"), "S1 4-7 N1"),
        (TWO, "S1", "S1 4/8G, S0 0/8G", choice(otherwise="Split"), "S1 4-7 N1"),
        (TWO, "S1", "", choice("Pack"), "S1 4-7 N1"),
        # Unless it asks for another socket, or that one is gone.
        (TWO, "S1", "", choice(socket=0), "S0 0-3 N0"),
        (TWO, "S2", "", choice(), "S0 0-3 N0"),
        # Asked for a full one: it is not moved there, and loses its place as it wished.
        (TWO, "S1", "S0 4/0", choice(socket=0), "NoRoom"),
        # Granularity changed: within its socket, if that has room.
        (SNC, "S1", "", choice(granularity="NumaNode"), "S1/N2 4-5 N2"),
        (SNC, "S1", "S1/N2 1/1G", choice(granularity="NumaNode"), "S1/N3 6-7 N3"),
        (
            SNC,
            "S1",
            "S1/N2 1750m/1G, S1/N3 1750m/1G",
            choice(granularity="NumaNode"),
            "S1 4-7 N2-3",
        ),
        (SNC, "S1", "S1/N2 2/1G, S1/N3 2/1G", choice(granularity="NumaNode"), "S0/N0 0-1 N0"),
        (SNC, "S1/N3", "", choice(granularity="NumaNode"), "S1/N3 6-7 N3"),
        (SNC, "S1/N3", "", choice(), "S1 4-7 N2-3"),
        (SNC, "S1/N3", "S1 3500m/7G", choice(), "S1 4-7 N2-3"),
        # Memory is released or bound as the policy says now.
        (TWO, "S1", "", choice(memory="None"), "S1 4-7 -"),
        (TWO, "S1", "S1 3500m/8G", choice(memory="Preferred"), "S1 4-7 N1"),
        (TWO, "S1 cpu", "", choice(), "S1 4-7 N1"),
        (TWO, "S1 cpu", "S1 0/8G", choice(otherwise="CpuOnly"), "S1 4-7 -"),
        (TWO, "S1 cpu", "S1 0/8G", choice(), "S0 0-3 N0"),
    ],
)
def test_pins_are_sticky(machine_text: str, current: str, taken: str, how: Choice, result: str):
    where, *rest = current.split()
    now = spot(where, memory="cpu" not in rest)
    assert outcome(decide(machine_text, taken, "500m/1G", how, current=now)) == result


@pytest.mark.parametrize(
    ("wants", "how", "result"),
    [
        # On no socket can it have what it asks for now: it is not kept from it.
        ("6/1G", choice(), "NoRoom"),
        ("6/1G", choice(otherwise="Split"), "S0 0-7 N0-1"),
        ("6/1G", choice(otherwise="CpuOnly"), "NoRoom"),
        ("1/12G", choice(), "NoRoom"),
        ("1/12G", choice(otherwise="CpuOnly"), "S1 4-7 -"),
        ("1/12G", choice(memory="Preferred"), "S1 4-7 N1"),
        ("4/8G", choice(), "S1 4-7 N1"),
    ],
)
def test_a_pod_that_outgrows_its_socket_is_not_kept_there(wants: str, how: Choice, result: str):
    assert outcome(decide(TWO, "", wants, how, current=spot("S1"))) == result


def test_messages_have_the_numbers():
    refused = decide(TWO, "S0 3500m/6G, S1 4/0", "1/3G", choice(headroom=10))
    assert isinstance(refused, Unplaceable)
    assert refused.message == (
        "no socket of node numa-0 has room for 1 CPU and 3.0 GiB of memory with 10% of memory "
        "kept free: socket 0 has 500m of 4 CPU and 1.2 GiB of 7.2 GiB memory left; "
        "socket 1 has 0 of 4 CPU and 7.2 GiB of 7.2 GiB memory left"
    )
    refused = decide(TWO, "S1 4/0", "1/3G", choice(socket=1))
    assert isinstance(refused, Unplaceable)
    assert refused.message.startswith(
        "socket 1 of node numa-0, asked for by annotation, has no room for 1 CPU and 3.0 GiB"
    )
    placed = decide(TWO, "", "1/3G", cpu_limit_millis=6000)
    assert isinstance(placed, Placement)
    assert placed.message == (
        "socket 0 of node numa-0: CPUs 0-3, memory of NUMA nodes 0 (Spread); "
        "the pod's CPU limit of 6 can't be used up on 4 CPUs"
    )
