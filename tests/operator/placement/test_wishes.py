"""Devices, replicas, pods that talk to each other, huge pages, real use: tables of each."""

from dataclasses import replace
from typing import Any

import pytest
from support.machines import CXL, GIB, SNC, TWO, asks, outcome, pins, spot
from support.planning import MIB2, node, policy

from numapin_api.cpulist import NodeSet
from numapin_operator.placement.plan import options, plan
from numapin_operator.placement.values import Candidate, Node, Placement, Unplaceable
from numapin_operator.select import Choice

FOUR = " ".join(f"S{i}[N{i} {4 * i}-{4 * i + 3} 8G]" for i in range(4))


def decide(
    on: str | Node, taken: str, wanted: str, how: Choice | None = None, **pod: Any
) -> Placement | Unplaceable:
    where = node(on) if isinstance(on, str) else on
    return plan(where, pins(taken), replace(Candidate(asks(wanted)), **pod), how or policy())


@pytest.mark.parametrize(
    ("devices", "taken", "wish", "result"),
    [
        ("1", "", "Prefer", "S1 4-7 N1"),
        ("1", "S1 3/7G", "Prefer", "S1 4-7 N1"),
        ("1", "S1 4/0", "Prefer", "S0 0-3 N0"),
        ("1", "", "Require", "S1 4-7 N1"),
        ("1", "S1 4/0", "Require", "NoRoom"),
        ("1", "", "Ignore", "S0 0-3 N0"),
        # No hint is no wish, as for the kubelet's topology manager.
        ("", "S0 1/1G", "Require", "S1 4-7 N1"),
        ("0-1", "S0 1/1G", "Prefer", "S1 4-7 N1"),
        ("0-1", "", "Require", "DevicesApart"),
        # One that no socket owns is never passed over in silence.
        ("7", "", "Require", "DevicesUnknown"),
        ("1,7", "", "Require", "DevicesUnknown"),
        ("7", "S0 1/1G", "Prefer", "S1 4-7 N1"),
        ("1,7", "", "Prefer", "S1 4-7 N1"),
        ("7", "", "Ignore", "S0 0-3 N0"),
    ],
)
def test_devices(devices: str, taken: str, wish: str, result: str):
    how = policy(devices=wish)
    assert outcome(decide(TWO, taken, "1/1G", how, devices=NodeSet.parse(devices))) == result


def test_a_device_on_memory_without_cpus_is_on_no_socket():
    how = policy(devices="Require", on_unplaceable="CpuOnly")
    found = decide(CXL, "", "1/1G", how, devices=NodeSet([2]))
    assert isinstance(found, Unplaceable)
    assert found.reason == "DevicesUnknown"
    assert "NUMA nodes 2 of node numa-0" in found.message
    options_of = options(node(CXL), [], Candidate(asks("1/1G"), devices=NodeSet([2])), how)
    assert all("no socket" in o.obstacle for o in options_of)
    # A place that it has is not given up for want of knowledge.
    kept = decide(CXL, "", "1/1G", how, devices=NodeSet([2]), current=spot("S1"))
    assert outcome(kept) == "S1 4-7 N1"


def test_devices_of_one_numa_node_prefer_it():
    how = policy(granularity="NumaNode")
    found = decide(SNC, "S1/N3 500m/1G", "1/1G", how, devices=NodeSet([3]))
    assert outcome(found) == "S1/N3 6-7 N3"
    full = decide(SNC, "S1/N3 2/1G", "1/1G", how, devices=NodeSet([3]))
    assert outcome(full) == "S1/N2 4-5 N2"


def test_devices_on_two_sockets_can_be_split_over():
    how = policy(devices="Require", on_unplaceable="Split")
    found = decide(FOUR, "", "1/1G", how, devices=NodeSet([1, 3]))
    assert isinstance(found, Placement)
    assert (found.socket, found.also, str(found.cpus), str(found.mems)) == (
        1, (3,), "4-7,12-15", "1,3",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("taken", "result"),
    [
        ("", "S0 0-3 N0"),
        ("S0 1/1G web", "S1 4-7 N1"),
        # Before utilisation, but never before room.
        ("S0 1/1G web, S1 3/7G", "S1 4-7 N1"),
        ("S0 1/1G web, S1 4/0", "S0 0-3 N0"),
        ("S0 1/1G web, S1 1/1G web, S0 1/1G web", "S1 4-7 N1"),
    ],
)
def test_replicas_are_spread(taken: str, result: str):
    how = policy(spread_replicas=True)
    found = plan(
        node(TWO), named(taken), Candidate(asks("1/1G"), workload="ns/Deployment/web"), how
    )
    assert outcome(found) == result


