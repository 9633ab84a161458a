"""What schedulers are told of sockets, and that nobody else's objects are touched."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.machines import GIB, SHARED, SNC, TWO, machine, pins
from support.operator_objects import two_sockets

from numapin_api.cpulist import CpuSet
from numapin_api.errors import ApiError
from numapin_operator.advertise.loop import COMPARED, Advertiser
from numapin_operator.advertise.zones import OWN, OWN_LABEL, body, foreign, zones
from numapin_operator.kube import RefusedError
from numapin_operator.placement.values import Node, Pinned, Spot
from numapin_operator.requests import Requests
from numapin_operator.store import Store

Json = dict[str, Any]


def told(text: str, taken: str = "", reserved: str = "") -> list[str]:
    """Zones as ``name<parent cpu left/offered/all memory left``, memory in GiB."""
    lines = []
    for zone in zones(Node("n", machine(text), CpuSet.parse(reserved)), pins(taken)):
        parts = []
        for r in zone["resources"]:
            if r["name"] == "cpu":
                parts.append(f"{r['available']}/{r['allocatable']}/{r['capacity']}")
            else:
                parts.append(f"{int(r['available']) / (1 << 30):g}G")
        lines.append(" ".join([zone["name"] + f"<{zone.get('parent', '')}", *parts]))
    return lines


@pytest.mark.parametrize(
    ("text", "taken", "reserved", "expected"),
    [
        (
            TWO,
            "",
            "",
            [
                "socket-0< 4000m/4/4 8G",
                "socket-1< 4000m/4/4 8G",
                "node-0<socket-0 4000m/4/4 8G",
                "node-1<socket-1 4000m/4/4 8G",
            ],
        ),
        (
            TWO,
            "S1 1500m/2G, S1 500m/1G cpu",
            "0",
            [
                "socket-0< 3000m/3/4 8G",
                "socket-1< 2000m/4/4 6G",
                "node-0<socket-0 3000m/3/4 8G",
                "node-1<socket-1 2000m/4/4 6G",
            ],
        ),
        (
            SNC,
            "S0 3000m/5G, S1/N2 1/1G",
            "",
            [
                "socket-0< 1000m/4/4 3G",
                "socket-1< 3000m/4/4 7G",
                "node-0<socket-0 1000m/2/2 3G",
                "node-1<socket-0 1000m/2/2 3G",
                "node-2<socket-1 1000m/2/2 3G",
                "node-3<socket-1 2000m/2/2 4G",
            ],
        ),
        (SHARED, "S0 1/1G", "", ["socket-0< 3000m/4/4", "socket-1< 4000m/4/4"]),
        (TWO, "S0 9/99G", "4-7", ["socket-0< 0m/4/4 0G", "node-0<socket-0 0m/4/4 0G"]),
    ],
)
def test_what_is_left(text: str, taken: str, reserved: str, expected: list[str]) -> None:
    assert told(text, taken, reserved) == expected


def left(node: Node, held: tuple[Pinned, ...] = ()) -> dict[str, list[str]]:
    return {z["name"]: [r["available"] for r in z["resources"]] for z in zones(node, held)}


def test_a_pod_on_both_sockets_leaves_each_what_is_left_of_both() -> None:
    split = Pinned(Spot(0, also=(1,)), Requests(7000, 12 * GIB))
    found = left(Node("n", machine(TWO)), (split,))
    rest = ["1000m", str(4 * GIB)]
    assert found == {"socket-0": rest, "socket-1": rest, "node-0": rest, "node-1": rest}


def test_a_node_that_is_left_to_another_tool_has_nothing_to_give() -> None:
    found = left(Node("n", machine(TWO), taken_by=("koordlet",)))
    assert set(map(tuple, found.values())) == {("0m", "0")}


def test_distances_are_costs_and_no_policy_is_claimed() -> None:
    made = body("n", "u-1", zones(Node("n", machine(TWO)), ()))
    assert made["zones"][2]["costs"] == [
        {"name": "node-0", "value": 10},
        {"name": "node-1", "value": 21},
    ]
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert "attributes" not in made
    assert "topologyPolicies" not in made
    assert all("attributes" not in z for z in made["zones"])
    assert not foreign(made)


@given(st.lists(st.sampled_from(["S0 1/2G", "S1 3/1G", "S0 500m/0G cpu", "S1 5/9G"]), max_size=6))
def test_nothing_is_ever_less_than_nothing_nor_more_than_there_is(taken: list[str]) -> None:
    for zone in zones(Node("n", machine(TWO)), pins(",".join(taken))):
        cpu, memory = zone["resources"]
        assert 0 <= int(cpu["available"].removesuffix("m")) <= 1000 * int(cpu["allocatable"])
        assert 0 <= int(memory["available"]) <= int(memory["allocatable"])


def refused(status: int) -> RefusedError:
    return RefusedError("PATCH", "/apis/topology.node.k8s.io", status, b'{"message":"no"}')


class Cluster:
    """NodeResourceTopologies of a made-up API server."""

    def __init__(self, **objects: Json) -> None:
        self.objects = objects
        self.writes: list[str] = []
        self.lists = 0
        self.fails: ApiError | None = None

    async def versions(self) -> dict[str, str]:
        self.lists += 1
        return {n: o["metadata"].get("resourceVersion", "") for n, o in self.objects.items()}

    async def topology(self, name: str) -> Json | None:
        return self.objects.get(name)

    async def apply_topology(self, made: Json) -> Json:
        self.writes.append(made["metadata"]["name"])
        if self.fails is not None:
            raise self.fails
        return self.put(made)

    def put(self, made: Json) -> Json:
        name = made["metadata"]["name"]
        version = str(int(self.objects.get(name, made)["metadata"].get("resourceVersion", 0)) + 1)
        self.objects[name] = made | {"metadata": made["metadata"] | {"resourceVersion": version}}
        return self.objects[name]


def report(store: Store, name: str = "a", version: int = 1, **status: Any) -> None:
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    store.put("numanodes", {"metadata": meta, "status": two_sockets() | status})


def advertiser(cluster: Cluster, *names: str) -> tuple[Store, Advertiser, list[None]]:
    store = Store()
    for name in names:
        report(store, name)
    failures: list[None] = []
    return store, Advertiser(store, cluster, failed=lambda: failures.append(None)), failures


def test_each_node_is_written_once_and_again_when_it_changed() -> None:
    cluster = Cluster()
    store, made, failures = advertiser(cluster, "a", "b")
    asyncio.run(made.once())
    asyncio.run(made.once())
    assert cluster.writes == ["a", "b"]
    report(store, "b", 2, reservedCpus="0")
    asyncio.run(made.once())
    assert cluster.writes == ["a", "b", "b"]
    assert cluster.objects["b"]["zones"][0]["resources"][0]["allocatable"] == "1"
    assert cluster.objects["b"]["metadata"]["ownerReferences"][0]["uid"] == "uid-b"
    assert failures == []


def test_cpus_that_single_containers_have_are_nobody_elses() -> None:
    cluster = Cluster()
    store, made, _ = advertiser(cluster)
    report(store, "a", exclusiveCpus="2", reservedCpus="0")
    asyncio.run(made.once())
    offered = [z["resources"][0]["allocatable"] for z in cluster.objects["a"]["zones"]]
    assert offered == ["1", "1", "1", "1"]


def test_a_node_without_an_agent_is_not_written() -> None:
    cluster = Cluster()
    store, made, _ = advertiser(cluster)
    store.put("numanodes", {"metadata": {"name": "a", "uid": "u", "resourceVersion": "1"}})
    asyncio.run(made.once())
    assert cluster.writes == []


@pytest.mark.parametrize("labels", [{}, {OWN_LABEL: "node-feature-discovery"}, {"x": OWN}])
def test_an_object_of_another_producer_is_left_alone(labels: dict[str, str]) -> None:
    other = {"metadata": {"name": "a", "labels": labels}, "zones": []}
    cluster = Cluster(a=other)
    store, made, failures = advertiser(cluster, "a", "b")
    asyncio.run(made.once())
    report(store, "a", 2, reservedCpus="0")
    asyncio.run(made.once())
    assert cluster.writes == ["b"]
    assert cluster.objects["a"] is other
    assert failures == []


def test_a_producer_that_comes_later_has_it_to_itself() -> None:
    cluster = Cluster()
    store, made, failures = advertiser(cluster, "a")
    asyncio.run(made.once())
    cluster.fails = refused(409)
    for version, cpus in ((2, "0"), (3, "1")):
        report(store, "a", version, reservedCpus=cpus)
        asyncio.run(made.once())
    assert cluster.writes == ["a", "a"]
    assert failures == []


def test_an_operator_that_was_restarted_goes_on_with_its_own() -> None:
    cluster = Cluster()
    _, first, _ = advertiser(cluster, "a")
    asyncio.run(first.once())
    _, second, _ = advertiser(cluster, "a")
    asyncio.run(second.once())
    assert cluster.writes == ["a", "a"]


def test_without_the_crd_it_is_tried_again_later_and_once_a_round() -> None:
    cluster = Cluster()
    _, made, failures = advertiser(cluster, "a", "b")
    cluster.fails = refused(404)
    asyncio.run(made.once())
    assert (cluster.writes, len(failures)) == (["a"], 1)
    cluster.fails = None
    asyncio.run(made.once())
    assert cluster.writes == ["a", "a", "b"]


def test_a_node_that_is_gone_is_forgotten() -> None:
    cluster = Cluster()
    store, made, _ = advertiser(cluster, "a")
    asyncio.run(made.once())
    store.drop("numanodes", ("", "a"))
    asyncio.run(made.once())
    report(store, "a", 9)
    asyncio.run(made.once())
    assert cluster.writes == ["a", "a"]


def rounds(made: Advertiser, count: int = COMPARED) -> None:
    async def some() -> None:
        for _ in range(count):
            await made.once()

    asyncio.run(some())


def test_an_object_that_somebody_deletes_or_changes_is_put_right() -> None:
    cluster = Cluster()
    _, made, failures = advertiser(cluster, "a", "b", "c")
    rounds(made)
    assert (cluster.writes, cluster.lists) == (["a", "b", "c"], 1)
    del cluster.objects["a"]
    cluster.put(cluster.objects["b"] | {"zones": []})
    rounds(made)
    assert cluster.writes == ["a", "b", "c", "a", "b"]
    assert cluster.objects["a"]["zones"] == cluster.objects["b"]["zones"]
    assert cluster.objects["b"]["zones"] != []
    # As it should be again: nothing is written.
    rounds(made)
    assert (len(cluster.writes), cluster.lists, failures) == (5, 3, [])


def test_a_node_that_another_producer_has_left_is_taken_up() -> None:
    cluster = Cluster(a={"metadata": {"name": "a"}, "zones": []})
    _, made, _ = advertiser(cluster, "a")
    rounds(made)
    assert cluster.writes == []
    del cluster.objects["a"]
    rounds(made)
    assert cluster.writes == ["a"]
