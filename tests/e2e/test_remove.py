"""numapin goes, and leaves nothing behind; policies change, and no pod wanders meanwhile."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from support.chart import CHART
from support.world import NAMESPACE, Cpuset, World, container, pod

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.names import API_VERSION
from numapin_lab import nodes
from numapin_lab.demo.cluster import AGENT_SELECTOR, OPERATOR_SELECTOR, eventually
from numapin_lab.deploy import NAMESPACE as SYSTEM
from numapin_lab.deploy import RELEASE

pytestmark = [pytest.mark.e2e, pytest.mark.lifecycle, pytest.mark.timeout(1500, func_only=True)]

NODES = ("numa-0", "numa-1")
PINNED = ("guaranteed", "burstable", "besteffort", "socket-1", "elsewhere")
UNINSTALL_SECONDS = 600
"""Helm itself gives up after five minutes a hook."""
SAMPLE = """
trap 'exit 0' TERM
while :; do
  while read -r key value; do
    case $key in Cpus_allowed_list:) cpus=$value ;; Mems_allowed_list:) mems=$value ;; esac
  done < /proc/self/status
  echo "$cpus $mems" >> /tmp/seen
  sleep 0.1 & wait $!
done
"""
"""A line about every 100 ms of what this very process may use."""
OURS = "app.kubernetes.io/name=numapin"
EMPTY = {"AllowedCPUs=", "AllowedMemoryNodes="}


def policy(name: str, priority: int, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": API_VERSION,
        "kind": "NumaPolicy",
        "metadata": {"name": name},
        "spec": {
            "priority": priority,
            "podSelector": {"matchLabels": {"e2e": "sampler"}},
            "verification": {"window": "20s"},
            **spec,
        },
    }


def seen(world: World) -> list[Cpuset]:
    lines = (line.split() for line in world.exec("sampler", "cat", "/tmp/seen").splitlines())
    # The last line may be half written.
    return [Cpuset(CpuSet.parse(f[0]), NodeSet.parse(f[1])) for f in lines if len(f) == 2][:-1]


def test_policies_change_without_a_moment_unpinned(world: World):
    def stands(name: str, percent: int) -> bool:
        pin = world.pin("sampler")
        answered = pin.status.observed.generation == pin.metadata.generation
        spec = pin.spec
        same = (spec.policy, spec.verification.min_local_percent) == (name, percent)
        return same and answered

    world.apply(policy("sampler", 2000))
    world.cluster.create(pod("sampler", container(script=SAMPLE)))
    try:
        world.cluster.await_ready(NAMESPACE, "sampler", seconds=300)
        before = world.await_phase("sampler", "Pinned")
        socket = world.socket_of(before)
        eventually(lambda: seen(world)[-1:] == [socket], seconds=60, what="samples of the pin")
        begun = len(seen(world))

        # Edited, overruled, deleted: each time another policy's terms, the same socket.
        world.apply(policy("sampler", 2000, verification={"minLocalPercent": 90}))
        eventually(lambda: stands("sampler", 90), seconds=120, what="the edited policy")
        world.apply(policy("urgent", 3000, memory="Preferred", memoryHeadroom="5%"))
        eventually(lambda: stands("urgent", 95), seconds=120, what="the policy that overrules")
        world.kubectl("delete", "numapolicy", "urgent")
        eventually(lambda: stands("sampler", 90), seconds=120, what="the first policy again")
        world.kubectl("delete", "numapolicy", "sampler")
        eventually(lambda: stands("e2e", 95), seconds=120, what="the policy of all pods here")

        during = seen(world)[begun:]
        assert len(during) > 20
        assert set(during) == {socket}
        after = world.pin("sampler")
        assert after.metadata.uid == before.metadata.uid
        assert after.spec.socket == before.spec.socket
        assert after.status.observed.drift is None
    finally:
        world.kubectl("delete", "numapolicy", "urgent", "sampler", "--ignore-not-found")
        world.cluster.delete(NAMESPACE, ["sampler"])


def whole(world: World, node: str) -> Cpuset:
    """All that the node has."""
    return world.effective_of(node, "/sys/fs/cgroup")


def uninstall(world: World) -> str:
    """``helm uninstall``; what it printed, the hook's words among it."""
    helm = [world.lab.programs() / "helm", "--kubeconfig", world.lab.paths.kubeconfig]
    done = subprocess.run(
        [*map(str, helm), "uninstall", RELEASE, "--namespace", SYSTEM],
        capture_output=True,
        text=True,
        check=False,
        timeout=UNINSTALL_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def assert_given_back(world: World, name: str) -> None:
    """By the kernel inside every container, and by systemd."""
    node = world.node_of(name)
    found = world.cluster.pod(NAMESPACE, name)
    for each in found.spec.containers:
        assert world.inside(name, each.name) == whole(world, node)
    unit = world.cgroup(name).rpartition("/")[2]
    shown = world.ssh(node, f"systemctl show {unit} -p AllowedCPUs -p AllowedMemoryNodes")
    assert set(shown.split()) == EMPTY


def assert_nothing_is_left(world: World) -> None:
    for kind in ("numapins", "numanodes"):
        assert world.kubectl("get", kind, "-A", "-o", "name") == ""
    kinds = "deploy,ds,job,pod,cm,sa,role,rolebinding"
    cluster_kinds = "clusterrole,clusterrolebinding,validatingadmissionpolicy"
    eventually(
        lambda: world.kubectl("get", kinds, "-n", SYSTEM, "-l", OURS, "-o", "name") == "",
        seconds=180,
        what=f"nothing of numapin is in {SYSTEM}",
    )
    assert world.kubectl("get", cluster_kinds, "-l", OURS, "-o", "name") == ""
    # What is the user's stays.
    assert "numapolicy.numapin.io/e2e" in world.kubectl("get", "numapolicies", "-o", "name")


def await_no_agents(world: World) -> None:
    eventually(
        lambda: world.kubectl("get", "pod", "-n", SYSTEM, "-l", AGENT_SELECTOR, "-o", "name") == "",
        seconds=180,
        what="the agents are gone",
    )


def records(world: World, node: str) -> str:
    return world.ssh(node, "find /run/numapin/pins -name '*.json' 2>/dev/null || true")


@pytest.fixture
def removable(world: World) -> Iterator[World]:
    """Pods are pinned; afterwards numapin is installed again and they are pinned again."""
    for name in PINNED:
        world.await_phase(name, "Pinned")
    yield world
    world.lab.deploy()
    for name in PINNED:
        pin = world.await_phase(name, "Pinned", seconds=420)
        assert world.effective(name) == world.socket_of(pin)


def test_uninstall_gives_everything_back(removable: World):
    said = uninstall(removable)
    counted = re.search(r"(\d+) of (\d+) pinned pods have their cpuset back", said)
    assert counted is not None, said
    assert int(counted[1]) == int(counted[2]) >= len(PINNED)
    for name in PINNED:
        assert_given_back(removable, name)
    for node in NODES:
        assert records(removable, node) == ""
    assert_nothing_is_left(removable)


def test_keep_leaves_pods_pinned_and_the_next_install_takes_them_up(removable: World):
    keep = ("--reuse-values", "--set=onUninstall=Keep")
    removable.helm("upgrade", RELEASE, str(CHART), "--namespace", SYSTEM, *keep)
    before = {name: removable.await_phase(name, "Pinned") for name in PINNED}
    sockets = {name: removable.socket_of(pin) for name, pin in before.items()}
    uninstall(removable)
    await_no_agents(removable)
    for name, socket in sockets.items():
        assert removable.inside(name) == socket
    removable.lab.deploy()
    for name, socket in sockets.items():
        after = removable.await_phase(name, "Pinned", seconds=420)
        assert after.metadata.uid == before[name].metadata.uid
        assert after.spec.socket == before[name].spec.socket
        assert removable.inside(name) == socket


def test_uninstall_without_an_operator(removable: World):
    removable.kubectl("delete", "deployment", "-n", SYSTEM, "-l", OPERATOR_SELECTOR)
    uninstall(removable)
    for name in PINNED:
        assert_given_back(removable, name)
    assert_nothing_is_left(removable)


def test_uninstall_without_agents_ends_and_a_node_can_be_restored_by_hand(removable: World):
    removable.kubectl("delete", "daemonset", "-n", SYSTEM, "-l", AGENT_SELECTOR)
    await_no_agents(removable)
    # An agent that goes by itself leaves every pin as it is.
    sockets = {name: removable.socket_of(removable.pin(name)) for name in PINNED}
    for name, socket in sockets.items():
        assert removable.inside(name) == socket
    said = uninstall(removable)
    for node in NODES:
        assert f"node {node}: no agent runs there; still pinned: " in said
    assert_nothing_is_left(removable)
    for name, socket in sockets.items():
        assert removable.inside(name) == socket
    for node in NODES:
        restore(removable, node)
        assert records(removable, node) == ""
    for name in PINNED:
        assert_given_back(removable, name)


def test_uninstall_while_a_node_is_switched_off(removable: World):
    """It ends, names the node, and gives back what the others hold."""
    lab = removable.lab
    nodes.end(lab.node("numa-1"))
    try:
        removable.kubectl(
            *("wait", "--for=condition=Ready=Unknown", "node/numa-1", "--timeout=180s")
        )
        said = uninstall(removable)
        assert "node numa-1: its agent is not ready; still pinned: " in said
        for name in PINNED:
            if removable.node_of(name) == "numa-0":
                assert_given_back(removable, name)
        for kind in ("numapins", "numanodes"):
            assert removable.kubectl("get", kind, "-A", "-o", "name") == ""
    finally:
        lab.up_as_is()
    # What the API server still had of that node goes once its kubelet is there again.
    assert_nothing_is_left(removable)


def restore(world: World, node: str) -> None:
    """As docs/uninstall.md says, from the agent's image."""
    made = world.kubectl(
        *("debug", f"node/{node}", "-n", NAMESPACE, "--profile=sysadmin"),
        *("--image=localhost/numapin-agent:lab", "--image-pull-policy=Never"),
        *("--", "numapin", "restore", "--root", "/host"),
    )
    (debugger,) = set(re.findall(r"node-debugger-\S+", made))

    def phase() -> str:
        found = world.cluster.pod(NAMESPACE, debugger)
        return str(found.status.phase) if found.status.phase in {"Succeeded", "Failed"} else ""

    try:
        ended = eventually(phase, seconds=240, what=f"numapin restore on {node} ended")
        said = world.kubectl("logs", "-n", NAMESPACE, debugger)
        assert ended == "Succeeded", said
        assert "Restored" in said
    finally:
        world.kubectl("delete", "pod", "-n", NAMESPACE, debugger, "--wait=false")
