"""What the process of a trace may take, against what the chart gives the agent."""

from pathlib import Path

import yaml

from numapin_agent.trace.run import Limits
from numapin_agent.traces.child import DATA_BYTES

VALUES = Path(__file__).parents[3] / "charts/numapin/values.yaml"
MIB = 1 << 20
AGENT = 64 * MIB
"""Resident at most; docs/performance.md."""


def test_the_bounds_of_a_trace_fit_the_agents_limit() -> None:
    """The kubelet sets memory.oom.group: over the limit all of the container is killed."""
    agent = yaml.safe_load(VALUES.read_text())["agent"]
    limit = int(agent["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB
    trace = 2 * DATA_BYTES + Limits().map_bytes
    assert AGENT + agent["traces"] * trace <= limit
    assert f"up to {trace // MIB}Mi" in VALUES.read_text()
