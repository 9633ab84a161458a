"""Every row of the verdict table, and the texts that `numapin explain` shows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.machines import SHARED, SNC, TWO, machine

from numapin_api.node import Level
from numapin_api.pin import (
    ContainerEffective,
    Counters,
    CpusMems,
    Drift,
    NodeBytes,
    NumaPinSpec,
    Observed,
    Problem,
)
from numapin_operator.checks import MIN_HINT_FAULT_PAGES, Eyes
from numapin_operator.verdict import Judgement, Refusal, judge

START = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
MIB = 1 << 20
SPEC = NumaPinSpec(pod_uid="u", node_name="numa-0", policy="p", socket=1, cpus="4-7", mems="1")


def eyes(
    *,
    kernel: str = "6.12.1",
    balancing: bool = True,
    migrations: Level = "fentry",
    faults: Level = "fentry",
    text: str = TWO,
) -> Eyes:
    return Eyes(
        topology=machine(text),
        numa_balancing=balancing,
        levels={"numaMigrations": migrations, "hintFaults": faults, "taskMigrations": "fentry"},
        reasons={"numaMigrations": "BPF is not allowed", "hintFaults": "BPF is not allowed"},
        kernel=kernel,
    )


def skipping() -> Eyes:
    """A kernel before 6.16 that got the skipping by a backport."""
    seen = eyes(kernel="6.12.0")
    return replace(seen, levels={**(seen.levels or {}), "scannerSkips": "rawTracepoint"})


def counters(**more: object) -> Counters:
    given_ = {
        "since": START,
        "seconds": 60.0,
        "hint_fault_pages_local": 990,
        "hint_fault_pages_remote": 10,
        "cpu_nanoseconds": 30_000_000_000,
    }
    return Counters.model_validate(given_ | more)


def memory(**mib: int) -> list[NodeBytes]:
    return [NodeBytes(node=int(n.removeprefix("N")), bytes=m * MIB) for n, m in mib.items()]


def observed(**more: object) -> Observed:
    given_: dict[str, object] = {
        "generation": 1,
        "phase": "Pinned",
        "effective": CpusMems(cpus="4-7", mems="1"),
        "containers": [ContainerEffective(name="main", cpus="4-7", mems="1")],
        "memory": memory(N0=1, N1=399),
        "threads": 4,
        "counters": counters(),
    }
    return Observed.model_validate(given_ | more)


def kinds(*, tmpfs: int, cache: int) -> list[NodeBytes]:
    """80 MiB on the pin's node, 320 on the other, so much of it tmpfs and page cache."""
    far, near = memory(N0=320, N1=80)
    return [far.model_copy(update={"page_cache": cache * MIB, "shared": tmpfs * MIB}), near]


def dead(why: str) -> Eyes:
    """What is left to see when the tracer has died."""
    names = ("numaMigrations", "hintFaults", "taskMigrations")
    return Eyes(
        topology=machine(TWO),
        levels=dict.fromkeys(names, "none"),
        reasons=dict.fromkeys(names, why),
        kernel="6.12.1",
    )


def spec(**more: object) -> NumaPinSpec:
    return SPEC.model_copy(update=more)


NO_FAULTS = {"hint_fault_pages_local": 0, "hint_fault_pages_remote": 0}
QUIET = counters(**NO_FAULTS)
IDLE = counters(**NO_FAULTS, cpu_nanoseconds=1_000_000)
DRIFT = Drift(cpus="0-7", mems="0-1", count=2, time=START + timedelta(seconds=30))
WIDE = CpusMems(cpus="0-7", mems="0-1")


