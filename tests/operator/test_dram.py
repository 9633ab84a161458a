"""What DRAM fills by the PMU make of a verdict, row by row."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.machines import TWO, machine

from numapin_api.node import Level
from numapin_api.pin import (
    MIN_DRAM_COUNTED_PERCENT,
    MIN_DRAM_FILLS_PER_SECOND,
    ContainerEffective,
    Counters,
    CpusMems,
    NodeBytes,
    NumaPinSpec,
    Observed,
)
from numapin_operator.checks import Eyes
from numapin_operator.dram import NAME, check
from numapin_operator.verdict import Judgement, judge

SPEC = NumaPinSpec(pod_uid="u", node_name="numa-0", policy="p", socket=1, cpus="4-7", mems="1")
SECONDS = 60
ENOUGH = MIN_DRAM_FILLS_PER_SECOND * SECONDS


def counters(local: int = 99 * ENOUGH, remote: int = ENOUGH, **more: object) -> Counters:
    given_ = {
        "since": datetime(2026, 11, 25, tzinfo=UTC),
        "seconds": float(SECONDS),
        "dram_fills_local": local,
        "dram_fills_remote": remote,
        "dram_counted_percent": 100.0,
        "cpu_nanoseconds": 30_000_000_000,
    }
    return Counters.model_validate(given_ | more)


def eyes(
    dram: Level = "perfEvent", *, balancing: bool = True, migrations: Level = "fentry"
) -> Eyes:
    return Eyes(
        topology=machine(TWO),
        numa_balancing=balancing,
        levels={"numaMigrations": migrations, "hintFaults": migrations, "remoteDram": dram},
        reasons={"remoteDram": "one socket"},
        kernel="6.12.1",
    )


def judged(seen: Counters | None, sight: Eyes, **more: object) -> Judgement:
    given_: dict[str, object] = {
        "generation": 1,
        "phase": "Pinned",
        "effective": CpusMems(cpus="4-7", mems="1"),
        "containers": [ContainerEffective(name="main", cpus="4-7", mems="1")],
        "memory": [NodeBytes(node=1, bytes=400 << 20)],
        "threads": 4,
        "counters": seen,
    }
    return judge(SPEC, Observed.model_validate(given_ | more), generation=1, seen=sight)


UNCOUNTED = counters(0, 0, dram_counted_percent=None)
FAULTS = {"hint_fault_pages_local": 990, "hint_fault_pages_remote": 10}


@pytest.mark.parametrize(
    ("seen", "ok", "said"),
    [
        pytest.param(None, None, "no whole window yet", id="no window"),
        pytest.param(UNCOUNTED, None, "no CPU counter ran in this window", id="not counted"),
        pytest.param(
            counters(),
            True,
            "99.0% of 1,000,000 reads of DRAM a second were served by the CPU's own socket",
            id="local",
        ),
        pytest.param(counters(95 * ENOUGH, 5 * ENOUGH), True, "95.0% of", id="just enough"),
        pytest.param(counters(949 * ENOUGH, 51 * ENOUGH), False, "94.9% of", id="rounded down"),
        pytest.param(
            counters(dram_counted_percent=24.9),
            None,
            "the CPU's counters ran for 24.9% of the pod's time only, less than 25%",
            id="multiplexed away",
        ),
        pytest.param(counters(dram_counted_percent=25.0), True, "99.0%", id="counted enough"),
        pytest.param(
            counters(0, ENOUGH - 1),
            None,
            "10,000 reads of DRAM a second are too few to matter",
            id="too few",
        ),
        pytest.param(counters(ENOUGH // 2, ENOUGH // 2), False, "50.0% of 10,000", id="few"),
        pytest.param(
            counters(0, 9 * ENOUGH),
            None,
            "not one local read of DRAM was counted, which can't be",
            id="a counter that stands still",
        ),
    ],
)
def test_the_check(seen: Counters | None, ok: bool | None, said: str) -> None:
    found = check(SPEC, seen)
    assert (found.name, found.ok) == (NAME, ok)
    assert said in found.message
    assert found.wanted == ">= 95% of at least 10,000 a second"


LOCAL, REMOTE = counters(), counters(ENOUGH, 9 * ENOUGH)
MIGRATIONS_DEAD = replace(
    eyes(),
    levels={"numaMigrations": "none", "hintFaults": "fentry", "remoteDram": "perfEvent"},
)


@pytest.mark.parametrize(
    ("judgement", "verdict", "evidence", "said"),
    [
        pytest.param(
            judged(LOCAL, eyes()), "Verified", "MeasuredPMU", "99.0% of 1,000,000 reads", id="local"
        ),
        pytest.param(
            judged(counters(**FAULTS), eyes()),
            "Verified",
            "Measured",
            "99.0% of 1000 sampled pages",
            id="hint faults say so as well",
        ),
        pytest.param(
            judged(REMOTE, eyes()), "Ineffective", None, "10.0% of 100,000 reads", id="remote"
        ),
        pytest.param(
            judged(REMOTE.model_copy(update=FAULTS), eyes()),
            "Ineffective",
            None,
            "10.0% of 100,000 reads",
            id="hint faults say otherwise: they sample private memory mostly",
        ),
        pytest.param(
            judged(LOCAL, eyes(balancing=False)),
            "Verified",
            "MeasuredPMU",
            "99.0% of 1,000,000 reads",
            id="NUMA balancing is off",
        ),
        pytest.param(
            judged(LOCAL, eyes(migrations="none")),
            "Verified",
            "MeasuredPMU",
            "99.0% of 1,000,000 reads",
            id="nothing else is counted",
        ),
        pytest.param(
            judged(LOCAL.model_copy(update=FAULTS), MIGRATIONS_DEAD),
            "Verified",
            "MeasuredPMU",
            "99.0% of 1,000,000 reads",
            id="migrations are dead: what was read where needs none",
        ),
        pytest.param(
            judged(UNCOUNTED, eyes()), "Verified", "ByPlacement", "by placement", id="not counted"
        ),
        pytest.param(
            judged(UNCOUNTED, eyes(balancing=False)),
            "NoSignal",
            None,
            "kernel.numa_balancing is off",
            id="neither",
        ),
        pytest.param(
            judged(LOCAL, eyes(), memory=[NodeBytes(node=0, bytes=400 << 20)]),
            "Ineffective",
            None,
            "0.0% of the memory",
            id="memory elsewhere",
        ),
        pytest.param(
            judged(LOCAL, eyes(), effective=CpusMems(cpus="0-7", mems="1")),
            "Ineffective",
            None,
            "may run on CPUs 0-7",
            id="CPUs elsewhere",
        ),
        pytest.param(
            judged(REMOTE, eyes("none")),
            "Verified",
            "ByPlacement",
            "by placement",
            id="a node that does not count: what its predecessor wrote does not matter",
        ),
    ],
)
def test_rows(judgement: Judgement, verdict: str, evidence: str | None, said: str) -> None:
    assert (judgement.verdict, judgement.evidence) == (verdict, evidence)
    assert said in judgement.message


def test_the_check_is_shown_only_where_it_is_made() -> None:
    assert NAME in [c.name for c in judged(LOCAL, eyes()).checks]
    assert NAME not in [c.name for c in judged(LOCAL, eyes("none")).checks]


@pytest.mark.parametrize(
    ("seen", "sight", "said"),
    [
        (REMOTE, eyes(), "an end of 90.0% remote of 100,000 reads of DRAM a second, over 60 s"),
        (counters(99 * ENOUGH, 0), eyes(), "nothing to gain was seen"),
        (counters(0, ENOUGH - 1), eyes(), "nothing to gain was seen"),
        (REMOTE, eyes("none"), "nothing to gain was seen"),
    ],
    ids=["remote", "local", "too few", "not counted here"],
)
def test_observe_says_which_reads_of_dram_could_come_nearer(
    seen: Counters, sight: Eyes, said: str
) -> None:
    observed = Observed(generation=1, phase="Observing", counters=seen)
    spec = SPEC.model_copy(update={"mode": "Observe"})
    found = judge(spec, observed, generation=1, seen=sight)
    assert found.verdict == "Observing"
    assert said in found.message


@given(
    local=st.integers(0, 10**12),
    remote=st.integers(0, 10**12),
    ran=st.none() | st.floats(0, 100),
    balancing=st.booleans(),
    off=st.integers(0, 400),
)
def test_pmu_never_verifies_what_placement_contradicts(
    local: int, remote: int, ran: float | None, balancing: bool, off: int
) -> None:
    seen = counters(local, remote, dram_counted_percent=ran)
    memory = [NodeBytes(node=0, bytes=off << 20), NodeBytes(node=1, bytes=(400 - off) << 20)]
    found = judged(seen, eyes(balancing=balancing), memory=memory)
    if found.evidence == "MeasuredPMU":
        assert off <= 20
        assert ran is not None
        assert ran >= MIN_DRAM_COUNTED_PERCENT
        assert local + remote >= ENOUGH
        assert 100 * local >= 95 * (local + remote)
