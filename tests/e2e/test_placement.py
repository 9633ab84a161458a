"""Policies that say where pods go, and pods that are there: by the cpusets of their cgroups.

All pods are made in one go, for starting them takes most of the time. Where a wish decides,
requests are such that the strategy alone would decide otherwise. The tests hold in every lab;
in one of `lab/lab up --topology 2s-snc2` a NUMA node is half of a socket.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from support.world import NAMESPACE, Cpuset, World, container, pod, resources

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.names import API_VERSION
from numapin_api.pin import NumaPin
from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900, func_only=True)]

NODE = "numa-1"
WIDE_NODE = "numa-0"
"""A pod that takes more than a socket leaves the other node to the others."""
TALKS = "talks-about"
POLICIES: dict[str, dict[str, Any]] = {
    "wide": {"placement": {"onUnplaceable": "Split"}},
    "narrow": {"granularity": "NumaNode"},
    "together": {"placement": {"strategy": "Spread", "colocate": TALKS}},
    "apart": {"placement": {"strategy": "Pack", "spreadReplicas": True}},
    "packed": {"placement": {"strategy": "Pack"}},
}
REPLICAS = 2
Json = dict[str, Any]


def small(name: str, policy: str, *, cpu: str = "50m", node: str = NODE, **more: Any) -> Json:
    made = pod(name, container(resources=resources(cpu, "16Mi", limits=False)), node=node, **more)
    made["metadata"]["labels"]["where"] = policy
    return made


def talking(name: str, about: str, **more: Any) -> Json:
    made = small(name, "together", **more)
    made["metadata"]["labels"][TALKS] = about
    return made


def replicas(name: str) -> Json:
    """A StatefulSet, for the names of its pods are known."""
    made = small(name, name)
    labels = made["metadata"]["labels"]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": REPLICAS,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": made["spec"]},
        },
    }


def socket_cpus(world: World, node: str) -> int:
    """CPUs of a node's largest socket."""
    topology = world.numa_node(node).status.topology.value()
    return max(len(socket.cpus) for socket in topology.sockets)


def await_known(world: World) -> None:
    """Until the operator has heard of all policies: it says so in their status."""

    def there() -> bool:
        found = world.kubectl(
            *("get", "numapolicies", "-l", "where=e2e"),
            *("-o", "jsonpath={range .items[*]}{.status.observedGeneration} {end}"),
        )
        return len(found.split()) == len(POLICIES)

    eventually(there, seconds=120, what="the operator has heard of the policies")


@pytest.fixture(scope="module")
def placed(world: World) -> Iterator[World]:
    """The policies, and pods that each is about; afterwards neither."""
    for name, spec in POLICIES.items():
        selector = {"matchLabels": {"where": name}}
        world.apply(
            {
                "apiVersion": API_VERSION,
                "kind": "NumaPolicy",
                "metadata": {"name": f"e2e-{name}", "labels": {"where": "e2e"}},
                "spec": {"priority": 3000, "podSelector": selector, **spec},
            }
        )
    await_known(world)
    more = 1000 * socket_cpus(world, WIDE_NODE) + 50
    first = [
        # What takes most of a socket is where the strategy would not put more.
        talking("tea-0", "tea", cpu="500m", annotations={"numapin.io/socket": "1"}),
        talking("milk-0", "milk", cpu="900m", annotations={"numapin.io/socket": "0"}),
        small("wide", "wide", cpu=f"{more}m", node=WIDE_NODE),
        small("narrow", "narrow"),
    ]
    then = [talking("tea-1", "tea"), talking("milk-1", "milk")]
    sets = [replicas("apart"), replicas("packed")]
    names = [p["metadata"]["name"] for p in (*first, *then)]
    try:
        for manifest in first:
            world.cluster.create(manifest)
        for name in ("tea-0", "milk-0"):
            decided(world, name)
        for manifest in then:
            world.cluster.create(manifest)
        for manifest in sets:
            world.apply(manifest)
        yield world
    finally:
        world.kubectl("delete", "statefulset", "-n", NAMESPACE, "apart", "packed", "--wait=false")
        names += [f"{s}-{n}" for s in ("apart", "packed") for n in range(REPLICAS)]
        world.cluster.delete(NAMESPACE, names, seconds=420)
        world.kubectl("delete", "numapolicies", "-l", "where=e2e")


def decided(world: World, name: str) -> NumaPin:
    """The pin once it has a socket."""

    def there() -> NumaPin | None:
        pin = world.pin(name)
        return pin if pin is not None and pin.spec.socket is not None else None

    found = eventually(there, seconds=240, what=f"{name} has a socket")
    assert found is not None
    return found


def written(world: World, name: str) -> Cpuset:
    """What the agent wrote into the pod's cgroup: of a whole node, effective tells nothing."""
    node, cgroup = world.node_of(name), world.cgroup(name)
    text = world.ssh(node, f"cd {cgroup} && cat cpuset.cpus cpuset.mems")
    cpus, mems = text.splitlines()
    return Cpuset(CpuSet.parse(cpus), NodeSet.parse(mems))


def in_force(world: World, name: str) -> tuple[NumaPin, Cpuset]:
    """The pin in force under the policy that it should be under, and what the kernel has."""
    pin = world.await_phase(name, "Pinned", seconds=420)
    where = written(world, name)
    assert where == world.effective(name)
    assert (str(where.cpus), str(where.mems)) == (pin.spec.cpus, pin.spec.mems)
    return pin, where


def socket(world: World, name: str, policy: str) -> int:
    """The socket that a pod is pinned to, as the kernel has it."""
    pin, where = in_force(world, name)
    assert pin.spec.policy == f"e2e-{policy}"
    assert where == world.socket_of(pin)
    assert pin.spec.socket is not None
    return pin.spec.socket


def test_a_pod_that_no_socket_holds_has_all_of_two(placed: World):
    pin, where = in_force(placed, "wide")
    topology = placed.numa_node(WIDE_NODE).status.topology.value()
    assert pin.spec.sockets is not None
    assert len(pin.spec.sockets) == 2
    chosen = [s for s in topology.sockets if s.id in pin.spec.sockets]
    assert where.cpus == CpuSet(cpu for s in chosen for cpu in s.cpus)
    assert where.mems == NodeSet(n for s in chosen for n in topology.mems(s.id))
    placed.cluster.await_ready(NAMESPACE, "wide", seconds=420)
    assert placed.inside("wide") == where


def test_a_pod_has_one_numa_node_where_that_is_asked_for(placed: World):
    pin, where = in_force(placed, "narrow")
    assert pin.spec.granularity == "NumaNode"
    topology = placed.numa_node(NODE).status.topology.value()
    (one,) = (n for n in topology.nodes if n.id in where.mems)
    assert (where.cpus, where.mems) == (one.cpus, NodeSet([one.id]))
    assert one.socket == pin.spec.socket


@pytest.mark.parametrize(("about", "expected"), [("tea", 1), ("milk", 0)])
def test_pods_that_talk_to_each_other_are_together(placed: World, about: str, expected: int):
    """Spread alone would put the second pod of each pair on the other socket, which is emptier."""
    assert [socket(placed, f"{about}-{n}", "together") for n in (0, 1)] == [expected] * 2


def test_replicas_are_on_different_sockets(placed: World):
    """Pack alone puts them on one: so it does with those of the other set."""
    apart = [socket(placed, f"apart-{n}", "apart") for n in range(REPLICAS)]
    packed = [socket(placed, f"packed-{n}", "packed") for n in range(REPLICAS)]
    assert len(set(apart)) == REPLICAS
    assert len(set(packed)) == 1
