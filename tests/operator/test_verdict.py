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


def dead(why: str, *names: str) -> Eyes:
    """What is left to see when programs have died: as the agent reports it, levels none."""
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
UNBOUND = CpusMems(cpus="4-7", mems="0-1")
EYES = eyes()


def row(
    name: str,
    seen: Observed | None,
    verdict: str,
    said: str = "",
    *,
    wanted: NumaPinSpec = SPEC,
    sight: Eyes = EYES,
):
    """A case: what the agent reports, and what is made of it."""
    return pytest.param(wanted, seen, sight, verdict, said, id=name)


@pytest.mark.parametrize(
    ("wanted", "seen", "sight", "verdict", "said"),
    [
        row("no report", None, "Pending", "agent of node numa-0 has not reported"),
        row("old report", observed(generation=0), "Pending", "generation 0, not yet 1"),
        row("waiting", observed(phase="Waiting"), "Pending", "cgroup is not there"),
        row("baseline", observed(phase="Baseline"), "Pending", "before the pod is pinned"),
        row("moving", observed(phase="Moving"), "Pending", "memory is being moved"),
        row("no window", observed(counters=None), "Pending", "window of 60 s is not over"),
        row("half a window", observed(counters=counters(seconds=30)), "Pending", "30 s of 60 s"),
        row("measured", observed(), "Verified/Measured", "99.0% of 1000 sampled pages"),
        row("a tick short", observed(counters=counters(seconds=59.5)), "Verified/Measured"),
        row("one thread", observed(threads=1), "Verified/ByPlacement", "one thread"),
        row(
            "one thread: remote samples are no contradiction",
            observed(
                threads=1, counters=counters(hint_fault_pages_local=0, hint_fault_pages_remote=9999)
            ),
            "Verified/ByPlacement",
            "one thread",
        ),
        row(
            "kernel skips one-node cpusets",
            observed(counters=QUIET),
            "Verified/ByPlacement",
            "kernel 6.16.0 does not sample",
            sight=eyes(kernel="6.16.0"),
        ),
        row(
            "kernel says that it skipped this one, whatever its release",
            observed(counters=counters(**NO_FAULTS, scanner_skips=42)),
            "Verified/ByPlacement",
            "to one NUMA node, and passed over this one 42 times",
            sight=skipping(),
        ),
        row(
            "hint faults from files have no locality",
            observed(counters=QUIET),
            "Verified/ByPlacement",
            "local and remote are not told apart: BPF is not allowed",
            sight=eyes(faults="cgroup"),
        ),
        row(
            "idle scanner",
            observed(counters=QUIET),
            "Verified/ByPlacement",
            "sampled 0 pages, fewer than 500",
        ),
        row(
            "eBPF withheld, memory.stat quiet",
            observed(counters=QUIET),
            "Verified/ByPlacement",
            "direction unknown",
            sight=eyes(migrations="cgroup", faults="none"),
        ),
        row(
            "memory.stat migrates",
            observed(counters=counters(**NO_FAULTS, migrated_pages=6000)),
            "Ineffective",
            "100.0 pages/s",
            sight=eyes(migrations="cgroup", faults="none"),
        ),
        row(
            "migrations within the socket don't count",
            observed(counters=counters(migrated_pages=99999)),
            "Verified/Measured",
        ),
        row(
            "just tolerated",
            observed(counters=counters(cross_socket_migrated_pages=600)),
            "Verified/Measured",
            "10.0 pages/s",
        ),
        row(
            "too many migrations",
            observed(counters=counters(cross_socket_migrated_pages=606)),
            "Ineffective",
            "10.1 pages/s",
        ),
        row(
            "just local enough", observed(memory=memory(N0=5, N1=95)), "Verified/Measured", "95.0%"
        ),
        row(
            "too little local",
            observed(memory=memory(N0=6, N1=94)),
            "Ineffective",
            "94.0% of the memory (94.0 MiB of 100.0 MiB)",
        ),
        row(
            "CPUs on one socket, memory on the other, nothing migrates",
            observed(memory=memory(N0=400, N1=0), counters=QUIET),
            "Ineffective",
            "0.0% of the memory",
            sight=eyes(kernel="6.18"),
        ),
        row(
            "CPUs only, memory elsewhere",
            observed(effective=UNBOUND, memory=memory(N0=400), counters=QUIET),
            "Ineffective",
            "0.0% of the memory",
            wanted=spec(mems=None, memory="None"),
        ),
        row(
            "CPUs only, memory followed",
            observed(effective=UNBOUND),
            "Verified/Measured",
            wanted=spec(mems=None, memory="None"),
        ),
        row(
            "remote samples",
            observed(counters=counters(hint_fault_pages_local=94, hint_fault_pages_remote=906)),
            "Ineffective",
            "9.4% of 1000 sampled pages",
        ),
        row("never took effect", observed(effective=WIDE), "Ineffective", "0-3 lie outside 4-7"),
        row(
            "seen at once, without a window",
            observed(effective=WIDE, counters=None),
            "Ineffective",
            "not 1",
        ),
        row(
            "memory could not be bound",
            observed(
                effective=UNBOUND,
                problem=Problem(reason="CannotMovePages", message="no CAP_SYS_NICE"),
            ),
            "Ineffective",
            "CannotMovePages: no CAP_SYS_NICE",
        ),
        row(
            "a container outside",
            observed(containers=[ContainerEffective(name="side", cpus="0-7", mems="1")]),
            "Ineffective",
            "outside the pin: side: CPUs 0-7",
        ),
        row(
            "drifted now",
            observed(drift=DRIFT, effective=WIDE),
            "Drifted",
            "set CPUs 0-7 and memory nodes 0-1 at 18:00:30 UTC (2 times",
        ),
        row(
            "drifted within the window", observed(drift=DRIFT), "Drifted", "clean window is awaited"
        ),
        row(
            "drifted, no window since",
            observed(drift=DRIFT, counters=None),
            "Drifted",
            "clean window",
        ),
        row(
            "drifted before, clean since",
            observed(drift=DRIFT, counters=counters(since=START + timedelta(seconds=30))),
            "Verified/Measured",
        ),
        row(
            "conflict while pinned",
            observed(
                problem=Problem(reason="Conflict", message="container x has CPUs 0-1 of its own")
            ),
            "Conflict",
            "container x",
        ),
        row(
            "conflict",
            observed(phase="Refused", problem=Problem(reason="Conflict", message="exclusive CPUs")),
            "Conflict",
            "exclusive CPUs",
        ),
        row(
            "no room for what it uses",
            observed(phase="Refused", problem=Problem(reason="NoRoom", message="5 bytes")),
            "Unplaceable",
            "NoRoom: 5 bytes",
        ),
        row(
            "refused",
            observed(phase="Refused", problem=Problem(reason="Unsupported", message="cgroup v1")),
            "Ineffective",
            "Unsupported: cgroup v1",
        ),
        row(
            "agent does not see the pod yet",
            observed(phase="Refused", problem=Problem(reason="PodNotFound", message="no pod")),
            "Pending",
            "no pod",
        ),
        row("idle", observed(counters=IDLE), "NoSignal", "idle: the pod used 0.0% of a CPU"),
        row(
            "balancing off",
            observed(counters=QUIET),
            "NoSignal",
            "numa_balancing is off",
            sight=eyes(balancing=False),
        ),
        row(
            "tracer dead",
            observed(counters=QUIET),
            "NoSignal",
            "BPF is not allowed",
            sight=eyes(migrations="none", faults="none"),
        ),
        row(
            "tracer died after it had counted",
            observed(),
            "NoSignal",
            "not counted: the program no longer counts",
            sight=dead(
                "the program no longer counts", "numaMigrations", "hintFaults", "taskMigrations"
            ),
        ),
        row(
            "a dead program makes silence prove nothing, and is named",
            observed(counters=QUIET),
            "NoSignal",
            "program migrate_end of numaMigrations is not attached any more",
            sight=dead(
                "program migrate_end of numaMigrations is not attached any more",
                "numaMigrations",
                "hintFaults",
            ),
        ),
        row(
            "tmpfs and page cache left behind",
            observed(memory=kinds(tmpfs=300, cache=20)),
            "Ineffective",
            "20.0% of the memory (80.0 MiB of 400.0 MiB) is on NUMA nodes 1; of the rest 20.0 MiB "
            "is page cache and 300.0 MiB is tmpfs or shared memory, which stays where it was "
            "first touched",
        ),
        row(
            "hardly any page cache left behind: it is not what is wrong",
            observed(memory=kinds(tmpfs=0, cache=3)),
            "Ineffective",
            "is on NUMA nodes 1",
        ),
        # onUnplaceable CpuOnly: memory Strict, and no node to bind it to
        row(
            "CpuOnly, memory followed",
            observed(effective=UNBOUND),
            "Verified/Measured",
            "99.7% of the memory",
            wanted=spec(mems=None),
        ),
        row(
            "CpuOnly, memory elsewhere",
            observed(effective=UNBOUND, memory=memory(N0=400), counters=QUIET),
            "Ineffective",
            "0.0% of the memory",
            wanted=spec(mems=None),
        ),
        row(
            "Strict was widened rather than killed",
            observed(
                effective=UNBOUND,
                problem=Problem(reason="RanLow", message="NUMA nodes 1 ran low"),
            ),
            "Ineffective",
            "memory may come from NUMA nodes 0-1, not 1 (RanLow: NUMA nodes 1 ran low)",
        ),
        row(
            "Preferred was widened, and much went elsewhere",
            observed(
                effective=UNBOUND,
                memory=memory(N0=100, N1=300),
                problem=Problem(reason="RanLow", message="NUMA nodes 1 ran low"),
            ),
            "Ineffective",
            "75.0% of the memory (300.0 MiB of 400.0 MiB) is on NUMA nodes 1 (RanLow",
            wanted=spec(memory="Preferred"),
        ),
        row(
            "Preferred was widened, and hardly anything went elsewhere",
            observed(
                effective=UNBOUND,
                problem=Problem(reason="RanLow", message="NUMA nodes 1 ran low"),
            ),
            "Verified/Measured",
            "99.7% of the memory",
            wanted=spec(memory="Preferred"),
        ),
        row(
            "no counters at all",
            observed(counters=None),
            "Verified/ByPlacement",
            "99.7% of the memory (399.0 MiB of 400.0 MiB) is on NUMA nodes 1; "
            "no counters: BPF is not allowed",
            sight=eyes(migrations="none", faults="none"),
        ),
        row(
            "no counters, memory elsewhere",
            observed(counters=None, memory=memory(N0=100, N1=300)),
            "Ineffective",
            "75.0% of the memory",
            sight=eyes(migrations="none", faults="none"),
        ),
        row(
            "no counters, no residency",
            observed(counters=None, memory=[]),
            "NoSignal",
            "BPF is not allowed, and no memory figures",
            sight=eyes(migrations="none", faults="none"),
        ),
        row(
            "no counters, CPUs only",
            observed(counters=None),
            "NoSignal",
            "BPF is not allowed, and only CPUs are pinned",
            wanted=spec(mems=None, memory="None"),
            sight=eyes(migrations="none", faults="none"),
        ),
        row(
            "no counters, Preferred was widened",
            observed(counters=None, effective=UNBOUND),
            "NoSignal",
            "BPF is not allowed, and memory may come from",
            wanted=spec(memory="Preferred"),
            sight=eyes(migrations="none", faults="none"),
        ),
        row(
            "no counters, no container",
            observed(counters=None, containers=[]),
            "NoSignal",
            "BPF is not allowed, and no container was seen",
            sight=eyes(migrations="none", faults="none"),
        ),
        row("no residency", observed(counters=QUIET, memory=[]), "NoSignal", "no memory figures"),
        row(
            "contradiction outranks idleness",
            observed(counters=IDLE, memory=memory(N0=400)),
            "Ineffective",
            "0.0%",
        ),
        row(
            "observing",
            observed(phase="Observing", effective=WIDE),
            "Observing",
            "only observed: it would be pinned to socket 1: CPUs 4-7, memory nodes 1; 99.7% of its "
            "memory is there already, 1.0 MiB elsewhere; the most that it can gain is an end of "
            "1.0% remote of 1000 sampled pages, over 60 s",
            wanted=spec(mode="Observe"),
        ),
        row(
            "observing: everything to gain",
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
            "Observing",
            "an end of 1500.0 pages/s of cross-socket migrations, 20.0 ms/s spent migrating, "
            "2.5 thread moves/s between sockets, 40.0% remote of 1650 sampled pages, over 60 s",
            wanted=spec(mode="Observe"),
        ),
        row(
            "observing: what is not valid is not promised",
            observed(
                phase="Observing",
                threads=1,
                counters=counters(migrated_pages=600, hint_fault_pages_remote=9999),
            ),
            "Observing",
            "an end of 10.0 pages/s of NUMA migrations, over 60 s",
            wanted=spec(mode="Observe"),
            sight=eyes(migrations="cgroup"),
        ),
        row(
            "observing: nothing to gain",
            observed(phase="Observing", counters=QUIET),
            "Observing",
            "nothing to gain was seen within 60 s",
            wanted=spec(mode="Observe"),
        ),
        row(
            "observing: not counted yet, CPUs only",
            observed(phase="Observing", counters=None, memory=[]),
            "Observing",
            "CPUs 4-7, memory as it is; what it can gain is not counted yet",
            wanted=spec(mode="Observe", mems=None, memory="None"),
        ),
        row(
            "Preferred may be widened",
            observed(effective=UNBOUND),
            "Verified/Measured",
            wanted=spec(memory="Preferred"),
        ),
        row(
            "Preferred, but memory is elsewhere",
            observed(effective=UNBOUND, memory=memory(N0=50, N1=50)),
            "Ineffective",
            "50.0%",
            wanted=spec(memory="Preferred"),
        ),
        row(
            "a socket of two NUMA nodes",
            observed(
                effective=CpusMems(cpus="4-7", mems="2-3"),
                containers=[],
                memory=memory(N2=200, N3=200),
            ),
            "Verified/Measured",
            "NUMA nodes 2-3",
            wanted=spec(cpus="4-7", mems="2-3"),
            sight=eyes(text=SNC),
        ),
        row(
            "shared NUMA node",
            observed(
                effective=CpusMems(cpus="4-7", mems="0"),
                containers=[],
                memory=memory(N0=400),
                counters=QUIET,
            ),
            "NoSignal",
            "no NUMA node of its own",
            wanted=spec(mems=None),
            sight=eyes(text=SHARED),
        ),
        row(
            "no socket",
            None,
            "Unplaceable",
            "condition Pinned says why",
            wanted=spec(socket=None, cpus=None, mems=None),
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
