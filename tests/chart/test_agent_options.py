"""What agents are asked to do comes with its flags and rights, and without them when it is not."""

import pytest
from support.chart import NAMESPACE, Helm, one, render

from numapin_agent import config as agent_config

pytestmark = pytest.mark.integration


def test_agent_without_counters_lacks_their_capabilities(helm: Helm):
    daemons = one(render(helm, {"agent.counters": False}), "DaemonSet")
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["capabilities"]["add"] == ["SYS_PTRACE", "SYS_NICE"]
    assert "--no-counters" in container["args"]
    assert not agent_config.parse(["--node-name=n", "--no-counters"]).counters


@pytest.mark.parametrize(
    ("values", "most"),
    [({}, 1), ({"agent.traces": 3}, 3), ({"agent.traces": 0}, 0), ({"agent.counters": False}, 0)],
)
def test_traces_come_with_their_rights_or_not_at_all(helm: Helm, values, most: int):
    objects = render(helm, values)
    daemons = one(objects, "DaemonSet")
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    config = agent_config.parse(["--node-name=n", *container["args"], "--host-root=/"])
    assert (config.traces, config.traces_namespace) == (most, NAMESPACE if most else "")
    assert ("SYSLOG" in container["securityContext"]["capabilities"]["add"]) is bool(most)
    roles = {o["metadata"]["name"]: o["rules"] for o in objects if o["kind"] == "ClusterRole"}
    asked = {r for rule in roles["numapin-agent"] for r in rule["resources"]}
    assert ({"numatraces", "numatraces/status"} <= asked) is bool(most)
    assert ("numapin-tracer" in roles) is bool(most)


@pytest.mark.parametrize(
    ("values", "probes", "syslog"),
    [
        ({}, (), True),
        ({"agent.traces": 0}, (), False),
        (
            {"agent.traces": 0, "agent.latencyMetrics": ["timers", "netfilter"]},
            ("timers", "netfilter"),
            True,
        ),
        ({"agent.counters": False, "agent.latencyMetrics": ["timers"]}, (), False),
    ],
)
def test_latencies_are_counted_always_only_when_asked(helm: Helm, values, probes, syslog: bool):
    daemons = one(render(helm, values), "DaemonSet")
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    config = agent_config.parse(["--node-name=n", *container["args"], "--host-root=/"])
    assert config.latency == probes
    assert ("SYSLOG" in container["securityContext"]["capabilities"]["add"]) is syslog


@pytest.mark.parametrize("wanted", [True, False])
def test_agent_answers_by_names_of_old_only_when_told_to(helm: Helm, wanted: bool):
    daemons = one(render(helm, {"agent.compatibilityMetrics": wanted}), "DaemonSet")
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    assert ("--compatibility-metrics" in container["args"]) is wanted
    assert agent_config.parse(["--node-name=n", "--compatibility-metrics"]).compatibility_metrics


@pytest.mark.parametrize("wanted", [True, False])
def test_agent_counts_dram_fills_only_when_asked(helm: Helm, wanted: bool):
    daemons = one(render(helm, {"agent.dramCounters": wanted}), "DaemonSet")
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    assert ("--dram-counters" in container["args"]) is wanted
    assert agent_config.parse(["--node-name=n", "--dram-counters"]).dram_counters
