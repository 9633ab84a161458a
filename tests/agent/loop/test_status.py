"""NumaNode.status: right, and quiet."""

from datetime import UTC, datetime, timedelta

import pytest

from numapin_agent.status import (
    Reason,
    keep_times,
    no_signals,
    node_status,
    reserved_from_config,
    reserved_from_state,
    signal_reasons,
)
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import CounterError
from numapin_api.node import SIGNALS, Capabilities, NumaNodeStatus, Signal
from numapin_api.topology import NumaNode, Socket, Topology

GIB = 1 << 30
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
TWO = Topology(
    sockets=tuple(Socket(i, CpuSet({2 * i, 2 * i + 1}), NodeSet({i})) for i in (0, 1)),
    nodes=tuple(NumaNode(i, CpuSet({2 * i, 2 * i + 1}), 3 * GIB, i) for i in (0, 1)),
    distances=((10, 21), (21, 10)),
)
CAN = Capabilities(kernel="6.12", cgroup_version=2, cgroup_driver="systemd", numa_balancing=True)


def status(
    available: dict[int, int] | None = None,
    *reasons: Reason,
    previous: NumaNodeStatus | None = None,
    now: datetime = NOW,
    topology: Topology | None = TWO,
) -> NumaNodeStatus:
    return node_status(
        topology=topology,
        available=available or {0: 2 * GIB, 1: GIB},
        reserved_cpus="0",
        capabilities=CAN,
        agent_version="0.1.0",
        reasons=reasons,
        previous=previous,
        now=now,
    )


def conditions(found: NumaNodeStatus) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in found.conditions}


def test_all_is_well() -> None:
    found = status()
    assert found.summary is not None
    assert (found.summary.sockets, found.summary.numa_nodes, found.summary.cpus) == (2, 2, "0-3")
    assert found.topology is not None
    assert found.topology.value() == TWO
    assert conditions(found) == {
        "Ready": ("True", "AsExpected"),
        "Degraded": ("False", "AsExpected"),
    }


def test_a_missing_signal_degrades_and_a_missing_topology_is_not_ready() -> None:
    assert conditions(status(None, Reason("CountersUnavailable", "no bcc"))) == {
        "Ready": ("True", "AsExpected"),
        "Degraded": ("True", "CountersUnavailable"),
    }
    broken = Reason("TopologyUnreadable", "node0/cpulist is truncated", fatal=True)
    found = status(None, broken, topology=None)
    assert conditions(found) == {
        "Ready": ("False", "TopologyUnreadable"),
        "Degraded": ("True", "TopologyUnreadable"),
    }
    assert "truncated" in found.conditions[0].message


@pytest.mark.parametrize(
    ("moved", "rewritten"),
    [(0, False), (GIB // 10, False), (3 * GIB // 20 + 1, True), (-(3 * GIB // 20 + 1), True)],
)
def test_usage_is_rewritten_when_it_moved_by_5_percent_of_the_numa_node(
    moved: int, rewritten: bool
) -> None:
    first = status()
    again = status({0: 2 * GIB + moved, 1: GIB}, previous=first, now=NOW + timedelta(hours=1))
    assert (again != first) is rewritten


def test_transition_times_are_those_of_transitions() -> None:
    later = NOW + timedelta(minutes=5)
    first = status()
    bad = status(None, Reason("CountersUnavailable", "x"), previous=first, now=later)
    ready, degraded = bad.conditions
    assert ready.last_transition_time == NOW.replace(microsecond=0)
    assert degraded.last_transition_time == later.replace(microsecond=0)


def test_a_restarted_agent_keeps_the_times_of_its_predecessor() -> None:
    later = status(now=NOW + timedelta(days=1))
    assert keep_times(later, status()) == status()
    assert keep_times(later, None) == later


def test_signals_that_can_not_be_had_are_named_with_their_reasons() -> None:
    good = Signal(name="hintFaults", level="fentry")
    bad = Signal(name="taskMigrations", level="none", reason="no BTF")
    assert signal_reasons([good]) == []
    (reason,) = signal_reasons([good, bad])
    assert reason.reason == "CountersUnavailable"
    assert "taskMigrations (no BTF)" in reason.message
    assert "hintFaults" not in reason.message
    # needed by no verdict, and had by few machines
    assert signal_reasons([Signal(name="remoteDram", level="none", reason="one socket")]) == []


def test_a_signal_that_no_verdict_needs_may_be_missing() -> None:
    older = Signal(name="scannerSkips", level="none", reason="this kernel has no such tracepoint")
    assert signal_reasons([older]) == []


@pytest.mark.parametrize(
    ("config", "cpus"),
    [
        ("", ""),
        ("kind: KubeletConfiguration\nreservedSystemCPUs: 0-1,8\n", "0-1,8"),
        ('reservedSystemCPUs: "0,1"\n', "0-1"),
        ("  reservedSystemCPUs: 0\n", ""),
        ("reservedSystemCPUs: 5-1\n", ""),
        ("# reservedSystemCPUs: 0\n", ""),
    ],
)
def test_reserved_cpus_of_the_kubelet(config: str, cpus: str) -> None:
    assert reserved_from_config(config) == cpus


@pytest.mark.parametrize(
    ("state", "cpus"),
    [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ('{"policyName":"none","defaultCpuSet":""}', ""),
        ('{"policyName":"static","defaultCpuSet":"0-3"}', ""),
        (
            '{"policyName":"static","defaultCpuSet":"0,4-7",'
            '"entries":{"uid":{"a":"1-2","b":"3"},"other":{"c":"9"}}}',
            "1-3,9",
        ),
    ],
)
def test_cpus_that_the_static_cpu_manager_gave_away(state: str, cpus: str) -> None:
    assert reserved_from_state(state) == cpus


def test_without_any_counters_each_signal_says_why() -> None:
    found = no_signals(CounterError("the list of possible CPUs can't be read"))
    assert [s.name for s in found] == list(SIGNALS)
    assert {(s.level, s.reason) for s in found} == {
        ("none", "the list of possible CPUs can't be read")
    }
