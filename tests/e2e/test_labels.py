"""The label on a running pod, and off again: nothing is left behind."""

import pytest
from support.world import NAMESPACE, World

from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]


def systemd_properties(world: World, name: str) -> str:
    """AllowedCPUs and AllowedMemoryNodes of the pod's slice as systemd has them."""
    unit = world.cgroup(name).rpartition("/")[2]
    return world.ssh(
        world.node_of(name), f"systemctl show {unit} -p AllowedCPUs -p AllowedMemoryNodes"
    )


def test_label_on_and_off(world: World):
    whole = world.effective_of("numa-0", "/sys/fs/cgroup")
    assert world.inside("late") == whole
    assert world.pin("late") is None

    world.cluster.label(NAMESPACE, "late", on=True)
    pin = world.await_phase("late", "Pinned")
    socket = world.socket_of(pin)
    assert world.inside("late") == socket
    assert world.effective("late") == socket
    assert pin.status.observed.baseline is not None
    assert set(systemd_properties(world, "late").split()) == {
        f"AllowedCPUs={socket.cpus}",
        f"AllowedMemoryNodes={socket.mems}",
    }

    world.cluster.label(NAMESPACE, "late", on=False)
    eventually(lambda: world.effective("late") == whole, seconds=60, what="late has all CPUs again")
    eventually(lambda: world.pin("late") is None, seconds=60, what="its NumaPin is gone")
    assert world.inside("late") == whole
    assert set(systemd_properties(world, "late").split()) == {
        "AllowedCPUs=",
        "AllowedMemoryNodes=",
    }
