"""Pods of every kind run on one socket, by the kernel's own word, from their first instruction."""

import pytest
from support.world import NAMESPACE, Cpuset, World

from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]


@pytest.mark.parametrize(
    ("name", "qos", "containers"),
    [
        ("guaranteed", "Guaranteed", ["main", "second"]),
        ("burstable", "Burstable", ["main"]),
        ("besteffort", "BestEffort", ["main"]),
        ("elsewhere", "BestEffort", ["main"]),
    ],
)
def test_every_quality_of_service(world: World, name, qos, containers):
    pin = world.await_phase(name, "Pinned")
    socket = world.socket_of(pin)
    found = world.cluster.pod(NAMESPACE, name)
    assert found is not None
    assert found.status.qos_class == qos
    assert world.effective(name) == socket
    for container in containers:
        assert world.inside(name, container) == socket
    observed = pin.status.observed
    assert (observed.effective.cpus, observed.effective.mems) == (
        str(socket.cpus),
        str(socket.mems),
    )
    assert sorted(c.name for c in observed.containers) == containers


def test_init_container_sees_one_socket_from_its_first_instruction(world: World):
    pin = world.await_phase("guaranteed", "Pinned")
    log = world.kubectl("logs", "-n", NAMESPACE, "guaranteed", "-c", "first")
    assert Cpuset.of_status(log) == world.socket_of(pin)


def test_pins_name_what_they_belong_to(world: World):
    pin = world.await_phase("burstable", "Pinned")
    found = world.cluster.pod(NAMESPACE, "burstable")
    assert found is not None
    assert pin.spec.pod_uid == found.metadata.uid
    assert (pin.spec.node_name, pin.spec.policy) == ("numa-0", "e2e")
    owner = pin.metadata.owner_references[0]
    assert (owner.kind, owner.uid) == ("Pod", found.metadata.uid)


def test_each_node_has_its_own_agent(world: World):
    assert world.await_phase("elsewhere", "Pinned").spec.node_name == "numa-1"
    agents = {world.agent(node).metadata.name for node in ("numa-0", "numa-1")}
    assert len(agents) == 2


def test_a_crashed_container_comes_back_on_its_socket(world: World):
    socket = world.socket_of(world.await_phase("crasher", "Pinned"))
    world.exec("crasher", "touch", "/tmp/die")

    def restarted() -> bool:
        found = world.cluster.pod(NAMESPACE, "crasher")
        status = found.status.container_statuses[0]
        return status.restart_count >= 1 and status.state.running is not None

    eventually(restarted, seconds=240, what="the container was restarted")
    # It runs a moment before it has printed anything.
    log = eventually(
        lambda: world.kubectl("logs", "-n", NAMESPACE, "crasher"),
        seconds=60,
        what="the new container has printed what it may use",
    )
    assert Cpuset.of_status(log) == socket
    assert world.inside("crasher") == socket


def test_a_pod_that_computes_is_verified(world: World):
    world.await_phase("burstable", "Pinned")

    def judged() -> bool:
        status = world.pin("burstable").status
        return status.verdict not in {None, "Pending"}

    eventually(judged, seconds=120, what="burstable has a verdict")
    status = world.pin("burstable").status
    assert status.verdict == "Verified", status
    assert status.evidence in {"Measured", "ByPlacement"}
    assert status.local_percent >= 95
    assert status.cross_socket_pages_per_second <= 10
