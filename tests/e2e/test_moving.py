"""Running pods whose memory is moved: through an agent's death, and against the pod's own will.

On the node where no other test pins, from its socket 0 to 1.
"""

import json
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import dropwhile, groupby

import pytest
from support.agents import agent_cgroup, agent_restarts
from support.verdicts import await_verdict, made, said
from support.watched import watched
from support.world import NAMESPACE, SLEEP, World, container, pod

from numapin_api.pin import NumaPin
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(1500, func_only=True),
]

NODE = "numa-1"
HOME, AWAY = 1, 0
MIB = 1 << 20
HELD_MIB = 320
BEGUN_MIB = 32
"""A tenth of it has moved when the agent is killed."""
LEFT_MIB = 64
"""More than this is left then: the rest is no matter of a single write to cpuset.mems."""
HOLDS = f"""
head -c {HELD_MIB}M /dev/zero | numactl --membind={AWAY} tail -c {HELD_MIB}M | {{ {SLEEP}; }}
"""
"""tail keeps what it has to write, and nobody reads."""
CHURN_MIB = 400
RENEWS = f"""
MALLOC_MMAP_THRESHOLD_=1048576 exec numactl --membind={AWAY} perl -e '
  my $mib = "x" x (1 << 20); my @held;
  while (1) {{ push @held, $mib x 16; shift @held if @held > {CHURN_MIB // 16}; }}'
"""
"""Gives memory back and takes as much anew, for ever, and by its own policy on the wrong socket:
with a fixed threshold malloc maps what is that large for itself."""
# On the node: as soon as so much of the pod's memory is on the other NUMA node, kill the agent;
# print how many processes that was and how much memory is where.
KILLS = """
import glob, json, os, re, signal, sys, time
pod, agent, node, least = sys.argv[1:]
def runs_agent(pid):
    with open("/proc/" + pid + "/cmdline", "rb") as file:
        return re.search(rb"numapin.agent", file.read()) is not None
def held():
    with open(pod + "/memory.numa_stat") as file:
        anon = next(line for line in file if line.startswith("anon "))
    return {one: int(size) for one, size in re.findall(r"N([0-9]+)=([0-9]+)", anon)}
pids = [p for f in glob.glob(agent + "/*/cgroup.procs") for p in open(f).read().split()]
doomed = [int(pid) for pid in pids if runs_agent(pid)]
end = time.monotonic() + 200
while held().get(node, 0) < int(least):
    if time.monotonic() > end:
        sys.exit("nothing was moved")
    time.sleep(0.02)
for pid in doomed:
    os.kill(pid, signal.SIGKILL)
print(json.dumps([len(doomed), held()]))
"""


def held(world: World, cgroup: str) -> dict[int, int]:
    """Bytes of anonymous memory of a pod by NUMA node."""
    stat = world.ssh(NODE, f"grep '^anon ' {cgroup}/memory.numa_stat")
    return {int(n): int(size) for n, size in re.findall(r"N(\d+)=(\d+)", stat)}


@contextmanager
def running(world: World, name: str, script: str, mib: int) -> Iterator[str]:
    """A pod that is not labelled yet and holds so much on the wrong socket; its cgroup."""
    wish = {"numapin.io/socket": str(HOME)}
    manifest = pod(name, container(script=script), pinned=False, node=NODE, annotations=wish)
    with made(world, manifest):
        world.cluster.await_ready(NAMESPACE, name, seconds=420)
        cgroup = world.cgroup(name)
        eventually(
            lambda: held(world, cgroup).get(AWAY, 0) >= mib * MIB,
            seconds=240,
            what=f"{name} holds its memory on socket {AWAY}",
        )
        yield cgroup


def done(pin: NumaPin | None) -> bool:
    """Whether a NumaPin says that the pod is where it should be, memory as well."""
    observed = pin.status.observed if pin is not None and pin.status is not None else None
    if pin is None or observed is None or observed.generation != pin.metadata.generation:
        return False
    return (observed.phase == "Pinned" and observed.problem is None) or (
        pin.status is not None and pin.status.verdict == "Verified"
    )


def phases_from_moving(states: list[NumaPin]) -> list[str]:
    """Phases in their order, each once in a row, from the first page move on."""
    phases = [s.status.observed.phase for s in states if s.status and s.status.observed]
    return [phase for phase, _ in groupby(dropwhile(lambda phase: phase != "Moving", phases))]


def test_a_move_goes_on_after_the_agent_was_killed_and_is_not_said_done_before(world: World):
    name = "moved-through-death"
    restarts = agent_restarts(world, NODE)
    agent = agent_cgroup(world, NODE)
    with running(world, name, HOLDS, HELD_MIB) as cgroup, ThreadPoolExecutor(1) as beside:
        command = ["python3", "-c", KILLS, cgroup, agent, str(HOME), str(BEGUN_MIB * MIB)]
        killing = beside.submit(world.ssh, NODE, shlex.join(command))
        with watched(world) as told:
            world.cluster.label(NAMESPACE, name, on=True)
            killed, there = json.loads(killing.result())
            assert killed >= 1
            assert there[str(HOME)] >= BEGUN_MIB * MIB
            assert there[str(AWAY)] > LEFT_MIB * MIB

            def said_and_so() -> bool:
                """Whether it is said to be done; then the kernel, asked later, must agree."""
                pin = world.pin(name)
                if not done(pin):
                    return False
                assert pin is not None
                assert world.effective(name) == world.socket_of(pin)
                now = held(world, cgroup)
                assert now.get(AWAY, 0) <= 0.05 * sum(now.values()), now
                return True

            eventually(said_and_so, seconds=900, what="the move has come to its end")
            assert agent_restarts(world, NODE) > restarts
    assert phases_from_moving(told.of(name)) == ["Moving", "Pinned"]


def test_a_pod_that_renews_its_memory_elsewhere_is_brought_home_or_the_reason_is_told(world: World):
    """Its cpuset is still wide while pages move, so that its own policy holds."""
    name = "renews"
    with running(world, name, RENEWS, CHURN_MIB * 3 // 4) as cgroup:
        world.cluster.label(NAMESPACE, name, on=True)

        def ended() -> NumaPin | None:
            pin = world.pin(name)
            observed = pin.status.observed if pin is not None and pin.status else None
            return pin if observed is not None and observed.phase == "Pinned" else None

        pin = eventually(ended, seconds=600, what="page moves have come to an end")
        assert pin is not None
        assert pin.status is not None
        assert pin.status.observed is not None
        wanted, problem = world.socket_of(pin), pin.status.observed.problem
        if problem is None:
            assert world.effective(name) == wanted
            pin = await_verdict(world, name, "Verified")
            now = held(world, cgroup)
            assert now.get(AWAY, 0) <= 0.05 * sum(now.values()), now
        else:
            # Not for ever: it has given up, says so, and has left the pod as it was but for CPUs.
            assert problem.reason == "NotConverging"
            whole = world.effective_of(NODE, "/sys/fs/cgroup")
            found = world.effective(name)
            assert (found.cpus, found.mems) == (wanted.cpus, whole.mems)
            pin = await_verdict(world, name, "Ineffective")
            assert "NotConverging" in said(pin)
        assert world.cluster.pod(NAMESPACE, name).status.container_statuses[0].restart_count == 0
