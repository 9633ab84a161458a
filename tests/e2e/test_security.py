"""The agent with less than it asks for, and a pod that claims to be somebody else's."""

import time

import pytest
from support.agents import agents_with
from support.world import NAMESPACE, World, container, pod

from numapin_api.names import PIN_LABEL
from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.lifecycle, pytest.mark.timeout(1800, func_only=True)]

BPF, PERFMON, SYS_PTRACE, SYS_NICE = 39, 38, 19, 23
# The line of /proc/PID/status of the agent itself: of its pod's processes the one with threads.
AGENT_STATUS = """
for p in $(cat {cgroup}/*/cgroup.procs); do
  tr '\\0' ' ' < /proc/$p/cmdline | grep -q numapin.agent && grep '^{field}:' /proc/$p/status
done
true
"""
# Allocated and touched by the first round; more than the agent leaves to the kernel to move.
# sysbench takes powers of two only.
MIB = 256
MEMORY = (
    "exec sysbench memory --threads=2 --time=0 --memory-total-size=1000000T "
    f"--memory-block-size={MIB}M --memory-scope=global run"
)


def of_agent(world: World, field: str) -> str:
    """A field of the status of the agent's process on numa-0."""
    uid = str(world.agent("numa-0").metadata.uid).replace("-", "_")
    cgroup = world.ssh("numa-0", f"find /sys/fs/cgroup/kubepods.slice -name '*pod{uid}.slice'")
    out = world.ssh("numa-0", AGENT_STATUS.format(cgroup=cgroup.strip(), field=field))
    return out.splitlines()[0].split()[1]


def levels(world: World) -> dict[str, str]:
    """How the agent on numa-0 has each signal."""
    status = world.numa_node("numa-0").status
    return {s.name: s.level for s in status.capabilities.signals}


def degraded(world: World) -> tuple[str, str]:
    """Status and message of the NumaNode's condition Degraded."""
    found = world.numa_node("numa-0").status.conditions
    return next((c.status, c.message) for c in found if c.type == "Degraded")


def anonymous(world: World, name: str) -> dict[int, int]:
    """Bytes of anonymous memory of a pod on each NUMA node, by the kernel."""
    text = world.ssh("numa-0", f"grep '^anon ' {world.cgroup(name)}/memory.numa_stat")
    fields = (field.split("=") for field in text.split()[1:])
    return {int(node.removeprefix("N")): int(size) for node, size in fields}


def test_without_ebpf_pods_are_pinned_and_verdicts_rest_on_placement(world: World):
    socket = world.socket_of(world.await_phase("besteffort", "Pinned"))
    with agents_with(world, {"agent__counters": "true"}, agent__counters="false"):
        held = int(of_agent(world, "CapEff"), 16)
        assert [bit for bit in (BPF, PERFMON) if held >> bit & 1] == []
        assert [bit for bit in (SYS_PTRACE, SYS_NICE) if not held >> bit & 1] == []
        eventually(
            lambda: set(levels(world).values()) <= {"none", "cgroup"},
            seconds=120,
            what="the NumaNode tells that no program counts",
        )
        eventually(
            lambda: degraded(world)[0] == "True" and "switched off" in degraded(world)[1],
            seconds=120,
            what="the NumaNode tells why",
        )
        assert world.effective("besteffort") == socket
        world.cluster.create(pod("blind"))
        try:
            pin = world.await_phase("blind", "Pinned")
            world.cluster.await_ready(NAMESPACE, "blind", seconds=300)
            assert world.inside("blind") == world.socket_of(pin)
        finally:
            world.cluster.delete(NAMESPACE, ["blind"])

        def by_placement() -> bool:
            status = world.pin("burstable").status
            return (status.verdict, status.evidence) == ("Verified", "ByPlacement")

        eventually(by_placement, seconds=300, what="burstable is verified by placement")
    eventually(
        lambda: all(
            levels(world).get(n, "none") != "none" for n in ("numaMigrations", "hintFaults")
        ),
        seconds=300,
        what="programs count again",
    )


def test_under_the_runtimes_default_seccomp_profile(world: World):
    """All signals are there; pages of a large running pod can't be moved, and that is said."""
    before = levels(world)
    profile = {"agent__seccompProfile__type": "Unconfined"}
    world.cluster.create(
        pod(
            "large",
            container(
                script=MEMORY,
                resources={"requests": {"memory": f"{MIB + 40}Mi"}, "limits": {"cpu": "300m"}},
            ),
            pinned=False,
        )
    )
    try:
        world.cluster.await_ready(NAMESPACE, "large", seconds=300)
        eventually(
            lambda: sum(anonymous(world, "large").values()) >= MIB << 20,
            seconds=600,
            what="the pod has touched its memory",
        )
        with agents_with(world, profile, agent__seccompProfile__type="RuntimeDefault"):
            assert of_agent(world, "Seccomp") == "2"
            eventually(lambda: levels(world) == before, seconds=300, what="every signal as without")
            lies = anonymous(world, "large")
            target = min(lies, key=lambda node: lies[node])
            world.kubectl(
                *("annotate", "pod", "-n", NAMESPACE, "large", f"numapin.io/socket={target}")
            )
            world.kubectl("label", "pod", "-n", NAMESPACE, "large", f"{PIN_LABEL}=true")
            pin = world.await_phase("large", "Pinned", seconds=400)
            problem = pin.status.observed.problem
            assert problem is not None
            assert problem.reason == "CannotMovePages"
            assert "seccomp" in problem.message
            assert world.inside("large").cpus == world.socket_of(pin).cpus
        # With the usual profile the next agent goes on where this one could not.

        def moved() -> bool:
            found = anonymous(world, "large")
            return found[target] >= 0.95 * sum(found.values())

        eventually(moved, seconds=600, what="its pages are moved")
    finally:
        world.cluster.delete(NAMESPACE, ["large"])


def test_a_pod_that_claims_anothers_cgroup_changes_nothing(world: World):
    victim = world.cluster.pod(NAMESPACE, "late")
    assert victim is not None
    before = world.effective("late")
    thief = pod("thief", annotations={"numapin.io/socket": "0"})
    del thief["spec"]["nodeSelector"]
    thief["spec"]["nodeName"] = "numa-0"
    thief["metadata"]["annotations"] |= {
        name: str(victim.metadata.uid)
        for name in ("kubernetes.io/config.mirror", "kubernetes.io/config.hash")
    } | {"kubernetes.io/config.source": "file"}
    world.apply(thief)
    try:
        # The kubelet deletes mirrors of nothing; until then, and after it, nothing happens.
        end = time.monotonic() + 40
        while time.monotonic() < end:
            assert world.effective("late") == before
    finally:
        world.cluster.delete(NAMESPACE, ["thief"])
    assert world.effective("late") == before
