"""NumaNode.status: right, and quiet."""

from datetime import UTC, datetime, timedelta

import pytest
from support.machines import machine

from numapin_agent.hugepages import Pool
from numapin_agent.kubelet.resources import UNASKED, Holder, Resources
from numapin_agent.status import (
    Reason,
    cpu_manager,
    no_signals,
    node_status,
    reserved_from_config,
    signal_reasons,
    take_over,
)
from numapin_agent.usage import Use
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CounterError
from numapin_api.node import SIGNALS, Capabilities, NumaNodeStatus, Signal
from numapin_api.topology import Topology

GIB = 1 << 30
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
TWO = machine("S0[N0 0-1 3G] S1[N1 2-3 3G]")
CAN = Capabilities(kernel="6.12", cgroup_version=2, cgroup_driver="systemd", numa_balancing=True)


def status(
    available: dict[int, int] | None = None,
    *reasons: Reason,
    previous: NumaNodeStatus | None = None,
    now: datetime = NOW,
    topology: Topology | None = TWO,
    millicores: dict[int, int] | None = None,
    pools: tuple[Pool, ...] = (),
    resources: Resources = UNASKED,
    signals: tuple[Signal, ...] = (),
) -> NumaNodeStatus:
    return node_status(
        topology=topology,
        use=Use(available or {0: 2 * GIB, 1: GIB}, millicores, pools),
        reserved_cpus=CpuSet({0}),
        exclusive_cpus=CpuSet({3}),
        resources=resources,
        neighbours=(),
        capabilities=CAN.model_copy(update={"signals": list(signals)}),
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
    assert take_over(later, status()) == status()
    assert take_over(later, None) == later


CAMERA = Resources(holders=(Holder("default", "camera", (1,)),), exclusive=CpuSet({2}))


def test_a_restarted_agent_keeps_what_its_predecessor_knew_until_it_knows_better() -> None:
    held = status(millicores={0: 1500, 1: 10}, resources=CAMERA)
    first = take_over(status(), held)
    assert first.usage == held.usage
    assert first.devices == held.devices
    again = status(previous=first)
    assert (again.usage, again.devices) == (held.usage, held.devices)
    known = status(previous=first, millicores={0: 10, 1: 10}, resources=Resources(holders=()))
    assert known.devices == []
    assert known.usage is not None
    assert [s.cpu_millicores for s in known.usage.sockets or ()] == [10, 10]


FENTRY = (Signal(name="hintFaults", level="fentry"),)


def signals(found: NumaNodeStatus) -> list[Signal]:
    return found.capabilities.signals if found.capabilities else []


def test_a_restarted_agent_keeps_its_predecessors_signals_until_counters_are_loaded() -> None:
    first = take_over(status(), status(signals=FENTRY))
    assert signals(first) == list(FENTRY)
    assert signals(status(previous=first)) == list(FENTRY)
    lacks = (Signal(name="hintFaults", level="none", reason="no BTF"),)
    assert signals(take_over(status(signals=lacks), first)) == list(lacks)
    assert signals(status(signals=lacks, previous=first)) == list(lacks)
    assert signals(take_over(status(), NumaNodeStatus())) == []


def test_what_the_kubelet_says_is_told() -> None:
    found = status(resources=CAMERA)
    assert [d.wire() for d in found.devices or ()] == [
        {"namespace": "default", "name": "camera", "numaNodes": [1]}
    ]
    assert found.exclusive_cpus == "2-3"
    assert found.capabilities is not None
    assert found.capabilities.devices_unknown is None


def test_devices_are_absent_with_a_reason_where_the_kubelet_can_not_be_asked() -> None:
    gone = Resources(problem="there is no kubelet.sock")
    found = status(resources=gone, previous=status(resources=CAMERA))
    assert found.devices is None
    assert "devices" not in found.wire()
    assert found.capabilities is not None
    assert found.capabilities.devices_unknown == "there is no kubelet.sock"


def test_cpus_that_a_static_kubelet_does_not_offer_are_reserved() -> None:
    assert status(resources=Resources(allocatable=CpuSet({2, 3}))).reserved_cpus == "0-1"
    assert status(resources=Resources()).reserved_cpus == "0"


@pytest.mark.parametrize(
    ("millicores", "rewritten"),
    [
        (None, False),
        ({0: 1690, 1: 0}, False),
        ({0: 1700, 1: 0}, True),
        ({0: 1310, 1: 199}, False),
        ({0: 1500, 1: 200}, True),
    ],
)
def test_usage_is_rewritten_when_cpu_use_moved_by_10_percent_of_a_socket(
    millicores: dict[int, int] | None, rewritten: bool
) -> None:
    first = status(millicores={0: 1500, 1: 0})
    again = status(previous=first, millicores=millicores)
    assert (again != first) is rewritten


@pytest.mark.parametrize(
    ("free", "rewritten"), [(512, False), (490, False), (486, True), (0, True)]
)
def test_usage_is_rewritten_when_a_share_of_the_huge_pages_was_taken(
    free: int, rewritten: bool
) -> None:
    first = status(pools=(Pool(1, "2Mi", 512, 512),))
    assert first.topology is not None
    assert next(n.hugepages for n in first.topology.nodes) is None
    again = status(previous=first, pools=(Pool(1, "2Mi", 512, free),))
    assert (again != first) is rewritten
    assert again.topology == first.topology


def test_one_part_of_usage_that_moved_has_the_others_rewritten() -> None:
    first = status(millicores={0: 0, 1: 0})
    again = status({0: GIB, 1: GIB}, previous=first, millicores={0: 110, 1: 0})
    assert again.usage is not None
    assert again.usage.sockets is not None
    assert again.usage.sockets[0].cpu_millicores == 110


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
    assert str(reserved_from_config(config)) == cpus


@pytest.mark.parametrize(
    ("state", "static", "cpus"),
    [
        ("", False, ""),
        ("{", False, ""),
        ("[]", False, ""),
        ('{"policyName":"none","defaultCpuSet":""}', False, ""),
        ('{"policyName":"static","defaultCpuSet":"0-3"}', True, ""),
        (
            '{"policyName":"static","defaultCpuSet":"0,4-7",'
            '"entries":{"uid":{"a":"1-2","b":"3"},"other":{"c":"9"}}}',
            True,
            "1-3,9",
        ),
    ],
)
def test_cpus_that_the_static_cpu_manager_gave_away(state: str, static: bool, cpus: str) -> None:
    found = cpu_manager(state)
    assert (found.static, str(found.exclusive)) == (static, cpus)


def test_without_any_counters_each_signal_says_why() -> None:
    found = no_signals(CounterError("the list of possible CPUs can't be read"))
    assert [s.name for s in found] == list(SIGNALS)
    assert {(s.level, s.reason) for s in found} == {
        ("none", "the list of possible CPUs can't be read")
    }
