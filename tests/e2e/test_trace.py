"""numapin trace in the lab: asked of the API server, answered by the kernel of a node."""

import re

import pytest
from click.testing import CliRunner
from support.traced import traced
from support.verdicts import made
from support.workloads import HOPS
from support.world import NAMESPACE, World, container, pod, resources

from numapin_cli.main import cli
from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900, func_only=True)]

BUSY = resources("100m", "32Mi", limits=False) | {"limits": {"cpu": "300m"}}


def test_a_node_tells_of_its_softirqs(world: World):
    found = traced(world, "softirqs", "--node", "numa-0", "--duration", "5s")
    assert found.ended == "complete"
    assert {"TIMER", "RCU", "SCHED"} & {row.labels["vector"] for row in found.rows}


def test_kernel_functions_have_names(world: World):
    """The agent may read kallsyms: without the capability SYSLOG there would be addresses."""
    found = traced(world, "timers", "--node", "numa-0", "--duration", "5s")
    names = {row.labels["function"].split(" ")[0] for row in found.rows}
    assert {"tick_nohz_handler", "tick_sched_timer", "hrtimer_wakeup"} & names, names


def test_what_a_kernel_lacks_is_said(world: World):
    config = str(world.lab.paths.kubeconfig)
    arguments = ["trace", "function", "no_such_function", "--node", "numa-0", "--duration", "1s"]
    run = CliRunner().invoke(cli, ["--kubeconfig", config, *arguments])
    assert run.exit_code == 1
    assert "no_such_function" in str(run.exception)


@pytest.mark.lifecycle
def test_a_packets_way_has_its_stages(world: World):
    """The kubelet's probes of the pods on the node are packets enough."""
    found = traced(world, "net-rx", "--node", "numa-0", "--duration", "15s")
    count = {row.labels["stage"]: row.histogram.count for row in found.rows}
    assert count.get("stack → IP", 0) > 0, (count, found.untold)
    assert count.get("IP → TCP", 0) > 0, (count, found.untold)
    assert count.get("TCP → read by the process", 0) > 0, (count, found.untold)
    assert "stack → TCP" not in count


@pytest.mark.lifecycle
def test_netfilter_tells_what_its_hooks_call(world: World):
    """The pods' network uses connection tracking and address translation."""
    found = traced(world, "netfilter", "--node", "numa-0", "--duration", "15s")
    assert {("LOCAL_OUT", "ipv4")} <= {(r.labels["hook"], r.labels["family"]) for r in found.rows}
    told = "\n".join(found.notes)
    assert re.search(r"^LOCAL_OUT of ipv4 calls .*\(connection tracking\)", told, re.MULTILINE), (
        told
    )


@pytest.mark.lifecycle
def test_pages_that_numa_balancing_moves_are_timed_by_pair_and_by_stack(world: World):
    """A program is sent from socket to socket; the kernel's own count bounds what is told."""

    def migrated() -> int:
        said = world.ssh("numa-0", "grep numa_pages_migrated /proc/vmstat")
        return int(said.split()[1])

    with made(world, pod("trace-hops", container(script=HOPS, resources=BUSY), pinned=False)):
        world.cluster.await_ready(NAMESPACE, "trace-hops", seconds=420)
        begun = migrated()
        # A young task's pages are not looked at before it has run for a while.
        eventually(lambda: migrated() > begun, seconds=240, what="the kernel moves pages")
        before = migrated()
        found = traced(world, "numa-moves", "--node", "numa-0", "--duration", "60s")
        outer = migrated() - before
    rates = {figure.name: figure.value for figure in found.figures}
    assert 0 < rates["pages moved"] * found.seconds <= 1.01 * outer
    nodes = {"0", "1"}
    pairs = {(row.labels["from"], row.labels["to"]) for row in found.rows}
    assert pairs, found.untold
    for pair in pairs:
        assert {re.findall(r"[0-9]+", one)[0] for one in pair} == nodes, pairs
    moving = [one for one in found.stacks if any("numa" in frame for frame in one.frames)]
    assert moving, found.stacks
