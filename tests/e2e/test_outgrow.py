"""No pin costs a pod its life: pods that outgrow their socket, with a pin and without numapin.

A pod that was widened is narrowed again, once, when there has been room for a while.

On the node where no other test pins: whoever is pinned to a socket that is filled is widened for
ten minutes.
"""

import shlex
from itertools import dropwhile, groupby
from typing import Any

import pytest
from support.verdicts import await_verdict, made, said
from support.watched import watched
from support.world import NAMESPACE, World, container, pod

from numapin_agent.pin.decide import NARROW_AGAIN_SECONDS
from numapin_api.cpulist import NodeSet
from numapin_api.pin import NumaPin
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(1500, func_only=True),
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
"""tail keeps what it can't take for a line: all of it, in memory of its own, until it has ended."""
TICKS_SECONDS = 60
"""Of six looks at a pod, in each of which it could be widened or narrowed again."""
# On the node: make a pod's record older, so that its last write lies further back.
AGES = """
import datetime, json, os, sys
path, seconds = sys.argv[1:]
with open(path) as file:
    record = json.load(file)
assert record["guarded"], record
time = datetime.datetime.fromisoformat(record["time"])
record["time"] = (time - datetime.timedelta(seconds=int(seconds))).isoformat()
with open(path + ".aged", "w") as file:
    json.dump(record, file)
os.replace(path + ".aged", path)
"""


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


def ten_minutes_pass(world: World, name: str) -> None:
    """For the agent's record of a pod that was widened: it is not narrowed before."""
    uid = world.cluster.pod(NAMESPACE, name).metadata.uid
    seconds = str(int(NARROW_AGAIN_SECONDS))
    command = ["python3", "-c", AGES, f"/run/numapin/pins/{uid}.json", seconds]
    world.ssh(NODE, shlex.join(command))


def node_seconds(world: World) -> float:
    return float(world.ssh(NODE, "cat /proc/uptime").split()[0])


def mems_in_turn(states: list[NumaPin]) -> list[str]:
    """The memory nodes in force as each state tells, each once in a row, from HOME on."""
    observed = [s.status.observed for s in states if s.status and s.status.observed]
    told = [o.effective.mems for o in observed if o.effective]
    return [mems for mems, _ in groupby(dropwhile(lambda mems: mems != HOME, told))]


@pytest.mark.parametrize("memory", ["Preferred", "Strict"])
def test_a_pinned_pod_that_outgrows_its_socket_lives_and_is_narrowed_once(
    world: World, memory: str
):
    manifest = filler(
        f"v-grows-{memory.lower()}",
        more_than_a_socket(world),
        pinned=True,
        socket=HOME,
        memory=memory,
    )
    with made(world, manifest) as name, watched(world) as told:
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

        # What it had filled is free again. That alone narrows nothing.
        assert world.effective(name).mems == whole.mems
        ten_minutes_pass(world, name)
        eventually(
            lambda: world.effective(name) == world.socket_of(pin),
            seconds=240,
            what="it is narrowed again",
        )
        eventually(
            lambda: world.pin(name).status.observed.problem is None,
            seconds=60,
            what="the NumaPin says so",
        )
        narrowed = node_seconds(world)
        eventually(
            lambda: node_seconds(world) - narrowed > TICKS_SECONDS,
            seconds=300,
            what="six looks more",
            every_seconds=5,
        )
        assert world.effective(name) == world.socket_of(pin)
        assert not killed_for_its_cpuset(world, name)
    assert mems_in_turn(told.of(name)) == [HOME, str(whole.mems), HOME]