def named(taken: str) -> list[Any]:
    made = []
    for one in filter(None, taken.split(", ")):
        words = [w for w in one.split() if w != "web"]
        (pin,) = pins(" ".join(words))
        if "web" in one:
            pin = replace(pin, workload="ns/Deployment/web", namespace="ns", labels={"app": "shop"})
        made.append(pin)
    return made


@pytest.mark.parametrize(
    ("taken", "namespace", "result"),
    [
        ("S1 3/7G web", "ns", "S1 4-7 N1"),
        ("S1 3/7G web", "other", "S0 0-3 N0"),
        ("S1 4/7G web", "ns", "S0 0-3 N0"),
        ("S0 1/1G web, S1 1/1G web, S1 1/1G web", "ns", "S1 4-7 N1"),
    ],
)
def test_pods_that_talk_to_each_other_go_together(taken: str, namespace: str, result: str):
    pod = Candidate(asks("1/1G"), namespace=namespace, labels={"app": "shop"})
    assert outcome(plan(node(TWO), named(taken), pod, policy(colocate="app"))) == result


@pytest.mark.parametrize(
    ("pages", "free", "result"),
    [
        ({0: 100, 1: 100}, {}, "S0 0-3 N0"),
        ({1: 100}, {}, "S1 4-7 N1"),
        ({0: 100, 1: 100}, {0: 10, 1: 60}, "S1 4-7 N1"),
        ({0: 40, 1: 40}, {}, "NoRoom"),
        # None set up, or an agent that does not say: a Strict pin would end in SIGBUS.
        ({}, {}, "NoRoom"),
    ],
)
def test_huge_pages_per_numa_node(pages: dict[int, int], free: dict[int, int], result: str):
    where = node(
        TWO,
        hugepages={n: {MIB2: count} for n, count in pages.items()},
        hugepages_free={n: {MIB2: count} for n, count in free.items()},
    )
    wanted = replace(asks("1/1G"), hugepages=((MIB2, 50 * MIB2),))
    assert outcome(plan(where, [], Candidate(wanted), policy())) == result
    loose = plan(where, [], Candidate(wanted), policy(memory="Preferred"))
    assert isinstance(loose, Placement)
    assert (loose.mems is not None) == ((free or pages).get(loose.socket, 0) >= 50)


