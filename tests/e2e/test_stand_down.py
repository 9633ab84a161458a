"""A kubelet whose CPU manager gives pods CPUs of their own: numapin leaves the node to it."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.world import NAMESPACE, SLEEP, Cpuset, World, container, pod, resources

from numapin_api.cpulist import CpuSet
from numapin_lab import deploy
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(1800, func_only=True),
]

NODE = "numa-1"
CONFIG = "/etc/kubernetes/kubelet.yaml"
STATE = "/var/lib/kubelet/cpu_manager_state"
RESERVED = CpuSet({0})
STATIC: dict[str, Any] = {"cpuManagerPolicy": "static", "reservedSystemCPUs": str(RESERVED)}


def restart_kubelet(world: World, config: dict[str, Any]) -> None:
    """A policy can only be changed where no state of another is left."""
    text = yaml.safe_dump(config)
    world.ssh(
        NODE,
        f"systemctl stop kubelet; rm -f {STATE}; cat > {CONFIG} <<'END'\n{text}END\n"
        "systemctl start kubelet",
    )
    policy = config.get("cpuManagerPolicy", "none")
    eventually(
        lambda: f'"policyName":"{policy}"' in world.ssh(NODE, f"cat {STATE} 2>/dev/null || true"),
        seconds=300,
        what=f"the kubelet runs with CPU manager policy {policy}",
    )


@pytest.fixture
def static(world: World) -> Iterator[World]:
    """A kubelet with a static CPU manager, and afterwards the usual one.

    An agent remembers a neighbour for ten minutes; a new one has nothing to remember.
    """
    usual = yaml.safe_load(world.ssh(NODE, f"cat {CONFIG}"))
    restart_kubelet(world, usual | STATIC)
    yield world
    world.cluster.delete(NAMESPACE, ["exclusive"], seconds=420)
    restart_kubelet(world, usual)
    world.kubectl("delete", "pod", "-n", deploy.NAMESPACE, world.agent(NODE).metadata.name)
    eventually(
        lambda: not any(n.stand_down for n in world.numa_node(NODE).status.neighbours),
        seconds=420,
        what="the NumaNode names no such neighbour any more",
    )


def manager(world: World) -> bool | None:
    """Whether numapin stands down for the CPU manager; None where it doesn't see one."""
    found = world.numa_node(NODE).status.neighbours
    return next((n.stand_down for n in found if n.name == "kubelet-static-cpu-manager"), None)


def await_whole_socket(world: World, but: CpuSet) -> None:
    """Wait until the kernel gives the pod its socket, without CPUs that the kubelet reserves."""

    def there() -> bool:
        pin = world.pin("elsewhere")
        if pin is None or pin.spec.socket is None:
            return False
        socket = world.socket_of(pin)
        return world.effective("elsewhere") == Cpuset(CpuSet(socket.cpus - but), socket.mems)

    eventually(there, seconds=420, what="the pod has a socket")


def test_pins_are_lifted_while_pods_have_cpus_of_their_own(static: World):
    eventually(lambda: manager(static) is False, seconds=240, what="the CPU manager is seen")
    # Static, but with no CPUs given away, it is in nobody's way.
    await_whole_socket(static, but=RESERVED)

    whole = static.effective_of(NODE, "/sys/fs/cgroup")
    wanted = resources("1", "32Mi", limits=True)
    static.cluster.create(
        pod("exclusive", container(script=SLEEP, resources=wanted), pinned=False, node=NODE)
    )
    static.cluster.await_ready(NAMESPACE, "exclusive", seconds=420)
    own = static.inside("exclusive").cpus
    assert len(own) == 1
    eventually(lambda: manager(static) is True, seconds=240, what="numapin stands down")

    def lifted() -> bool:
        pin = static.pin("elsewhere")
        if pin is None or pin.status is None or pin.status.verdict != "Conflict":
            return False
        return pin.spec.cpus is None and static.effective("elsewhere") == whole

    eventually(lifted, seconds=420, what="the pin is lifted")
    pin = static.pin("elsewhere")
    assert pin is not None
    assert pin.status is not None
    condition = next(c for c in pin.status.conditions if c.type == "Pinned")
    assert condition.reason == "Conflict"
    assert f"node {NODE} is left to another tool" in condition.message
    # The kubelet decides now: the container has all CPUs but those given away.
    eventually(
        lambda: static.inside("elsewhere").cpus == CpuSet(whole.cpus - own),
        seconds=240,
        what="the container has the kubelet's shared CPUs",
    )


def test_pods_are_pinned_again_afterwards(world: World):
    await_whole_socket(world, but=CpuSet())
    world.await_phase("elsewhere", "Pinned")
