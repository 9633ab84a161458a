"""Running pods moved by the operator: off a busy socket, and to make room; seen in the kernel."""

import re
from collections.abc import Iterator

import pytest
from support.world import NAMESPACE, SLEEP, World, container, pod, resources

from numapin_api.names import API_VERSION
from numapin_api.pin import NumaPin
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(3000, func_only=True),
]

NODE = "numa-0"
SOCKETS = (0, 1)
MOVE_SECONDS = 1200
"""Starting pods has kept CPUs busy, and their use is a mean of five minutes."""
HELD_MIB = 48
CROWD_MIB = 250
"""Of each of four: a third of a socket's 3 GB beside what is there anyway."""
THRESHOLD = 40
POLICY = {
    "apiVersion": API_VERSION,
    "kind": "NumaPolicy",
    "metadata": {"name": "e2e-moves"},
    "spec": {
        "priority": 2000,
        "podSelector": {"matchLabels": {"moves": "auto"}},
        "placement": {
            "strategy": "Spread",
            "rebalance": {
                "mode": "Auto",
                "threshold": f"{THRESHOLD}%",
                "after": "10s",
                "cooldown": "1m",
                "minGain": "5%",
            },
        },
        "verification": {"window": "20s"},
    },
}


@pytest.fixture
def movers(world: World) -> Iterator[World]:
    """The policy, and afterwards neither it nor any pod of it."""
    world.apply(POLICY)
    yield world
    found = world.kubectl("get", "pods", "-n", NAMESPACE, "-l", "moves=auto", "-o", "name")
    world.cluster.delete(NAMESPACE, [n.removeprefix("pod/") for n in found.split()], seconds=420)
    world.kubectl("delete", "numapolicy", "e2e-moves", "--ignore-not-found")


def holds(mib: int) -> str:
    """A script that takes so much memory: tail keeps what it has to write, and nobody reads."""
    return f"head -c {mib}M /dev/zero | tail -c {mib}M | {{ {SLEEP}; }}"


def start(world: World, name: str, script: str, cpu: str, limit: str) -> None:
    made = pod(name, container(script=script, resources=resources(cpu, "64Mi", limits=False)))
    made["spec"]["containers"][0]["resources"]["limits"] = {"cpu": limit}
    made["metadata"]["labels"]["moves"] = "auto"
    world.cluster.create(made)


def start_on(world: World, socket: int, name: str, script: str, *, cpu: str, limit: str) -> None:
    """A pod pinned to a socket, and then no longer bound to it by its annotation."""
    start(world, name, script, cpu, limit)
    world.kubectl("annotate", "pod", "-n", NAMESPACE, name, f"numapin.io/socket={socket}")
    world.cluster.await_ready(NAMESPACE, name, seconds=420)

    def there() -> bool:
        pin = world.pin(name)
        return pin is not None and pin.spec.socket == socket

    eventually(there, seconds=240, what=f"{name} is pinned to socket {socket}")
    world.await_phase(name, "Pinned")
    world.kubectl("annotate", "pod", "-n", NAMESPACE, name, "numapin.io/socket-")


def await_move(world: World, *names: str) -> NumaPin:
    """The pin of the first of these pods that has been moved, and whose move has been judged."""

    def judged() -> NumaPin | None:
        for name in names:
            pin = world.pin(name)
            if pin is None or pin.spec.move is None or pin.status is None:
                continue
            if any(c.type == "Moved" and c.status != "Unknown" for c in pin.status.conditions):
                return pin
        return None

    found = eventually(judged, seconds=MOVE_SECONDS, what=f"one of {names} is moved and judged")
    assert found is not None
    return found


def held(world: World, name: str) -> dict[int, int]:
    """Bytes of anonymous memory of a pod by NUMA node."""
    stat = world.ssh(NODE, f"grep '^anon ' {world.cgroup(name)}/memory.numa_stat")
    return {int(n): int(size) for n, size in re.findall(r"N(\d+)=(\d+)", stat)}


def await_held(world: World, name: str, *, socket: int, mib: int) -> None:
    eventually(
        lambda: held(world, name).get(socket, 0) >= mib << 20,
        seconds=240,
        what=f"{name} holds its memory on socket {socket}",
    )


def assert_moved(world: World, pin: NumaPin, reason: str) -> None:
    """The move stands in the pin as it was made, has helped, and the kernel agrees."""
    move = pin.spec.move
    assert move is not None
    assert move.reason == reason
    assert pin.spec.socket == move.to_socket != move.from_socket
    condition = world.condition(pin.metadata.name, "Moved")
    assert (condition.status, condition.reason) == ("True", "Helped"), condition
    assert world.effective(pin.metadata.name) == world.socket_of(pin)
    assert world.inside(pin.metadata.name) == world.socket_of(pin)


def test_a_pod_is_moved_off_a_busy_socket(movers: World):
    """Its memory is what is short: an emulated node's own CPU use is as high as any load's."""
    names = [f"crowd-{number}" for number in range(4)]
    for name in names:
        start_on(movers, 1, name, holds(CROWD_MIB), cpu="50m", limit="1")
        await_held(movers, name, socket=1, mib=CROWD_MIB)
    pin = await_move(movers, *names)
    assert_moved(movers, pin, "SocketBusy")
    assert pin.spec.move is not None
    assert pin.spec.move.load >= THRESHOLD
    # One was enough: the others are where they were, and nothing moves back.
    for name in set(names) - {pin.metadata.name}:
        stayed = movers.pin(name)
        assert stayed is not None
        assert (stayed.spec.socket, stayed.spec.move) == (1, None)


def test_a_pod_is_moved_so_that_another_has_room(movers: World):
    for socket in SOCKETS:
        start_on(movers, socket, f"holds-{socket}", holds(HELD_MIB), cpu="700m", limit="700m")
        await_held(movers, f"holds-{socket}", socket=socket, mib=HELD_MIB)
    start(movers, "wide", SLEEP, "1400m", "1400m")
    movers.cluster.await_ready(NAMESPACE, "wide", seconds=420)
    pin = await_move(movers, "holds-0", "holds-1")
    assert_moved(movers, pin, "PodWaiting")
    assert pin.spec.move is not None
    there = held(movers, pin.metadata.name)
    assert there[pin.spec.move.to_socket] >= 0.95 * sum(there.values())
    assert sum(there.values()) >= HELD_MIB << 20
    wide = movers.await_phase("wide", "Pinned")
    assert wide.spec.socket == pin.spec.move.from_socket
    assert movers.effective("wide") == movers.socket_of(wide)
