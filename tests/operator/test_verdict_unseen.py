"""The verdict table where little is seen: signals missing, pods idle, unpinned or only observed."""

import pytest
from support.machines import SHARED
from support.reports import (
    IDLE,
    NO_FAULTS,
    QUIET,
    UNBOUND,
    WIDE,
    check,
    counters,
    dead,
    eyes,
    memory,
    observed,
    row,
    skipping,
    spec,
    starting,
)

from numapin_api.pin import CpusMems, NumaPinSpec, Observed
from numapin_operator.checks import Eyes


@pytest.mark.parametrize(
    ("wanted", "seen", "sight", "verdict", "said"),
    [
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
            "migrations died alone: samples of the pages that are there don't stand for them",
            observed(),
            "NoSignal",
            "not counted: program migrate_end of numaMigrations is not attached any more",
            sight=dead(
                "program migrate_end of numaMigrations is not attached any more", "numaMigrations"
            ),
        ),
        row(
            "migrations died alone, and samples contradict",
            observed(counters=counters(hint_fault_pages_remote=990)),
            "Ineffective",
            "50.0% of 1980 sampled pages",
            sight=dead("not attached any more", "numaMigrations"),
        ),
        row(
            "migrations from files are counted",
            observed(),
            "Verified/Measured",
            "NUMA migrations (direction unknown): 0.0 pages/s",
            sight=eyes(migrations="cgroup"),
        ),
        row(
            "hint faults died alone: migrations say enough",
            observed(),
            "Verified/ByPlacement",
            "not counted: not attached any more",
            sight=dead("not attached any more", "hintFaults"),
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
        row(
            "signals are not known yet",
            observed(),
            "Pending",
            "has not said yet what it can count",
            sight=starting(),
        ),
        row(
            "only one of the signals is known yet",
            observed(),
            "Pending",
            "has not said yet what it can count",
            sight=starting("hintFaults"),
        ),
        row(
            "signals are not known yet, nothing is counted",
            observed(counters=None),
            "Pending",
            "a window of 60 s is not over yet",
            sight=starting(),
        ),
        row(
            "signals are not known yet: cpusets need none",
            observed(effective=WIDE, counters=None),
            "Ineffective",
            "0-3 lie outside 4-7",
            sight=starting(),
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
            "observing: signals are not known yet",
            observed(phase="Observing", effective=WIDE),
            "Observing",
            "99.7% of its memory is there already, 1.0 MiB elsewhere; what it can gain is not "
            "counted yet",
            wanted=spec(mode="Observe"),
            sight=starting(),
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
    check(wanted, seen, sight, verdict, said)