@pytest.mark.parametrize(
    ("wanted", "seen", "sight", "verdict", "said"),
    [
        pytest.param(
            SPEC, None, eyes(), "Pending", "agent of node numa-0 has not reported", id="no report"
        ),
        pytest.param(
            SPEC,
            observed(generation=0),
            eyes(),
            "Pending",
            "generation 0, not yet 1",
            id="old report",
        ),
        pytest.param(
            SPEC, observed(phase="Waiting"), eyes(), "Pending", "cgroup is not there", id="waiting"
        ),
        pytest.param(
            SPEC,
            observed(phase="Baseline"),
            eyes(),
            "Pending",
            "before the pod is pinned",
            id="baseline",
        ),
        pytest.param(
            SPEC, observed(phase="Moving"), eyes(), "Pending", "memory is being moved", id="moving"
        ),
        pytest.param(
            SPEC,
            observed(counters=None),
            eyes(),
            "Pending",
            "window of 60 s is not over",
            id="no window",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(seconds=30)),
            eyes(),
            "Pending",
            "30 s of 60 s",
            id="half a window",
        ),
        pytest.param(
            SPEC,
            observed(),
            eyes(),
            "Verified/Measured",
            "99.0% of 1000 sampled pages",
            id="measured",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(seconds=59.5)),
            eyes(),
            "Verified/Measured",
            "",
            id="a tick short",
        ),
        pytest.param(
            SPEC, observed(threads=1), eyes(), "Verified/ByPlacement", "one thread", id="one thread"
        ),
        pytest.param(
            SPEC,
            observed(
                threads=1, counters=counters(hint_fault_pages_local=0, hint_fault_pages_remote=9999)
            ),
            eyes(),
            "Verified/ByPlacement",
            "one thread",
            id="one thread: remote samples are no contradiction",
        ),
        pytest.param(
            SPEC,
            observed(counters=QUIET),
            eyes(kernel="6.16.0"),
            "Verified/ByPlacement",
            "kernel 6.16.0 does not sample",
            id="kernel skips one-node cpusets",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(**NO_FAULTS, scanner_skips=42)),
            skipping(),
            "Verified/ByPlacement",
            "to one NUMA node, and passed over this one 42 times",
            id="kernel says that it skipped this one, whatever its release",
        ),
        pytest.param(
            SPEC,
            observed(counters=QUIET),
            eyes(faults="cgroup"),
            "Verified/ByPlacement",
            "local and remote are not told apart: BPF is not allowed",
            id="hint faults from files have no locality",
        ),
        pytest.param(
            SPEC,
            observed(counters=QUIET),
            eyes(),
            "Verified/ByPlacement",
            "sampled 0 pages, fewer than 500",
            id="idle scanner",
        ),
        pytest.param(
            SPEC,
            observed(counters=QUIET),
            eyes(migrations="cgroup", faults="none"),
            "Verified/ByPlacement",
            "direction unknown",
            id="eBPF withheld, memory.stat quiet",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(**NO_FAULTS, migrated_pages=6000)),
            eyes(migrations="cgroup", faults="none"),
            "Ineffective",
            "100.0 pages/s",
            id="memory.stat migrates",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(migrated_pages=99999)),
            eyes(),
            "Verified/Measured",
            "",
            id="migrations within the socket don't count",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(cross_socket_migrated_pages=600)),
            eyes(),
            "Verified/Measured",
            "10.0 pages/s",
            id="just tolerated",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(cross_socket_migrated_pages=606)),
            eyes(),
            "Ineffective",
            "10.1 pages/s",
            id="too many migrations",
        ),
        pytest.param(
            SPEC,
            observed(memory=memory(N0=5, N1=95)),
            eyes(),
            "Verified/Measured",
            "95.0%",
            id="just local enough",
        ),
        pytest.param(
            SPEC,
            observed(memory=memory(N0=6, N1=94)),
            eyes(),
            "Ineffective",
            "94.0% of the memory (94.0 MiB of 100.0 MiB)",
            id="too little local",
        ),
        pytest.param(
            SPEC,
            observed(memory=memory(N0=400, N1=0), counters=QUIET),
            eyes(kernel="6.18"),
            "Ineffective",
            "0.0% of the memory",
            id="CPUs on one socket, memory on the other, nothing migrates",
        ),
        pytest.param(
            spec(mems=None, memory="None"),
            observed(
                effective=CpusMems(cpus="4-7", mems="0-1"), memory=memory(N0=400), counters=QUIET
            ),
            eyes(),
            "Ineffective",
            "0.0% of the memory",
            id="CPUs only, memory elsewhere",
        ),
        pytest.param(
            spec(mems=None, memory="None"),
            observed(effective=CpusMems(cpus="4-7", mems="0-1")),
            eyes(),
            "Verified/Measured",
            "",
            id="CPUs only, memory followed",
        ),
        pytest.param(
            SPEC,
            observed(counters=counters(hint_fault_pages_local=94, hint_fault_pages_remote=906)),
            eyes(),
            "Ineffective",
            "9.4% of 1000 sampled pages",
            id="remote samples",
        ),
        pytest.param(
            SPEC,
            observed(effective=WIDE),
            eyes(),
            "Ineffective",
            "0-3 lie outside 4-7",
            id="never took effect",
        ),
        pytest.param(
            SPEC,
            observed(effective=WIDE, counters=None),
            eyes(),
            "Ineffective",
            "not 1",
            id="seen at once, without a window",
        ),
        pytest.param(
            SPEC,
            observed(
                effective=CpusMems(cpus="4-7", mems="0-1"),
                problem=Problem(reason="CannotMovePages", message="no CAP_SYS_NICE"),
            ),
            eyes(),
            "Ineffective",
            "CannotMovePages: no CAP_SYS_NICE",
            id="memory could not be bound",
        ),
        pytest.param(
            SPEC,
            observed(containers=[ContainerEffective(name="side", cpus="0-7", mems="1")]),
            eyes(),
            "Ineffective",
            "outside the pin: side: CPUs 0-7",
            id="a container outside",
        ),
        pytest.param(
            SPEC,
            observed(drift=DRIFT, effective=WIDE),
            eyes(),
            "Drifted",
            "set CPUs 0-7 and memory nodes 0-1 at 18:00:30 UTC (2 times",
            id="drifted now",
        ),
        pytest.param(
            SPEC,
            observed(drift=DRIFT),
            eyes(),
            "Drifted",
            "clean window is awaited",
            id="drifted within the window",
        ),
        pytest.param(
            SPEC,
            observed(drift=DRIFT, counters=None),
            eyes(),
            "Drifted",
            "clean window",
            id="drifted, no window since",
        ),
        pytest.param(
            SPEC,
            observed(drift=DRIFT, counters=counters(since=START + timedelta(seconds=30))),
            eyes(),
            "Verified/Measured",
            "",
            id="drifted before, clean since",
        ),
        pytest.param(
            SPEC,
            observed(
                problem=Problem(reason="Conflict", message="container x has CPUs 0-1 of its own")
            ),
            eyes(),
            "Conflict",
            "container x",
            id="conflict while pinned",
        ),
        pytest.param(
            SPEC,
            observed(phase="Refused", problem=Problem(reason="Conflict", message="exclusive CPUs")),
            eyes(),
            "Conflict",
            "exclusive CPUs",
            id="conflict",
        ),
        pytest.param(
            SPEC,
            observed(phase="Refused", problem=Problem(reason="NoRoom", message="5 bytes")),
            eyes(),
            "Unplaceable",
            "NoRoom: 5 bytes",
            id="no room for what it uses",
        ),
        pytest.param(
            SPEC,
            observed(phase="Refused", problem=Problem(reason="Unsupported", message="cgroup v1")),
            eyes(),
            "Ineffective",
            "Unsupported: cgroup v1",
            id="refused",
        ),
        pytest.param(
            SPEC,
            observed(phase="Refused", problem=Problem(reason="PodNotFound", message="no pod")),
            eyes(),
            "Pending",
            "no pod",
            id="agent does not see the pod yet",
        ),
        pytest.param(
            SPEC,
            observed(counters=IDLE),
            eyes(),
            "NoSignal",
            "idle: the pod used 0.0% of a CPU",
            id="idle",
        ),
        pytest.param(
            SPEC,
            observed(counters=QUIET),
            eyes(balancing=False),
            "NoSignal",
            "numa_balancing is off",
            id="balancing off",
        ),
        pytest.param(
            SPEC,
            observed(counters=QUIET),
            eyes(migrations="none", faults="none"),
            "NoSignal",
            "BPF is not allowed",
            id="tracer dead",
        ),
        pytest.param(
            SPEC,
            observed(),
            dead("the program no longer counts"),
            "NoSignal",
            "not counted: the program no longer counts",
            id="tracer died after it had counted",
        ),
        pytest.param(
            SPEC,
            observed(memory=kinds(tmpfs=300, cache=20)),
            eyes(),
            "Ineffective",
            "20.0% of the memory (80.0 MiB of 400.0 MiB) is on NUMA nodes 1; of the rest 20.0 MiB "
            "is page cache and 300.0 MiB is tmpfs or shared memory, which stays where it was "
            "first touched",
            id="tmpfs and page cache left behind",
        ),
        pytest.param(
            SPEC,
            observed(memory=kinds(tmpfs=0, cache=3)),
            eyes(),
            "Ineffective",
            "is on NUMA nodes 1",
            id="hardly any page cache left behind: it is not what is wrong",
        ),
        pytest.param(
            spec(mems=None),  # onUnplaceable CpuOnly: memory Strict, and no node to bind it to
            observed(effective=CpusMems(cpus="4-7", mems="0-1")),
            eyes(),
            "Verified/Measured",
            "99.7% of the memory",
            id="CpuOnly, memory followed",
        ),
        pytest.param(
            spec(mems=None),
            observed(
                effective=CpusMems(cpus="4-7", mems="0-1"), memory=memory(N0=400), counters=QUIET
            ),
            eyes(),
            "Ineffective",
            "0.0% of the memory",
            id="CpuOnly, memory elsewhere",
        ),
        pytest.param(
            SPEC,
            observed(
                effective=CpusMems(cpus="4-7", mems="0-1"),
                problem=Problem(reason="RanLow", message="NUMA nodes 1 ran low"),
            ),
            eyes(),
            "Ineffective",
            "memory may come from NUMA nodes 0-1, not 1 (RanLow: NUMA nodes 1 ran low)",
            id="Strict was widened rather than killed",
        ),
        pytest.param(
            spec(memory="Preferred"),
            observed(
                effective=CpusMems(cpus="4-7", mems="0-1"),
                memory=memory(N0=100, N1=300),
                problem=Problem(reason="RanLow", message="NUMA nodes 1 ran low"),
            ),
            eyes(),
            "Ineffective",
            "75.0% of the memory (300.0 MiB of 400.0 MiB) is on NUMA nodes 1 (RanLow",
            id="Preferred was widened, and much went elsewhere",
        ),
        pytest.param(
            spec(memory="Preferred"),
            observed(
                effective=CpusMems(cpus="4-7", mems="0-1"),
                problem=Problem(reason="RanLow", message="NUMA nodes 1 ran low"),
            ),
            eyes(),
            "Verified/Measured",
            "99.7% of the memory",
            id="Preferred was widened, and hardly anything went elsewhere",
        ),
        pytest.param(
            SPEC,
            observed(counters=None),
            eyes(migrations="none", faults="none"),
            "Verified/ByPlacement",
            "99.7% of the memory (399.0 MiB of 400.0 MiB) is on NUMA nodes 1; "
            "no counters: BPF is not allowed",
            id="no counters at all",
        ),
        pytest.param(
            SPEC,
            observed(counters=None, memory=memory(N0=100, N1=300)),
            eyes(migrations="none", faults="none"),
            "Ineffective",
            "75.0% of the memory",
            id="no counters, memory elsewhere",
        ),
        pytest.param(
            SPEC,
            observed(counters=None, memory=[]),
            eyes(migrations="none", faults="none"),
            "NoSignal",
            "BPF is not allowed, and no memory figures",
            id="no counters, no residency",
        ),
        pytest.param(
            spec(mems=None, memory="None"),
            observed(counters=None),
            eyes(migrations="none", faults="none"),
            "NoSignal",
            "BPF is not allowed, and only CPUs are pinned",
            id="no counters, CPUs only",
        ),
        pytest.param(
            spec(memory="Preferred"),
            observed(counters=None, effective=CpusMems(cpus="4-7", mems="0-1")),
            eyes(migrations="none", faults="none"),
            "NoSignal",
            "BPF is not allowed, and memory may come from",
            id="no counters, Preferred was widened",
        ),
        pytest.param(
            SPEC,
            observed(counters=None, containers=[]),
            eyes(migrations="none", faults="none"),
            "NoSignal",
            "BPF is not allowed, and no container was seen",
            id="no counters, no container",
        ),
        pytest.param(
            SPEC,
            observed(counters=QUIET, memory=[]),
            eyes(),
            "NoSignal",
            "no memory figures",
            id="no residency",
        ),
        pytest.param(
            SPEC,
            observed(counters=IDLE, memory=memory(N0=400)),
            eyes(),
            "Ineffective",
            "0.0%",
            id="contradiction outranks idleness",
        ),
        pytest.param(
            spec(mode="Observe"),
            observed(phase="Observing", effective=WIDE),
            eyes(),
            "Observing",
            "only observed: it would be pinned to socket 1: CPUs 4-7, memory nodes 1; 99.7% of its "
            "memory is there already, 1.0 MiB elsewhere; the most that it can gain is an end of "
            "1.0% remote of 1000 sampled pages, over 60 s",
            id="observing",
        ),
        pytest.param(
            spec(mode="Observe"),
            observed(
                phase="Observing",
                effective=WIDE,
                counters=counters(
                    migrated_pages=120_000,
                    cross_socket_migrated_pages=90_000,
                    migration_nanoseconds=1_200_000_000,
                    cross_socket_task_migrations=150,
                    hint_fault_pages_remote=660,
                ),
            ),
            eyes(),
            "Observing",
            "an end of 1500.0 pages/s of cross-socket migrations, 20.0 ms/s spent migrating, "
            "2.5 thread moves/s between sockets, 40.0% remote of 1650 sampled pages, over 60 s",
            id="observing: everything to gain",
        ),
        pytest.param(
            spec(mode="Observe"),
            observed(
                phase="Observing",
                threads=1,
                counters=counters(migrated_pages=600, hint_fault_pages_remote=9999),
            ),
            eyes(migrations="cgroup"),
            "Observing",
            "an end of 10.0 pages/s of NUMA migrations, over 60 s",
            id="observing: what is not valid is not promised",
        ),
        pytest.param(
            spec(mode="Observe"),
            observed(phase="Observing", counters=QUIET),
            eyes(),
            "Observing",
            "nothing to gain was seen within 60 s",
            id="observing: nothing to gain",
        ),
        pytest.param(
            spec(mode="Observe", mems=None, memory="None"),
            observed(phase="Observing", counters=None, memory=[]),
            eyes(),
            "Observing",
            "CPUs 4-7, memory as it is; what it can gain is not counted yet",
            id="observing: not counted yet, CPUs only",
        ),
        pytest.param(
            spec(memory="Preferred"),
            observed(effective=CpusMems(cpus="4-7", mems="0-1")),
            eyes(),
            "Verified/Measured",
            "",
            id="Preferred may be widened",
        ),
        pytest.param(
            spec(memory="Preferred"),
            observed(effective=CpusMems(cpus="4-7", mems="0-1"), memory=memory(N0=50, N1=50)),
            eyes(),
            "Ineffective",
            "50.0%",
            id="Preferred, but memory is elsewhere",
        ),
        pytest.param(
            spec(cpus="4-7", mems="2-3"),
            observed(
                effective=CpusMems(cpus="4-7", mems="2-3"),
                containers=[],
                memory=memory(N2=200, N3=200),
            ),
            eyes(text=SNC),
            "Verified/Measured",
            "NUMA nodes 2-3",
            id="a socket of two NUMA nodes",
        ),
        pytest.param(
            spec(mems=None),
            observed(
                effective=CpusMems(cpus="4-7", mems="0"),
                containers=[],
                memory=memory(N0=400),
                counters=QUIET,
            ),
            eyes(text=SHARED),
            "NoSignal",
            "no NUMA node of its own",
            id="shared NUMA node",
        ),
        pytest.param(
            spec(socket=None, cpus=None, mems=None),
            None,
            eyes(),
            "Unplaceable",
            "condition Pinned says why",
            id="no socket",
        ),
    ],
)
def test_table(wanted: NumaPinSpec, seen: Observed | None, sight: Eyes, verdict: str, said: str):
    found = judge(wanted, seen, generation=1, seen=sight)
    assert verdict == found.verdict + (f"/{found.evidence}" if found.evidence else "")
    assert said in found.message


