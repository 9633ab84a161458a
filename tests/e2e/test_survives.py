"""Agents and operators die; pins stay, and what others change is put right."""

import re

import pytest
from support.agents import KILL, agent_cgroup, agent_restarts
from support.world import NAMESPACE, World, pod

from numapin_lab.demo.cluster import OPERATOR_SELECTOR, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

# On the node: widen the pod's cpuset by hand, then look until it is as before; print seconds.
DRIFT = """
cd {cgroup} && want=$(cat cpuset.cpus.effective) && read -r begun _ < /proc/uptime
cat /sys/fs/cgroup/cpuset.cpus.effective > cpuset.cpus
[ "$(cat cpuset.cpus.effective)" != "$want" ] || {{ echo "the write changed nothing" >&2; exit 1; }}
for i in $(seq 200); do
  [ "$(cat cpuset.cpus.effective)" = "$want" ] && break
  sleep 0.2
done
read -r ended _ < /proc/uptime; echo "$begun $ended $(cat cpuset.cpus.effective)"
"""
TWO_TICKS = 20
"""The agent looks every 10 s; an emulated node may be late by one look."""


def test_drift_is_repaired_and_told(world: World):
    socket = world.socket_of(world.await_phase("besteffort", "Pinned"))
    out = world.ssh("numa-0", DRIFT.format(cgroup=world.cgroup("besteffort")))
    begun, ended, cpus = out.split()
    assert cpus == str(socket.cpus)
    assert float(ended) - float(begun) <= TWO_TICKS
    assert world.inside("besteffort") == socket
    eventually(
        lambda: [
            e
            for e in world.events("besteffort")
            if re.search("drift", f"{e.reason} {e.message}", re.IGNORECASE)
        ],
        seconds=120,
        what="an Event tells of the drift",
    )
    observed = eventually(
        lambda: world.pin("besteffort").status.observed.drift,
        seconds=60,
        what="the NumaPin tells of the drift",
    )
    assert observed.count >= 1


def test_a_killed_agent_takes_its_pins_up_again(world: World):
    socket = world.socket_of(world.await_phase("besteffort", "Pinned"))
    before = agent_restarts(world, "numa-0")
    assert "killed" in world.ssh("numa-0", KILL.format(cgroup=agent_cgroup(world, "numa-0")))
    assert world.effective("besteffort") == socket
    eventually(
        lambda: agent_restarts(world, "numa-0") > before, seconds=300, what="the agent is back"
    )
    assert world.effective("besteffort") == socket
    # Taken up again: the new agent guards the old pin.
    out = world.ssh("numa-0", DRIFT.format(cgroup=world.cgroup("besteffort")))
    begun, ended, cpus = out.split()
    assert cpus == str(socket.cpus)
    assert float(ended) - float(begun) <= TWO_TICKS


def test_pins_outlive_the_operator(world: World):
    socket = world.socket_of(world.await_phase("besteffort", "Pinned"))
    operator = world.cluster.component(OPERATOR_SELECTOR)
    assert operator is not None
    world.cluster.core.delete_namespaced_pod(
        operator.metadata.name, operator.metadata.namespace, grace_period_seconds=0
    )
    assert world.effective("besteffort") == socket
    # A pod that came while there was no operator is pinned by the next one.
    try:
        world.cluster.create(pod("orphan"))
        pin = world.await_phase("orphan", "Pinned", seconds=300)
        world.cluster.await_ready(NAMESPACE, "orphan", seconds=300)
        assert world.inside("orphan") == world.socket_of(pin)
        assert world.effective("besteffort") == socket
        assert world.cluster.component(OPERATOR_SELECTOR).metadata.uid != operator.metadata.uid
    finally:
        world.cluster.delete(NAMESPACE, ["orphan"])
