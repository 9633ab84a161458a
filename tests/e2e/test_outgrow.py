"""No pin costs a pod its life: pods that outgrow their socket, with a pin and without numapin.

A pod that was widened is narrowed again, once, when there has been room for a while. Page cache
that memory.min keeps is no room.

On the node where no other test pins: whoever is pinned to a socket that is filled is widened for
ten minutes.
"""

import shlex
from collections.abc import Iterator, Mapping
from itertools import dropwhile, groupby
from typing import Any

import pytest
from support.verdicts import await_verdict, made, said
from support.watched import watched
from support.world import NAMESPACE, World, container, pod

from numapin_agent.availability import Zones, available, parse_meminfo, parse_zones
from numapin_agent.cgroup.protection import cache_by_node
from numapin_agent.guard.free import ZONES_SECONDS
from numapin_agent.guard.rules import LONGEST_SECONDS, least_free
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
FILLS_IN_TWO_STEPS = """
while [ ! -e /tmp/go ]; do sleep 1; done
(
    head -c $(cat /tmp/mib)M /dev/zero
    while [ ! -e /tmp/on ]; do sleep 1; done
    head -c {mib}M /dev/zero
) | tail >/dev/null || exit 1
echo lived
sleep infinity & wait
"""
BEYOND_MIB = 256
"""Of the second step: what the socket has not, with all that the first step took."""
KEPT = "/sys/fs/cgroup/e2e-kept"
"""A cgroup at the top whose page cache nobody else can reclaim."""
KEPT_FILE = "/var/tmp/e2e-kept"
"""Nothing but a hole: reading it fills as much page cache as reading data, and no disk."""
KEPT_SHARE = 3
"""One part in so many of the socket's memory."""
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


def filler(name: str, mib: int, *, pinned: bool, script: str = FILLS, **asked: str) -> Any:
    """A pod that fills so much memory once it is told to, and ends for good when it is killed.

    BestEffort: the kernel kills by oom_score_adj first, and these have the highest.
    """
    manifest = pod(
        name,
        container(script=script.format(mib=mib)),
        pinned=pinned,
        node=NODE,
        annotations={f"numapin.io/{key}": value for key, value in asked.items()},
    )
    manifest["spec"]["restartPolicy"] = "Never"
    return manifest


def home_bytes(world: World) -> int:
    """Memory of the socket that pods here are bound to."""
    topology = world.numa_node(NODE).status.topology.value()
    return sum(n.memory_bytes for n in topology.nodes if n.socket == int(HOME))


def more_than_a_socket(world: World) -> int:
    """MiB that socket 1 can't hold, and the node can."""
    return (home_bytes(world) >> 20) + 64


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


def lives(world: World, name: str) -> None:
    """Wait until the pod has filled its memory, which must not have cost its life."""
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
        lives(world, name)
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


# -- page cache that memory.min keeps ---------------------------------------------------


def kept_bytes(world: World) -> int:
    """Page cache of the cgroup on that socket."""
    return cache_by_node(world.ssh(NODE, f"cat {KEPT}/memory.numa_stat")).get(int(HOME), 0)


def forget(world: World) -> None:
    """End what is in the cgroup, and remove it and the file, with the cache, if they are there."""
    ends = f"kill -9 $(cat {KEPT}/cgroup.procs); rmdir {KEPT} || sleep 0.2"
    world.ssh(NODE, f"while [ -d {KEPT} ]; do {ends}; done 2>/dev/null; rm -f {KEPT_FILE}")


@pytest.fixture(scope="module")
def kept(world: World) -> Iterator[int]:
    """Bytes of page cache on the socket that memory.min keeps, once the agent knows of it."""
    size = home_bytes(world) // KEPT_SHARE
    # With what its processes hold, or that would count as beyond it.
    minimum = size + (64 << 20)
    # It keeps a process: without any, memory.min is ignored (cgroup-v2.rst).
    inside = f"echo $$ > {KEPT}/cgroup.procs && cat {KEPT_FILE} && exec sleep infinity"
    forget(world)
    try:
        # First of all: what is read from here on is to stay.
        world.ssh(NODE, "sync; echo 3 > /proc/sys/vm/drop_caches")
        world.ssh(
            NODE,
            f"set -e; mkdir {KEPT}; echo {HOME} > {KEPT}/cpuset.mems; "
            f"echo {minimum} > {KEPT}/memory.min; truncate -s {size} {KEPT_FILE}",
        )
        since = node_seconds(world)
        world.ssh(NODE, f"nohup sh -c '{inside}' </dev/null >/dev/null 2>&1 &")
        eventually(
            lambda: kept_bytes(world) >= 0.95 * size,
            seconds=120,
            what="the file is in the page cache",
        )
        eventually(
            lambda: node_seconds(world) - since > ZONES_SECONDS + LONGEST_SECONDS + 5,
            seconds=300,
            what="the agent has looked for memory.min since",
            every_seconds=2,
        )
        yield kept_bytes(world)
    finally:
        forget(world)