@pytest.mark.parametrize("verdict", ["Unplaceable", "Invalid", "Pending", "Ineffective"])
def test_a_refusal_is_the_verdict(verdict):
    refusal = Refusal("NoRoom", "socket 0 is full", verdict)
    found = judge(spec(socket=None), observed(), refusal=refusal)
    assert found == Judgement(verdict, "socket 0 is full")


@pytest.mark.parametrize(
    ("minutes", "verdict"),
    [(0, "Verified"), (20, "Verified"), (27, "NoSignal"), (9999, "NoSignal")],
)
def test_an_agent_that_falls_silent_proves_nothing_any_more(minutes: int, verdict: str):
    now = START + timedelta(minutes=minutes)
    assert judge(SPEC, observed(), seen=eyes(), now=now).verdict == verdict


def test_figures_are_those_of_the_status():
    found = judge(SPEC, observed(counters=counters(cross_socket_migrated_pages=90)), seen=eyes())
    assert found.local_percent == 99.7  # 399 of 400 MiB, never rounded up
    assert found.cross_socket_pages_per_second == 1.5
    assert (
        judge(SPEC, observed(), seen=eyes(migrations="none")).cross_socket_pages_per_second is None
    )


@pytest.mark.parametrize(("off", "verdict"), [(3, "Verified"), (4, "Verified"), (5, "Ineffective")])
def test_what_can_not_be_moved_does_not_fail_a_small_pod(off: int, verdict: str):
    seen = observed(memory=memory(N0=off, N1=6))
    assert judge(SPEC, seen, seen=eyes()).verdict == verdict


