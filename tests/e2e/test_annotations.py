"""What pods may ask for by annotation, and that a bad wish never pins."""

import pytest
from support.world import World

from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]


def test_socket(world: World):
    pin = world.await_phase("socket-1", "Pinned")
    assert pin.spec.socket == 1
    assert world.inside("socket-1") == world.socket_of(pin)


def test_memory_none_pins_cpus_only(world: World):
    pin = world.await_phase("memory-none", "Pinned")
    whole = world.effective_of("numa-0", "/sys/fs/cgroup")
    found = world.inside("memory-none")
    assert pin.spec.mems is None
    assert (found.cpus, found.mems) == (world.socket_of(pin).cpus, whole.mems)


def test_mode_observe_writes_nothing(world: World):
    pin = world.await_phase("observe", "Observing")
    assert pin.spec.mode == "Observe"
    whole = world.effective_of("numa-0", "/sys/fs/cgroup")
    assert world.effective("observe") == whole
    assert world.inside("observe") == whole
    eventually(
        lambda: world.pin("observe").status.verdict == "Observing",
        seconds=60,
        what="its verdict is Observing",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bad-socket-word", ["numapin.io/socket", "banana", "0", "1"]),
        ("bad-socket-number", ["numapin.io/socket", "7", "0", "1"]),
        ("bad-memory", ["numapin.io/memory", "Sometimes", "Strict", "Preferred", "None"]),
        ("bad-mode", ["numapin.io/mode", "enforce", "Enforce", "Observe"]),
        ("bad-policy", ["numapin.io/policy", "no-such-policy", "e2e"]),
    ],
)
def test_bad_wishes_never_pin_and_say_why(world: World, name, words):
    condition = world.condition(name, "Pinned")
    assert condition.status == "False"
    assert [word for word in words if word not in condition.message] == []
    assert world.effective(name) == world.effective_of("numa-0", "/sys/fs/cgroup")
    pin = world.pin(name)
    assert (pin.spec.socket, pin.spec.cpus, pin.spec.mems) == (None, None, None)
    assert pin.status.verdict == "Invalid"
