"""A second operator stands by: the first is cut off from the network on a node, and comes back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.verdicts import made
from support.world import NAMESPACE, World, pod

from numapin_lab.demo.cluster import OPERATOR_SELECTOR, eventually, is_ready
from numapin_lab.deploy import NAMESPACE as SYSTEM
from numapin_lab.deploy import RELEASE
from numapin_lab.paths import checkout

pytestmark = [pytest.mark.e2e, pytest.mark.lifecycle, pytest.mark.timeout(1800, func_only=True)]

# In the pod's network namespace nothing that is sent leaves; what was sent before goes on.
RULE = """
pid=$(cat $(find /sys/fs/cgroup/kubepods.slice -path '*pod{uid}.slice/*/cgroup.procs') | tail -1)
nsenter --net --target $pid ip rule {verb} pref 1 blackhole
"""


def operators(world: World) -> dict[str, tuple[str, str]]:
    """Node and UID of each operator's pod that is ready, by name."""
    found = world.cluster.core.list_namespaced_pod(SYSTEM, label_selector=OPERATOR_SELECTOR)
    return {
        one.metadata.name: (one.spec.node_name, one.metadata.uid.replace("-", "_"))
        for one in found.items
        if is_ready(one)
    }


def leader(world: World) -> str:
    """Name of the pod that the fence lets write; empty while there is none."""
    found = world.kubectl("get", "numaleaders", "-n", SYSTEM, "-o", "json")
    return "".join(one["spec"]["pod"] for one in json.loads(found)["items"])


@pytest.fixture
def standby(world: World) -> Iterator[None]:
    """Two operators; one again afterwards."""
    chart = str(checkout() / "charts" / "numapin")
    more = ("--namespace", SYSTEM, "--reset-then-reuse-values", "--set", "operator.standby=true")
    try:
        world.helm("upgrade", RELEASE, chart, *more)
        eventually(lambda: len(operators(world)) == 2, seconds=300, what="two operators are ready")
        eventually(lambda: leader(world) in operators(world), seconds=120, what="one of them leads")
        yield
    finally:
        world.lab.deploy()
        world.kubectl("delete", "lease", "-n", SYSTEM, "numapin-operator", "--ignore-not-found")


@contextmanager
def cut_off(world: World, node: str, uid: str) -> Iterator[None]:
    world.ssh(node, RULE.format(uid=uid, verb="add"))
    try:
        yield
    finally:
        world.ssh(node, RULE.format(uid=uid, verb="del"))


def test_the_second_operator_takes_over_and_the_first_stands_by_when_it_is_back(
    world: World, standby: None
):
    first = leader(world)
    node, uid = operators(world)[first]
    with made(world, pod("before-the-cut")):
        before = world.await_phase("before-the-cut", "Pinned")
        with cut_off(world, node, uid):
            eventually(
                lambda: leader(world) not in {"", first}, seconds=180, what="the second one leads"
            )
            second = leader(world)
            with made(world, pod("meanwhile")):
                pin = world.await_phase("meanwhile", "Pinned", seconds=300)
                world.cluster.await_ready(NAMESPACE, "meanwhile", seconds=300)
                assert world.inside("meanwhile") == world.socket_of(pin)
        eventually(lambda: len(operators(world)) == 2, seconds=300, what="the first one is back")
        with made(world, pod("afterwards")):
            world.await_phase("afterwards", "Pinned", seconds=300)
        assert leader(world) == second
        after = world.pin("before-the-cut")
        assert after is not None
        assert (after.metadata.uid, after.spec) == (before.metadata.uid, before.spec)
        assert world.effective("before-the-cut") == world.socket_of(after)
