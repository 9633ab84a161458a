"""A pinned pod whose socket has less than it asks for: CPUs go offline, or it is resized.

On the node where no other test pins.
"""

import json

import pytest
from support.verdicts import made, said
from support.world import NAMESPACE, World, container, pod, resources

from numapin_api.cpulist import CpuSet
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(900, func_only=True),
]

NODE = "numa-1"


def switched(world: World, cpu: int, *, on: bool) -> None:
    world.ssh(NODE, f"echo {int(on)} > /sys/devices/system/cpu/cpu{cpu}/online")


def await_cpus(world: World, name: str, cpus: CpuSet) -> None:
    """Until the pin says so, is in force with it, and the kernel agrees."""

    def there() -> bool:
        pin = world.pin(name)
        return (
            pin is not None
            and pin.spec.cpus == str(cpus)
            and world.await_phase(name, "Pinned").spec.cpus == str(cpus)
            and world.effective(name).cpus == cpus
        )

    eventually(there, seconds=300, what=f"{name} has CPUs {cpus}")


def test_a_pin_follows_cpus_that_go_offline_and_come_back(world: World):
    wish = {"numapin.io/socket": "1"}
    with made(world, pod("r-plugged", node=NODE, annotations=wish)) as name:
        whole = world.socket_of(world.await_phase(name, "Pinned")).cpus
        last = max(whole)
        try:
            switched(world, last, on=False)
            await_cpus(world, name, CpuSet(whole - {last}))
        finally:
            switched(world, last, on=True)
        await_cpus(world, name, whole)


def test_a_pod_that_outgrows_its_socket_is_let_go_and_pinned_again_when_it_fits(world: World):
    topology = world.numa_node(NODE).status.topology.value()
    online = CpuSet(cpu for socket in topology.sockets for cpu in socket.cpus)
    most = max(len(socket.cpus) for socket in topology.sockets)
    small = container(resources=resources("100m", "16Mi", limits=False))

    def resize(cpu: str) -> None:
        asked = {"name": "main", "resources": {"requests": {"cpu": cpu}}}
        patch = json.dumps({"spec": {"containers": [asked]}})
        world.kubectl(
            "patch", "pod", "r-grows", "-n", NAMESPACE, "--subresource", "resize", "-p", patch
        )

    with made(world, pod("r-grows", small, node=NODE)) as name:
        world.await_phase(name, "Pinned")
        resize(f"{most * 1000 + 100}m")
        pin = world.await_phase(name, "Unpinned")
        assert pin.spec.socket is None
        assert "has room" in said(pin, "Pinned")
        assert world.effective(name).cpus == online
        resize("100m")
        pin = world.await_phase(name, "Pinned")
        assert world.effective(name).cpus == world.socket_of(pin).cpus
