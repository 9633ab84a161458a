"""The doctor in the lab: the cluster from this checkout, a node from within its agent."""

import json

import pytest
from click.testing import CliRunner
from support.world import World

from numapin_cli.main import cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

INVALID = ("bad-socket-word", "bad-socket-number", "bad-memory", "bad-mode", "bad-policy")


def findings(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(text)["findings"]
    return found


def inside_agent(world: World, node: str, *flags: str) -> str:
    """What the doctor prints of a node from within its agent's container."""
    agent = world.agent(node).metadata
    command = ["numapin", "doctor", "--node", "--root", "/host", *flags]
    return world.kubectl("exec", "-n", agent.namespace, agent.name, "-c", "agent", "--", *command)


def levels(text: str) -> dict[str, set[str]]:
    """The levels of each check."""
    found: dict[str, set[str]] = {}
    for f in findings(text):
        found.setdefault(f["check"], set()).add(f["level"])
    return found


def test_the_cluster(world: World):
    config = str(world.lab.paths.kubeconfig)
    run = CliRunner().invoke(cli, ["--kubeconfig", config, "doctor", "-o", "json"])
    found = levels(run.stdout)
    # The tests' own pods with bad annotations are pins that are Invalid.
    assert run.exit_code == 1, run.output
    assert found["pins"] >= {"fail"}
    (invalid,) = [
        f for f in findings(run.stdout) if f["check"] == "pins" and "Invalid" in f["message"]
    ]
    assert int(invalid["message"].split()[0]) >= len(INVALID)
    assert all(f["remedy"] for f in findings(run.stdout) if f["level"] != "ok")
    for check in (
        *("api", "access", "crds", "operator", "agents", "versions", "nodes"),
        *("sockets", "numaBalancing", "cgroup", "otherTools"),
    ):
        assert found[check] == {"ok"}, run.output
    # The API server hands no request on to a kubelet on a loopback address, as the lab's are.
    assert found["cpuManager"] == {"unknown"}, run.output


@pytest.mark.parametrize("node", ["numa-0", "numa-1"])
def test_a_node_from_within_its_agent(world: World, node):
    text = inside_agent(world, node, "-o", "json")
    found = levels(text)
    kernel = next(f for f in findings(text) if f["check"] == "kernel")
    assert world.ssh(node, "uname -r").strip() in kernel["message"]
    for check in (
        *("sockets", "numaBalancing", "cgroup", "cpusetController", "dbus", "kernel"),
        *("lockdown", "cpuManager", "memoryManager", "otherTools"),
    ):
        assert found[check] == {"ok"}, text
    # Only the kubelet's configuration says it, which is not among the agent's mounts.
    assert found["topologyManager"] == {"unknown"}, text


@pytest.mark.parametrize("node", ["numa-0", "numa-1"])
def test_the_kernel_is_judged_as_the_node_itself_sees_it(world: World, node):
    """The agent's own sysfs stands in for what is not mounted: it must be the node's."""
    btf = world.ssh(node, "test -e /sys/kernel/btf/vmlinux && echo yes || echo no").strip()
    psi = world.ssh(node, "test -e /proc/pressure/memory && echo yes || echo no").strip()
    found = levels(inside_agent(world, node, "-o", "json"))
    assert found["btf"] == ({"ok"} if btf == "yes" else {"warn"})
    assert found["psi"] == ({"ok"} if psi == "yes" else {"warn"})


def test_lines_for_people(world: World):
    """What the agent's image prints, which has no library for tables."""
    lines = inside_agent(world, "numa-0").splitlines()
    assert lines[0].split()[:2] == ["ok", "sockets"]
    assert lines[-1].split()[1:] == ["ok,", "1", "unknown"], lines
