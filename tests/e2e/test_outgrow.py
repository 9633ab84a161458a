"""No pin costs a pod its life: pods that outgrow their socket, with a pin and without numapin.

On the node where no other test pins: whoever is pinned to a socket that is filled is widened for
ten minutes.
"""

from typing import Any

import pytest
from support.verdicts import await_verdict, made, said
from support.world import NAMESPACE, World, container, pod

from numapin_api.cpulist import NodeSet
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(900, func_only=True),
]

NODE = "numa-1"
HOME = "1"
"""The socket that pods here are bound to, and outgrow."""
FILLS = """
while [ ! -e /tmp/go ]; do sleep 1; done
head -c {mib}M /dev/zero | tail >/dev/null || exit 1
echo lived
sleep infinity & wait
"""
"""tail keeps what it can't take for a line: all of it, in memory of its own."""


def filler(name: str, mib: int, *, pinned: bool, **asked: str) -> Any:
    """A pod that fills so much memory once it is told to, and ends for good when it is killed.

    BestEffort: the kernel kills by oom_score_adj first, and these have the highest.
    """
    manifest = pod(
        name,
        container(script=FILLS.format(mib=mib)),
        pinned=pinned,
        node=NODE,
        annotations={f"numapin.io/{key}": value for key, value in asked.items()},
    )
    manifest["spec"]["restartPolicy"] = "Never"
    return manifest


def more_than_a_socket(world: World) -> int:
    """MiB that socket 1 can't hold, and the node can."""
    topology = world.numa_node(NODE).status.topology.value()
    held = sum(n.memory_bytes for n in topology.nodes if n.socket == int(HOME))
    return (held >> 20) + 64


def killed_for_its_cpuset(world: World, name: str) -> bool:
    """Whether the kernel says that it killed a process of the pod for want of its own nodes."""
    uid = str(world.cluster.pod(NAMESPACE, name).metadata.uid).replace("-", "_")
    log = world.ssh(NODE, "dmesg | grep constraint=CONSTRAINT_CPUSET || true")
    return uid in log


def test_without_a_guard_a_pod_is_killed_while_the_other_socket_has_room(world: World):
    """The same cpuset.mems by hand: what the tests below have to prevent."""
    with made(world, filler("v-doomed", more_than_a_socket(world), pinned=False)) as name:
        world.cluster.await_ready(NAMESPACE, name, seconds=420)
        unit = world.cgroup(name).rpartition("/")[2]
        world.ssh(NODE, f"systemctl set-property --runtime {unit} AllowedMemoryNodes={HOME}")
        assert world.effective(name).mems == NodeSet.parse(HOME)
        world.exec(name, "touch", "/tmp/go")
        eventually(
            lambda: world.cluster.pod(NAMESPACE, name).status.phase == "Failed",
            seconds=600,
            what="the kernel has killed it",
        )
        assert killed_for_its_cpuset(world, name)


@pytest.mark.parametrize("memory", ["Preferred", "Strict"])
def test_a_pinned_pod_that_outgrows_its_socket_lives(world: World, memory: str):
    manifest = filler(
        f"v-grows-{memory.lower()}",
        more_than_a_socket(world),
        pinned=True,
        socket=HOME,
        memory=memory,
    )
    with made(world, manifest) as name:
        world.cluster.await_ready(NAMESPACE, name, seconds=420)
        pin = world.await_phase(name, "Pinned")
        assert world.effective(name).mems == NodeSet.parse(HOME)
        world.exec(name, "touch", "/tmp/go")
        eventually(
            lambda: (
                "lived" in world.kubectl("logs", "-n", NAMESPACE, name)
                or world.cluster.pod(NAMESPACE, name).status.phase != "Running"
            ),
            seconds=600,
            what="it has filled its memory, or is dead",
        )
        assert not killed_for_its_cpuset(world, name)
        assert world.cluster.pod(NAMESPACE, name).status.phase == "Running"
        whole = world.effective_of(NODE, "/sys/fs/cgroup")
        found = world.effective(name)
        assert (found.cpus, found.mems) == (world.socket_of(pin).cpus, whole.mems)
        pin = eventually(
            lambda: (pin := world.pin(name)).status.observed.problem and pin,
            seconds=60,
            what="the NumaPin says why",
        )
        assert pin.status.observed.problem.reason == "RanLow"
        # systemd was told as well, or its next look at the slice would narrow it again.
        unit = world.cgroup(name).rpartition("/")[2]
        shown = world.ssh(NODE, f"systemctl show -p AllowedMemoryNodes {unit}").strip()
        assert shown == f"AllowedMemoryNodes={whole.mems}"
        if memory == "Strict":
            pin = await_verdict(world, name, "Ineffective")
            assert "RanLow" in said(pin)
