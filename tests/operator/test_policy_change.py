"""Policies change under pinned pods: one write in place, and never one without a place."""

from typing import Any

import pytest
from support.fake_cluster import FakeCluster
from support.operator_objects import good_report, two_sockets
from support.operator_parts import Parts

from numapin_operator.kube import Json


class Recording(FakeCluster):
    """Also keeps every NumaPin as it was applied."""

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[Json] = []

    async def apply_pin(self, body: Json) -> Json:
        self.applied.append(body)
        return await super().apply_pin(body)


@pytest.fixture
def cluster() -> Recording:
    return Recording()


@pytest.fixture
def parts(cluster: Recording) -> Parts:
    """Two sockets, and a pod on the second one whose agent has reported."""
    made = Parts(cluster)
    made.node(status=two_sockets(cpus_per_socket=8))
    made.start()
    made.policy("old", priority=1)
    made.pod("neighbour", cpu="2")
    made.settle(60)
    made.pod("redis")
    made.settle(60)
    made.observe("redis", good_report(made.cluster.pin("default", "redis"), since=made.time()))
    made.settle(60)
    assert made.sockets() == {"neighbour": 0, "redis": 1}
    cluster.applied.clear()
    cluster.writes.clear()
    return made


def changed(parts: Parts) -> list[Json]:
    """What was written of redis; nothing may have been deleted or made anew."""
    parts.settle(120)
    assert [w for w in parts.cluster.writes if w.startswith("delete")] == []
    cluster = parts.cluster
    assert isinstance(cluster, Recording)
    return [body["spec"] for body in cluster.applied if body["metadata"]["name"] == "redis"]


@pytest.mark.parametrize(
    ("spec", "difference"),
    [
        ({"verification": {"minLocalPercent": 90}}, {"minLocalPercent": 90}),
        ({"memory": "Preferred"}, {"memory": "Preferred"}),
        ({"memoryHeadroom": "20%"}, {"memoryHeadroom": "20%"}),
        ({"granularity": "NumaNode"}, {"granularity": "NumaNode"}),
        # What only matters for pods that have no place yet.
        ({"placement": {"strategy": "Pack"}}, None),
        ({"placement": {"strategy": "FollowMemory", "onUnplaceable": "CpuOnly"}}, None),
        ({"podSelector": {"matchExpressions": []}}, None),
    ],
)
def test_an_edit_is_one_write_in_place(parts: Parts, spec: Json, difference: Json | None):
    before = parts.cluster.pin("default", "redis")
    parts.policy("old", priority=1, **spec)
    written = changed(parts)
    assert len(written) == (0 if difference is None else 1)
    for body in written:
        assert (body["socket"], body["cpus"], body["mems"]) == (1, "8-15", "1")
        assert (difference or {}).items() <= (body | body["verification"]).items()
    assert parts.cluster.pin("default", "redis")["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.parametrize("next_one", [None, {"priority": 0, "memory": "Preferred"}])
def test_a_policy_that_goes_leaves_its_pods_to_the_one_that_now_applies(
    parts: Parts, next_one: dict[str, Any] | None
):
    if next_one is not None:
        parts.policy("next", **next_one)
        assert changed(parts) == []
    parts.tell_gone("numapolicies", ("", "old"))
    (body,) = changed(parts)
    assert body["policy"] == ("(default)" if next_one is None else "next")
    assert (body["socket"], body["cpus"], body["mems"]) == (1, "8-15", "1")


def test_a_policy_of_higher_priority_takes_over_in_place(parts: Parts):
    parts.policy("urgent", priority=9)
    (body,) = changed(parts)
    assert (body["policy"], body["socket"], body["cpus"]) == ("urgent", 1, "8-15")


def test_a_policy_that_binds_no_memory_keeps_the_cpus(parts: Parts):
    parts.policy("old", priority=1, memory="None")
    (body,) = changed(parts)
    assert (body["socket"], body["cpus"], "mems" in body) == (1, "8-15", False)


def test_only_what_asks_for_no_pin_takes_the_place_away(parts: Parts):
    parts.policy("old", priority=1, mode="Observe")
    (body,) = changed(parts)
    assert body["mode"] == "Observe"