def test_local_share_is_never_rounded_up_to_the_limit():
    seen = observed(memory=memory(N0=504, N1=9496))  # 94.96 %
    found = judge(SPEC, seen, seen=eyes())
    assert (found.verdict, found.local_percent) == ("Ineffective", 94.9)


def test_every_contradicted_check_is_named():
    seen = observed(
        memory=memory(N0=200, N1=200),
        counters=counters(cross_socket_migrated_pages=6000, hint_fault_pages_remote=990),
    )
    message = judge(SPEC, seen, seen=eyes()).message
    assert message == (
        "50.0% of the memory (200.0 MiB of 400.0 MiB) is on NUMA nodes 1; "
        "cross-socket migrations: 100.0 pages/s over 60 s; "
        "50.0% of 1980 sampled pages were local to the CPU that touched them"
    )


def test_checks_are_what_explain_shows():
    found = judge(SPEC, observed(), seen=eyes())
    assert [(c.name, c.ok, c.found, c.wanted) for c in found.checks] == [
        ("cpus", True, "4-7", "within 4-7"),
        ("mems", True, "1", "1"),
        ("containers", True, "main: 4-7", "within 4-7, memory within 1"),
        ("residency", True, "99.7% (399.0 MiB of 400.0 MiB)", ">= 95%"),
        ("migrations", True, "0.0 pages/s", "<= 10 pages/s"),
        (
            "hintFaults",
            True,
            "99.0% of 1000 pages",
            f">= 95% of at least {MIN_HINT_FAULT_PAGES} pages",
        ),
        ("activity", True, "50.0% of a CPU", ">= 0.1% of a CPU"),
        ("window", True, "60 s", "60 s"),
    ]


