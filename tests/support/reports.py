"""What agents report of a pinned pod, made short: for tests of what the operator makes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.machines import TWO, machine

from numapin_api.node import Level
from numapin_api.pin import (
    ContainerEffective,
    Counters,
    CpusMems,
    Drift,
    NodeBytes,
    NumaPinSpec,
    Observed,
)
from numapin_operator.checks import Eyes
from numapin_operator.verdict import judge

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
    seen = eyes()
    levels = {**(seen.levels or {}), **dict.fromkeys(names, "none")}
    return replace(seen, levels=levels, reasons=dict.fromkeys(names, why))


def starting(*names: str) -> Eyes:
    """What an agent says that has just started: of all but these signals, nothing yet."""
    seen = eyes()
    levels = {name: level for name, level in (seen.levels or {}).items() if name in names}
    return replace(seen, levels=levels, reasons={})


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


def check(wanted: NumaPinSpec, seen: Observed | None, sight: Eyes, verdict: str, said: str) -> None:
    """Judge a row, and compare."""
    found = judge(wanted, seen, generation=1, seen=sight)
    assert verdict == found.verdict + (f"/{found.evidence}" if found.evidence else "")
    assert said in found.message