def test_memory_set_up_as_huge_pages_is_not_memory_for_others():
    where = node(TWO, hugepages={0: {MIB2: 3 * GIB // MIB2}, 1: {MIB2: 3 * GIB // MIB2}})
    assert outcome(plan(where, [], Candidate(asks("1/5G")), policy())) == "S0 0-3 N0"
    assert outcome(plan(where, [], Candidate(asks("1/5.5G")), policy())) == "NoRoom"


@pytest.mark.parametrize(
    ("exclusive", "wanted", "result"),
    [
        ("0-1", "1/1G", "S1 4-7 N1"),
        ("0-1", "3/1G", "S1 4-7 N1"),
        ("0-1,4-5", "3/1G", "NoRoom"),
        ("0-1,4-5", "2/1G", "S0 2-3 N0"),
        ("0-3", "1/1G", "S1 4-7 N1"),
    ],
)
def test_cpus_given_to_single_containers_are_nobodys(exclusive: str, wanted: str, result: str):
    assert outcome(decide(node(TWO, exclusive=exclusive), "", wanted)) == result


@pytest.mark.parametrize(
    ("busy", "available", "taken", "result"),
    [
        # Pods that are not pinned count by what they take.
        ({0: 3000, 1: 100}, {}, "", "S1 4-7 N1"),
        ({0: 100, 1: 3000}, {}, "", "S0 0-3 N0"),
        ({}, {0: 2, 1: 7}, "", "S1 4-7 N1"),
        # Requests and use weigh the same: promised here, used there.
        ({0: 0, 1: 2000}, {}, "S0 1/1G", "S0 0-3 N0"),
        ({0: 0, 1: 2000}, {}, "S0 3/1G", "S1 4-7 N1"),
        # One socket that does not say: that one by requests.
        ({0: 4000}, {}, "", "S1 4-7 N1"),
    ],
)
def test_spread_weighs_requests_and_real_use(
    busy: dict[int, int], available: dict[int, float], taken: str, result: str
):
    where = node(TWO, busy=busy, **({"available": available} if available else {}))
    assert outcome(decide(where, taken, "1/1G")) == result


@pytest.mark.parametrize(
    ("taken", "wanted", "result"),
    [
        ("", "5/1G", "S0,1 0-7 N0-1"),
        ("S0 1/1G", "5/1G", "S1,2 4-11 N1-2"),
        ("S0 4/0, S1 4/0", "5/1G", "S2,3 8-15 N2-3"),
        ("S0 1/0, S1 1/0, S2 1/0, S3 1/0", "7/1G", "S0,1,2 0-11 N0-2"),
        ("", "1/9G", "S0,1 0-7 N0-1"),
        ("", "16/1G", "S0,1,2,3 0-15 N0-3"),
        ("S0 1/0", "16/1G", "NoRoom"),
        # One socket holds it: that one.
        ("", "4/1G", "S0 0-3 N0"),
    ],
)
def test_a_pod_too_big_for_a_socket_gets_the_fewest_that_hold_it(
    taken: str, wanted: str, result: str
):
    found = decide(FOUR, taken, wanted, policy(on_unplaceable="Split"))
    said = outcome(found)
    if isinstance(found, Placement) and found.also:
        sockets = ",".join(map(str, found.spot.sockets))
        said = f"S{sockets} {found.cpus} N{found.mems}"
    assert said == result


def test_a_split_pod_takes_room_on_all_its_sockets():
    how = policy(on_unplaceable="Split")
    big = decide(FOUR, "", "7/1G", how)
    assert isinstance(big, Placement)
    taken = replace(pins("S0 7/1G")[0], spot=big.spot)
    where = node(FOUR)
    # One CPU is left on sockets 0 and 1 together, on neither of them more.
    kept = decide(where, "", "1/1G", how)
    assert isinstance(kept, Placement)
    first = plan(where, [taken, *pins("S2 4/0, S3 4/0")], Candidate(asks("1/1G")), how)
    assert outcome(first) == "S0 0-3 N0"
    again = [taken, *pins("S2 4/0, S3 4/0, S0 1/1G")]
    assert outcome(plan(where, again, Candidate(asks("100m/1G")), policy())) == "NoRoom"


def test_a_split_pod_stays_where_it_is():
    how = policy(on_unplaceable="Split")
    here = replace(spot("S1"), also=(2,))
    found = decide(FOUR, "", "5/1G", how, current=here)
    assert isinstance(found, Placement)
    assert found.spot == here
    # The policy has changed its mind: the pod is planned like any other.
    assert outcome(decide(FOUR, "", "5/1G", policy(), current=here)) == "NoRoom"


def test_pack_keeps_the_largest_hole():
    taken = "S0 2/2G, S1 1/1G"
    assert outcome(decide(TWO, taken, "1/1G", policy("Pack"))) == "S0 0-3 N0"
    assert outcome(decide(TWO, "S0 3500m/1G, S1 1/1G", "1/1G", policy("Pack"))) == "S1 4-7 N1"


def test_options_say_what_speaks_against_each_socket():
    where, how = node(TWO), policy()
    found = options(where, pins("S0 4/1G"), Candidate(asks("1/1G")), how)
    assert [(o.place.label, bool(o.obstacle)) for o in found] == [
        ("socket 0", True),
        ("socket 1", False),
    ]
    assert found[0].obstacle.startswith("no room for its CPU: socket 0 has 0 of 4 CPU")
    assert (found[1].score.cpu, found[1].score.memory) == (250_000, 125_000)