@given(
    st.builds(
        Observed,
        generation=st.just(1),
        phase=st.sampled_from(["Pinned", "Moving", "Refused", "Observing"]),
        effective=st.none() | st.just(WIDE) | st.just(CpusMems(cpus="4-7", mems="1")),
        memory=st.sampled_from([[], memory(N0=1), memory(N1=1), memory(N0=1, N1=99)]),
        threads=st.none() | st.integers(0, 3),
        drift=st.none() | st.just(DRIFT),
        counters=st.none()
        | st.builds(
            Counters,
            since=st.just(START),
            seconds=st.sampled_from([0.0, 30.0, 60.0]),
            migrated_pages=st.integers(0, 10**6),
            cross_socket_migrated_pages=st.integers(0, 10**4),
            hint_fault_pages_local=st.integers(0, 10**4),
            hint_fault_pages_remote=st.integers(0, 10**4),
            cpu_nanoseconds=st.integers(0, 10**11),
        ),
    ),
    st.builds(
        eyes,
        balancing=st.booleans(),
        migrations=st.sampled_from(["fentry", "cgroup", "none"]),
        faults=st.sampled_from(["fentry", "none"]),
    ),
)
@example(
    Observed(
        generation=1,
        phase="Pinned",
        threads=2,
        counters=Counters(
            since=START, seconds=60.0, hint_fault_pages_local=10**4, cpu_nanoseconds=10**10
        ),
    ),
    eyes(),
)
def test_verified_never_comes_with_a_contradiction(seen: Observed, sight: Eyes):
    found = judge(SPEC, seen, generation=1, seen=sight)
    assert found.message
    assert (found.evidence is not None) == (found.verdict == "Verified")
    if found.verdict != "Verified":
        return
    by_name = {c.name: c.ok for c in found.checks}
    assert False not in {by_name[n] for n in ("cpus", "mems", "containers", "migrations")}
    assert by_name["cpus"] is by_name["window"] is by_name["residency"] is True
    assert (found.evidence == "Measured") is (by_name["hintFaults"] is True)


