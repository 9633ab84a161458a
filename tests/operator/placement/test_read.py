"""What an agent publishes of its machine, as the planner reads it."""

from typing import Any

from support.objects import example

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.node import NumaNode
from numapin_operator.placement.read import read_machine
from numapin_operator.placement.values import Node
from numapin_operator.records import read_pin


def read(**status: Any) -> Node:
    found = example("NumaNode")
    merged = {k: v for k, v in (found["status"] | status).items() if v is not None}
    machine = read_machine(NumaNode.read({**found, "status": merged}))
    assert machine is not None
    return machine


def test_everything_that_is_published():
    found = read()
    assert found.reserved == CpuSet()
    assert found.exclusive == CpuSet([1])
    assert found.hugepages == {1: {2 << 20: 512}}
    assert found.hugepages_free == {1: {2 << 20: 100}}
    assert found.busy == {0: 1200, 1: 40}
    assert found.available == {0: 2823000000, 1: 2941000000}
    assert found.devices == {("default", "camera", ""): NodeSet([0])}
    assert found.taken_by == (
        "kubelet-static-cpu-manager: the kubelet gave CPUs 1 to single containers",
    )


def test_an_agent_of_before_says_none_of_it():
    names = ("usage", "exclusiveCpus", "devices", "neighbours")
    found = read(**dict.fromkeys(names))
    assert found.devices is None
    assert (found.exclusive, found.busy, found.available) == (CpuSet(), {}, {})
    assert found.taken_by == ()
    assert not found.static_cpu_manager


def test_a_cpu_manager_that_has_given_nothing_yet():
    tool = {"name": "kubelet-static-cpu-manager", "standDown": False}
    found = read(neighbours=[tool])
    assert (found.static_cpu_manager, found.taken_by) == (True, ())


def test_tools_that_only_are_there_take_nothing():
    tool = {"name": "koordlet", "standDown": False, "message": "writes no cpusets"}
    assert read(neighbours=[tool]).taken_by == ()
    assert read(neighbours=[tool | {"standDown": True, "message": ""}]).taken_by == ("koordlet",)


def test_no_topology_is_no_machine():
    assert read_machine(NumaNode.read(example("NumaNode") | {"status": {}})) is None


def test_a_pin_of_several_sockets_and_of_cpus_that_went_offline():
    found = example("NumaPin")
    split = {**found, "spec": {**found["spec"], "socket": 0, "sockets": [0, 1]}}
    assert read_pin(split).spot(read().topology).sockets == (0, 1)  # type: ignore[union-attr]
    inner = {"granularity": "NumaNode", "cpus": "2-3,9", "socket": 1}
    one = read_pin({**found, "spec": {**found["spec"], **inner}})
    spot = one.spot(read().topology)
    assert spot is not None
    assert (spot.socket, spot.numa_node) == (1, 1)