def state_of_home(world: World) -> tuple[Mapping[str, int], Zones]:
    """Meminfo and watermarks of the socket's NUMA node."""
    page_bytes = int(world.ssh(NODE, "getconf PAGESIZE"))
    memory = parse_meminfo(world.ssh(NODE, f"cat /sys/devices/system/node/node{HOME}/meminfo"))
    zones = parse_zones(world.ssh(NODE, "cat /proc/zoneinfo"), page_bytes=page_bytes)
    return memory, zones[int(HOME)]


def first_step(world: World, least: int) -> int:
    """MiB that leave half of what the guard keeps free, with the kept cache left alone."""
    memory, zones = state_of_home(world)
    room = available(memory, zones, protected=kept_bytes(world)) - least // 2
    assert room > BEYOND_MIB << 20, f"too little is free on socket {HOME}: {room} bytes"
    return room >> 20


def test_page_cache_that_memory_min_keeps_is_not_room_for_a_pinned_pod(world: World, kept: int):
    """A guard that counts it would wait until the kernel kills: see the test after this one."""
    least = least_free("Strict", headroom_percent=10, capacity=home_bytes(world))
    manifest = filler(
        "v-beside-kept",
        BEYOND_MIB,
        pinned=True,
        script=FILLS_IN_TWO_STEPS,
        socket=HOME,
        memory="Strict",
    )
    with made(world, manifest) as name:
        world.cluster.await_ready(NAMESPACE, name, seconds=420)
        world.await_phase(name, "Pinned")
        whole = world.effective_of(NODE, "/sys/fs/cgroup")
        _, before = state_of_home(world)
        mib = first_step(world, least)
        assert world.effective(name).mems == NodeSet.parse(HOME)
        world.exec(name, "sh", "-c", f"echo {mib} > /tmp/mib; touch /tmp/go")
        eventually(
            lambda: world.effective(name).mems == whole.mems,
            seconds=300,
            what="it may use all memory before its own socket has none",
        )
        memory, zones = state_of_home(world)
        # Free memory and cache alone would have said that there is room, and kswapd had not
        # said otherwise: this was memory.min.
        assert available(memory, zones) - least > kept // 2
        assert zones.given_up <= before.given_up

        world.exec(name, "touch", "/tmp/on")
        lives(world, name)
        pin = eventually(
            lambda: (pin := world.pin(name)).status.observed.problem and pin,
            seconds=60,
            what="the NumaPin says why",
        )
        assert pin.status.observed.problem.reason == "RanLow"
        assert kept_bytes(world) >= 0.9 * kept


def test_without_a_guard_a_pod_is_killed_though_there_is_page_cache(world: World, kept: int):
    """The same cpuset.mems by hand: the kernel kills rather than reclaim what memory.min keeps."""
    least = least_free("Strict", headroom_percent=10, capacity=home_bytes(world))
    manifest = filler("v-doomed-beside-kept", BEYOND_MIB, pinned=False, script=FILLS_IN_TWO_STEPS)
    with made(world, manifest) as name:
        world.cluster.await_ready(NAMESPACE, name, seconds=420)
        unit = world.cgroup(name).rpartition("/")[2]
        world.ssh(NODE, f"systemctl set-property --runtime {unit} AllowedMemoryNodes={HOME}")
        assert world.effective(name).mems == NodeSet.parse(HOME)
        mib = first_step(world, least)
        world.exec(name, "sh", "-c", f"echo {mib} > /tmp/mib; touch /tmp/go /tmp/on")
        eventually(
            lambda: world.cluster.pod(NAMESPACE, name).status.phase == "Failed",
            seconds=600,
            what="the kernel has killed it",
        )
        assert killed_for_its_cpuset(world, name)
        # Several times what the guard keeps free, and nothing of it could be had.
        assert kept_bytes(world) >= 0.9 * kept
        assert kept > 4 * least
