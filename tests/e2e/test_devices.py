"""Devices of a real kubelet: the NumaNode names their holders, and pins go to where they are.

Two device plugins of the tests' own, one for each socket, whose devices are names only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import device_plugin
from support.world import NAMESPACE, World, container, pod, resources

from numapin_api.names import API_VERSION
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(1800, func_only=True),
]

NODE = "numa-0"
PLUGINS = "/var/lib/kubelet/device-plugins"
RESOURCES = {socket: f"example.org/nic-{socket}" for socket in (0, 1)}
POLICY = {
    "apiVersion": API_VERSION,
    "kind": "NumaPolicy",
    "metadata": {"name": "e2e-devices"},
    "spec": {
        "priority": 2000,
        "podSelector": {"matchLabels": {"devices": "require"}},
        "placement": {"strategy": "Spread", "devices": "Require"},
        "verification": {"window": "20s"},
    },
}


def plugin(world: World, socket: int) -> dict[str, Any]:
    """A pod that serves devices on the NUMA node of a socket."""
    topology = world.numa_node(NODE).status.topology.value()
    (node, *_) = topology.mems(socket)
    made = pod(
        f"plugin-{socket}",
        {
            "name": "main",
            "image": world.agent(NODE).spec.containers[0].image,
            "imagePullPolicy": "Never",
            "command": ["/opt/numapin/bin/python", "-c"],
            "args": [
                Path(device_plugin.__file__).read_text(),
                *(PLUGINS, RESOURCES[socket], str(node)),
            ],
            "volumeMounts": [{"name": "plugins", "mountPath": PLUGINS}],
        },
        node=NODE,
        pinned=False,
    )
    made["spec"]["volumes"] = [{"name": "plugins", "hostPath": {"path": PLUGINS}}]
    return made


def holder(name: str, socket: int, *, pinned: bool) -> dict[str, Any]:
    """A pod with a device on a socket, and requests that Spread would count."""
    wanted = resources("50m", "32Mi", limits=False)
    wanted |= {"limits": {RESOURCES[socket]: "1"}}
    made = pod(name, container(resources=wanted), node=NODE, pinned=pinned)
    made["metadata"]["labels"]["devices"] = "require"
    return made


@pytest.fixture(scope="module")
def plugins(world: World) -> Iterator[World]:
    """Both plugins, registered: the node offers their devices."""
    names = [f"plugin-{socket}" for socket in RESOURCES]
    world.cluster.delete(NAMESPACE, names, seconds=420)
    for socket in RESOURCES:
        world.cluster.create(plugin(world, socket))

    def offered() -> bool:
        found = world.cluster.core.read_node(NODE).status.allocatable
        return all(found.get(r) == str(device_plugin.DEVICES) for r in RESOURCES.values())

    eventually(offered, seconds=420, what="the kubelet offers the devices")
    yield world
    world.cluster.delete(NAMESPACE, names, seconds=420)


def held(world: World) -> dict[str, list[int]] | None:
    """Pods of these tests that the NumaNode names, with NUMA nodes."""
    devices = world.numa_node(NODE).status.devices
    if devices is None:
        return None
    return {d.name: d.numa_nodes for d in devices if d.namespace == NAMESPACE}


def test_the_kubelet_can_be_asked(world: World):
    status = world.numa_node(NODE).status
    assert status.capabilities.devices_unknown is None
    assert status.devices is not None


def test_the_numanode_names_who_holds_a_device_and_where(plugins: World):
    plugins.cluster.create(holder("holds", 1, pinned=False))
    try:
        plugins.cluster.await_ready(NAMESPACE, "holds", seconds=420)
        (node, *_) = plugins.numa_node(NODE).status.topology.value().mems(1)
        eventually(
            lambda: held(plugins) == {"holds": [node]},
            seconds=120,
            what="the NumaNode names the pod",
        )
    finally:
        plugins.cluster.delete(NAMESPACE, ["holds"], seconds=420)
    eventually(lambda: held(plugins) == {}, seconds=120, what="the NumaNode names it no more")


def test_pins_go_to_the_sockets_of_the_devices(plugins: World):
    """Three pods, two of one socket: Spread alone would not put them so."""
    wanted = {"nic-a": 1, "nic-b": 1, "nic-c": 0}
    plugins.apply(POLICY)
    try:
        for name, socket in wanted.items():
            plugins.cluster.create(holder(name, socket, pinned=True))
        for name, socket in wanted.items():
            plugins.cluster.await_ready(NAMESPACE, name, seconds=420)

            def there(name: str = name, socket: int = socket) -> bool:
                pin = plugins.pin(name)
                return pin is not None and pin.spec.socket == socket

            eventually(there, seconds=240, what=f"{name} is pinned to socket {socket}")
            pin = plugins.await_phase(name, "Pinned")
            assert plugins.effective(name) == plugins.socket_of(pin)
    finally:
        plugins.cluster.delete(NAMESPACE, list(wanted), seconds=420)
        plugins.kubectl("delete", "numapolicy", "e2e-devices", "--ignore-not-found")
