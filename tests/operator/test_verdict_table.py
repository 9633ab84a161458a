"""The verdict table: each row of a pod whose counters have something to say."""

from datetime import timedelta

import pytest
from support.machines import SNC
from support.reports import (
    DRIFT,
    QUIET,
    START,
    UNBOUND,
    WIDE,
    check,
    counters,
    eyes,
    kinds,
    memory,
    observed,
    row,
    spec,
)

from numapin_api.pin import ContainerEffective, CpusMems, NumaPinSpec, Observed, Problem
from numapin_operator.checks import Eyes


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
    ],
)
def test_table(wanted: NumaPinSpec, seen: Observed | None, sight: Eyes, verdict: str, said: str):
    check(wanted, seen, sight, verdict, said)
