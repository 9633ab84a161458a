"""Always-on latency histograms in the lab, against what the kernel of a node counts itself."""

import json
import re

import pytest
from support.agents import agents_with
from support.world import World, get

from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.lifecycle, pytest.mark.timeout(1800, func_only=True)]

PROBES = ("softirqs", "hardirqs", "timers", "netfilter")
NODE = "numa-0"


def metrics(world: World) -> dict[str, float]:
    """The latency metrics of the node's agent, by name and labels."""
    with world.agent_http(NODE) as url:
        _, page = get(f"{url}/metrics")
    found = re.findall(r"^(numapin_(?:node|agent)_.+) (\S+)$", page, re.MULTILINE)
    return {name: float(value) for name, value in found}


def softirqs(world: World, vector: str) -> int:
    line = world.ssh(NODE, f"grep -w {vector} /proc/softirqs")
    return sum(int(x) for x in line.split()[1:])


def up(world: World) -> bool:
    found = metrics(world)
    return all(found.get(f'numapin_agent_latency_probe_up{{probe="{p}"}}') == 1 for p in PROBES)


def test_what_the_kernel_does_is_counted_always(world: World):
    series = 'numapin_node_softirq_seconds_count{vector="TIMER"}'
    listed = json.dumps(PROBES)
    with agents_with(world, {"agent__latencyMetrics": "[]"}, agent__latencyMetrics=listed):
        eventually(lambda: up(world), seconds=900, what="all probes to be attached")
        outer = softirqs(world, "TIMER")
        before = metrics(world)
        inner = softirqs(world, "TIMER")
        world.ssh(NODE, "sleep 5")
        inner = softirqs(world, "TIMER") - inner
        after = metrics(world)
        outer = softirqs(world, "TIMER") - outer
        assert 0 < inner <= after[series] - before[series] <= outer
        for name in (
            'numapin_node_hardirq_seconds_count{interrupt="local timer"}',
            'numapin_node_timer_seconds_count{timer="hrtimer"}',
            'numapin_node_netfilter_seconds_count{family="ipv4",hook="LOCAL_OUT"}',
        ):
            assert after[name] > before[name], name
        lost = {k: v for k, v in after.items() if k.startswith("numapin_agent_latency_lost")}
        assert set(lost.values()) == {0}
        assert len(lost) == len(PROBES)
