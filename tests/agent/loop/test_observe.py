"""What is published for a pin, and when that is worth a write."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numapin_agent.cgroup.values import Cpuset
from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.ledger import Window
from numapin_agent.observe import (
    REFRESH_SECONDS,
    Baseline,
    Streak,
    counters,
    node_bytes,
    observed,
    verdict_inputs,
    worth_publishing,
)
from numapin_agent.pin.values import (
    Applied,
    ContainerCpuset,
    Drift,
    Moving,
    PinReport,
    Problem,
)
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.pin import Borrowed, Counters, NumaPinSpec, Observed

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ON_ONE = Cpuset(CpuSet({2, 3}), NodeSet({1}))
GIB = 1 << 30

SPEC = NumaPinSpec(
    pod_uid="u", node_name="numa-0", policy="p", socket=1, cpus="2-3", mems="1"
)  # limits: 10 cross-socket pages/s, 95 % local

HOME = NodeSet({1})

REPORT = PinReport(
    phase="Pinned",
    applied=Applied(ON_ONE.cpus, ON_ONE.mems, TIME),
    effective=ON_ONE,
    containers=(
        ContainerCpuset("abc", "load", Cpuset(CpuSet(), NodeSet()), ON_ONE),
        ContainerCpuset("def", "", Cpuset(CpuSet(), NodeSet()), ON_ONE),  # the sandbox
    ),
    moved_pages=512,
    memory={1: 400 << 20, 0: 0},
    threads=8,
)


def window(**counted: int) -> Counters:
    found = Window(since=100.0, seconds=60.0, counted=CgroupCounters(**counted), cpu_nanoseconds=5)
    return counters(found, wall_minus_monotonic=TIME.timestamp() - 100, moved_pages=512)


def publish(
    report: PinReport = REPORT, whole: Counters | None = None, *borrowed: Borrowed
) -> Observed:
    return observed(report, generation=3, baseline=None, last_window=whole, borrowed=borrowed)


MODEL = Borrowed(path="/data/model.bin", node=0, bytes=64 << 20, pods=["web-1"])


def test_the_wire_form() -> None:
    base = Baseline(window(migrated_pages=9000), tuple(node_bytes({0: 7})))
    seen = observed(REPORT, generation=3, baseline=base, last_window=window(migrations=1))
    assert seen.wire() == {
        "generation": 3,
        "phase": "Pinned",
        "applied": {"cpus": "2-3", "mems": "1", "time": "2026-01-02T03:04:05Z"},
        "effective": {"cpus": "2-3", "mems": "1"},
        "containers": [{"name": "load", "cpus": "2-3", "mems": "1"}],
        "memory": [{"node": 0, "bytes": 0}, {"node": 1, "bytes": 400 << 20}],
        "borrowed": [],
        "threads": 8,
        "baseline": _counters(9000),
        "baselineMemory": [{"node": 0, "bytes": 7}],
        "counters": _counters(0),
    }


def _counters(migrated: int) -> dict[str, object]:
    return {
        "since": "2026-01-02T03:04:05Z",
        "seconds": 60.0,
        "migratedPages": migrated,
        "crossSocketMigratedPages": 0,
        "migrationNanoseconds": 0,
        "hintFaultPagesLocal": 0,
        "hintFaultPagesRemote": 0,
        "crossSocketTaskMigrations": 0,
        "movedByPinPages": 512,
        "syscallMovedPages": 0,
        "scannerSkips": 0,
        "cpuNanoseconds": 5,
    }


STEADY = publish(whole=window(migrated_pages=3))


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(publish(replace(REPORT, phase="Moving")), id="phase"),
        pytest.param(publish(replace(REPORT, problem=Problem("NoRoom", "7 bytes"))), id="problem"),
        pytest.param(publish(replace(REPORT, effective=None)), id="effective"),
        pytest.param(publish(replace(REPORT, containers=())), id="container went"),
        pytest.param(
            publish(replace(REPORT, drift=Drift(CpuSet({0}), NodeSet({0}), 1, TIME))), id="drift"
        ),
        pytest.param(publish(), id="the window began anew"),
        pytest.param(
            publish(replace(REPORT, memory={0: GIB, 1: GIB}), STEADY.counters), id="memory remote"
        ),
        pytest.param(
            publish(whole=window(migrated_pages=700, cross_socket_migrated_pages=601)),
            id="more than 10 cross-socket pages/s",
        ),
        pytest.param(
            publish(whole=window(hint_fault_pages_local=900, hint_fault_pages_remote=100)),
            id="hint faults below 95 %",
        ),
    ],
)
def test_what_a_verdict_hangs_on_is_written_at_once(new: Observed) -> None:
    assert worth_publishing(STEADY, new, spec=SPEC, home=HOME, age_seconds=0)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(publish(whole=window(migrated_pages=40)), id="another quiet window"),
        pytest.param(publish(whole=window(cross_socket_migrated_pages=600)), id="just 10 pages/s"),
        pytest.param(
            publish(replace(REPORT, memory={0: GIB, 1: 30 * GIB}), STEADY.counters),
            id="memory grew and stays local",
        ),
        pytest.param(publish(replace(REPORT, threads=80), STEADY.counters), id="threads"),
        pytest.param(
            publish(whole=window(hint_fault_pages_local=90, hint_fault_pages_remote=10)),
            id="too few hint faults to count",
        ),
    ],
)
def test_steady_state_is_written_every_ten_minutes(new: Observed) -> None:
    assert not worth_publishing(STEADY, new, spec=SPEC, home=HOME, age_seconds=REFRESH_SECONDS - 1)
    assert worth_publishing(STEADY, new, spec=SPEC, home=HOME, age_seconds=REFRESH_SECONDS)


BAD = publish(whole=window(cross_socket_migrated_pages=6000))


@pytest.mark.parametrize(
    ("windows", "worth"), [(None, True), (0, False), (1, False), (2, True), (3, True)]
)
def test_one_window_that_says_something_else_is_not_worth_a_write(
    windows: int | None, worth: bool
) -> None:
    new = BAD.model_copy(update={"windows": windows})
    old = STEADY.model_copy(update={"windows": 7})
    assert worth_publishing(old, new, spec=SPEC, home=HOME, age_seconds=0) is worth


@pytest.mark.parametrize(
    ("old", "new", "worth"),
    [
        pytest.param((), (MODEL,), True, id="it appears"),
        pytest.param((MODEL,), (), True, id="it goes"),
        pytest.param(
            (MODEL,), (MODEL.model_copy(update={"node": 2}),), True, id="on another NUMA node"
        ),
        pytest.param(
            (MODEL,), (MODEL.model_copy(update={"bytes": 90 << 20}),), False, id="other bytes"
        ),
        pytest.param(
            (MODEL,), (MODEL.model_copy(update={"pods": [], "others": 3}),), False, id="other pods"
        ),
    ],
)
def test_files_of_others_are_written_when_other_ones_are_told(
    old: tuple[Borrowed, ...], new: tuple[Borrowed, ...], worth: bool
) -> None:
    before, after = (publish(REPORT, STEADY.counters, *files) for files in (old, new))
    assert worth_publishing(before, after, spec=SPEC, home=HOME, age_seconds=0) is worth


def test_the_order_of_files_is_not_worth_a_write() -> None:
    other = MODEL.model_copy(update={"path": "/data/other"})
    before = publish(REPORT, STEADY.counters, MODEL, other)
    after = publish(REPORT, STEADY.counters, other, MODEL)
    assert not worth_publishing(before, after, spec=SPEC, home=HOME, age_seconds=0)


def test_little_that_is_elsewhere_becoming_much_is_written_at_once() -> None:
    """Up to 4 MiB elsewhere make no pin Ineffective, whatever share that is."""
    tolerated = publish(replace(REPORT, memory={0: 1 << 20, 1: 3 << 20}), STEADY.counters)
    grown = publish(replace(REPORT, memory={0: 64 << 20, 1: 3 << 20}), STEADY.counters)
    assert worth_publishing(tolerated, grown, spec=SPEC, home=HOME, age_seconds=0)


def test_memory_that_is_not_bound_is_judged_all_the_same() -> None:
    cpus_only = SPEC.model_copy(update={"mems": None, "memory": "None"})
    remote = publish(replace(REPORT, memory={0: GIB, 1: GIB}), STEADY.counters)
    assert worth_publishing(STEADY, remote, spec=cpus_only, home=HOME, age_seconds=0)
    assert verdict_inputs(remote, cpus_only, NodeSet())[0] is None  # no topology yet


def test_figures_that_were_written_in_doubt_are_written_again_when_that_is_over() -> None:
    doubted = BAD.model_copy(update={"windows": 1})  # because ten minutes were over
    sure = BAD.model_copy(update={"windows": 2})
    assert worth_publishing(doubted, sure, spec=SPEC, home=HOME, age_seconds=0)
    assert not worth_publishing(
        sure, sure.model_copy(update={"windows": 3}), spec=SPEC, home=HOME, age_seconds=0
    )


def test_a_streak_counts_whole_windows_that_say_the_same() -> None:
    good, bad = (True, True), (True, False)
    streak = Streak()
    assert streak.windows(good) is None
    seen = []
    for inputs, mark in [
        (good, 1.0),
        (good, 1.0),  # another look within the same window
        (good, 2.0),
        (bad, 2.0),  # the memory of now is on another side than at the window's end
        (good, 2.0),
        (bad, 3.0),
        (bad, 4.0),
        (bad, None),  # the cpuset was changed: measured anew
        (bad, 5.0),
    ]:
        streak = streak.after(inputs, mark)
        seen.append(streak.windows(inputs))
    assert seen == [1, 1, 2, 0, 2, 1, 2, None, 1]


def test_kinds_of_memory_are_told_where_the_kernel_tells_them() -> None:
    report = replace(REPORT, memory={0: 30, 1: 100}, file={0: 30, 1: 5}, shmem={0: 20})
    assert publish(report).wire()["memory"] == [
        {"node": 0, "bytes": 30, "pageCache": 10, "shared": 20},
        {"node": 1, "bytes": 100, "pageCache": 5, "shared": 0},
    ]


def test_a_problem_whose_numbers_change_is_the_same_problem() -> None:
    old, new = (publish(replace(REPORT, problem=Problem("NoRoom", f"{n} bytes"))) for n in (7, 8))
    assert not worth_publishing(old, new, spec=SPEC, home=HOME, age_seconds=1)


def test_the_first_is_written() -> None:
    assert worth_publishing(None, STEADY, spec=SPEC, home=HOME, age_seconds=0)


@pytest.mark.parametrize(
    ("done", "age", "worth"), [(5, 60, False), (10, 60, True), (90, 1, False), (90, 3, True)]
)
def test_progress_is_written_in_steps(done: int, age: float, worth: bool) -> None:
    moving = replace(REPORT, phase="Moving")
    old = publish(replace(moving, moving=Moving(0, 100)))
    new = publish(replace(moving, moving=Moving(done, 100)))
    assert worth_publishing(old, new, spec=SPEC, home=HOME, age_seconds=age) is worth


def test_locality_of_a_single_thread_says_nothing() -> None:
    faults = window(hint_fault_pages_remote=500)
    assert verdict_inputs(publish(replace(REPORT, threads=1), faults), SPEC, HOME)[3] is None
    assert verdict_inputs(publish(replace(REPORT, threads=2), faults), SPEC, HOME)[3] is False
    few = window(hint_fault_pages_remote=499)
    assert verdict_inputs(publish(replace(REPORT, threads=2), few), SPEC, HOME)[3] is None


@given(st.dictionaries(st.integers(0, 3), st.integers(0, 1 << 40)), st.integers(0, 10**6))
def test_publishing_twice_is_never_worth_it(memory: dict[int, int], pages: int) -> None:
    seen = publish(replace(REPORT, memory=memory), window(cross_socket_migrated_pages=pages))
    assert not worth_publishing(seen, seen, spec=SPEC, home=HOME, age_seconds=1)


def test_dram_fills_are_extrapolated_and_absent_where_not_counted() -> None:
    half = window(
        dram_fills_local=990,
        dram_fills_remote=10,
        dram_running_nanoseconds=5,
        dram_enabled_nanoseconds=10,
    )
    assert (half.dram_fills_local, half.dram_fills_remote) == (1980, 20)
    assert half.dram_counted_percent == 50.0
    assert not {"dramFillsLocal", "dramFillsRemote", "dramCountedPercent"} & window().wire().keys()


@pytest.mark.parametrize(
    ("local", "remote", "running", "side"),
    [
        (950_000, 50_000, 100, True),
        (949_999, 50_001, 100, False),
        (500_000, 99_999, 100, None),
        (0, 1_000_000, 100, None),
        (950_000, 50_000, 24, None),
    ],
)
def test_a_verdict_hangs_on_dram_fills_where_they_count(
    local: int, remote: int, running: int, side: bool | None
) -> None:
    seen = window(
        dram_fills_local=local,
        dram_fills_remote=remote,
        dram_running_nanoseconds=running,
        dram_enabled_nanoseconds=100,
    )
    assert verdict_inputs(publish(whole=seen), SPEC, HOME)[4] is side