def test_a_dead_program_makes_silence_prove_nothing_and_is_named():
    """As the agent reports it: the levels are none because of the program, the zeros go on."""
    why = "program migrate_end of numaMigrations is not attached any more"
    sight = Eyes(
        topology=machine(TWO),
        levels={"numaMigrations": "none", "hintFaults": "none"},
        reasons={"numaMigrations": why, "hintFaults": why},
        kernel="6.12.1",
    )
    found = judge(SPEC, observed(counters=QUIET), generation=1, seen=sight)
    assert found.verdict == "NoSignal"
    assert why in found.message


@pytest.mark.parametrize(
    ("resident", "verdict"),
    [({"N0": 40, "N1": 60}, "Verified"), ({"N0": 40, "N2": 60}, "Ineffective")],
)
def test_a_pin_of_several_sockets_is_judged_by_where_its_memory_is(
    resident: dict[str, int], verdict: str
):
    """Between its own sockets pages and threads may go as they like."""
    wanted = spec(socket=0, sockets=[0, 1], cpus="0-7", mems="0-1")
    seen = observed(
        effective=CpusMems(cpus="0-7", mems="0-1"),
        containers=[],
        memory=memory(**resident),
        counters=counters(cross_socket_migrated_pages=10**6, hint_fault_pages_remote=10**6),
    )
    found = judge(wanted, seen, seen=eyes())
    assert found.verdict == verdict
    if verdict == "Verified":
        assert found.evidence == "ByPlacement"
        assert "what moves between sockets 0, 1 is not judged" in found.message
