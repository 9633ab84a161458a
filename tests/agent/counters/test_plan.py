"""Which programs are tried for which kernel: tables of real kernels, then whatever is missing."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.btf_slices import KERNELS, slice_of

from numapin_agent.bpf.btf import Btf, Parameter
from numapin_agent.counters.loader import source
from numapin_agent.counters.plan import (
    BTF_NAMES,
    Function,
    KernelFacts,
    Plan,
    SignalPlan,
    facts,
    plan,
)
from numapin_api.node import SIGNALS

SOURCE = source()
BEST_FIRST = ("fentry", "kprobe", "rawTracepoint", "perfEvent")


def kernel(version: str, machine: str = "x86_64") -> KernelFacts:
    return facts(Btf(slice_of(version), BTF_NAMES), machine)


def told(planned: Plan) -> dict[str, list[str]]:
    return {
        s.signal: [
            f"{a.level}: {' '.join(p.name for p in a.programs)}{' (!)' if a.caveat else ''}"
            for a in s.attempts
        ]
        for s in planned.signals
    }


ONE_NODE_PER_SOCKET = {
    "numaMigrations": ["rawTracepoint: migrate_start migrate_end"],
    "hintFaults": ["fentry: hint_fentry", "kprobe: hint_kprobe"],
    "taskMigrations": ["rawTracepoint: task_migrate"],
    "pinMoves": [
        "fentry: cpuset_move_fentry migrate_end",
        "kprobe: cpuset_move_kprobe migrate_end",
    ],
    "syscallMoves": ["rawTracepoint: migrate_end"],
    "remoteDram": ["perfEvent: dram_switch dram_flush"],
}
SCAN_SKIP = ["rawTracepoint: scan_skip"]
SKIPS: dict[str, list[str]] = {"6.1": [], "6.12": [], "6.18": SCAN_SKIP, "7.3": SCAN_SKIP}
"""Scanner skips came with 6.16."""
SEVERAL_NODES_PER_SOCKET = ONE_NODE_PER_SOCKET | {
    "numaMigrations": [
        "rawTracepoint: migrate_start migrate_end misplaced_fentry",
        "rawTracepoint: migrate_start migrate_end misplaced_kprobe",
        "rawTracepoint: migrate_start migrate_end (!)",
    ],
    "hintFaults": [
        "fentry: hint_fentry misplaced_fentry",
        "kprobe: hint_kprobe misplaced_kprobe",
        "fentry: hint_fentry (!)",
        "kprobe: hint_kprobe (!)",
    ],
}


@pytest.mark.parametrize("version", KERNELS)
def test_all_recorded_kernels_get_the_same_attempts(version):
    few = told(plan(kernel(version), always_crosses=True, nodes=2))
    assert few == ONE_NODE_PER_SOCKET | {"scannerSkips": SKIPS[version]}
    many = told(plan(kernel(version), always_crosses=False, nodes=4))
    assert many == SEVERAL_NODES_PER_SOCKET | {"scannerSkips": SKIPS[version]}


def test_more_than_two_nodes_need_to_be_told_where_pages_come_from():
    """Four sockets of one node each: every move leaves its socket, but from where is not said."""
    four = plan(kernel("6.12"), always_crosses=True, nodes=4)
    assert told(four)["numaMigrations"] == SEVERAL_NODES_PER_SOCKET["numaMigrations"]
    caveat = "from which NUMA node a migrated page came can't be read here"
    assert four.signals[0].attempts[-1].caveat == caveat
    assert [a.caveat for a in four.signals[1].attempts] == [None, None, caveat, caveat]


def test_two_nodes_of_one_socket_tell_each_other():
    planned = plan(kernel("6.12"), always_crosses=False, nodes=2)
    assert told(planned)["numaMigrations"] == ONE_NODE_PER_SOCKET["numaMigrations"]
    assert "NODES_PGSHIFT" not in planned.macros


@pytest.mark.parametrize("version", KERNELS)
def test_v1_goes_by_the_memory_controllers_cgroup(version):
    v2 = plan(kernel(version), always_crosses=True, nodes=2)
    v1 = plan(kernel(version), always_crosses=True, nodes=2, cgroup_version=1)
    assert v1.signals == v2.signals
    assert (v2.macros["CGROUP_V1"], v1.macros["CGROUP_V1"]) == (0, 1)
    # include/linux/cgroup_subsys.h: cpuset, cpu, cpuacct, blkio, memory with Debian's config
    assert v1.macros["OFF_CSS_SET_MEMORY"] == 4 * 8
    assert v1.macros["OFF_CSS_CGROUP"] == 0


def test_v1_without_a_memory_controller_tells_no_cgroups_apart():
    """Built without CONFIG_MEMCG: also what v2 has a helper for can't be told."""
    poor = without(kernel("6.18"), "OFF_CSS_SET_MEMORY")
    said = "BTF of this kernel lacks OFF_CSS_SET_MEMORY"
    v1 = plan(poor, always_crosses=True, nodes=2, cgroup_version=1)
    assert {(s.attempts, s.reason) for s in v1.signals} == {((), said)}
    assert all(s.attempts for s in plan(poor, always_crosses=True, nodes=2).signals)


@pytest.mark.parametrize(
    ("version", "reason_arg", "node_arg", "target"),
    [
        ("6.1", 6, 2, "migrate_misplaced_page"),
        ("6.12", 7, 2, "migrate_misplaced_folio"),
        ("6.18", 7, 1, "migrate_misplaced_folio"),
        ("7.3", 7, 1, "migrate_misplaced_folio"),
    ],
)
def test_arguments_follow_the_kernel(version, reason_arg, node_arg, target):
    planned = plan(kernel(version), always_crosses=False, nodes=4)
    assert planned.macros["MIGRATE_END_REASON_ARG"] == reason_arg
    assert planned.macros["MISPLACED_NODE_ARG"] == node_arg
    assert planned.macros["NODES_PGSHIFT"] == 54
    assert planned.signals[0].attempts[0].programs[-1].target == target


def test_fentry_programs_carry_the_functions_number():
    whole = kernel("6.12")
    for signal in plan(whole, always_crosses=False, nodes=4).signals:
        for program in (p for a in signal.attempts for p in a.programs):
            expected = whole.functions[program.target].btf_id if program.kind == "fentry" else 0
            assert program.btf_id == expected


def test_machine_of_unknown_registers_has_no_kprobes():
    names = {
        p.kind
        for s in plan(kernel("6.12", "riscv64"), always_crosses=True, nodes=2).signals
        for a in s.attempts
        for p in a.programs
    }
    assert names == {"fentry", "rawTracepoint", "perfEvent"}


def without(whole: KernelFacts, *names: str) -> KernelFacts:
    return dataclasses.replace(
        whole,
        **{
            part: {k: v for k, v in getattr(whole, part).items() if k not in names}
            for part in ("macros", "functions", "tracepoints")
        },
    )


def changed(whole: KernelFacts, part: str, name: str, value: object) -> KernelFacts:
    return dataclasses.replace(whole, **{part: {**getattr(whole, part), name: value}})


INT, MODE = Parameter("", "int"), Parameter("", "migrate_mode")


@pytest.mark.parametrize(
    ("facts_", "signal", "attempts", "reason"),
    [
        (
            without(kernel("6.12"), "mm_migrate_pages"),
            "numaMigrations",
            0,
            "this kernel has no tracepoint mm_migrate_pages",
        ),
        (
            without(kernel("6.12"), "mm_migrate_pages"),
            "pinMoves",
            0,
            "this kernel has no tracepoint mm_migrate_pages",
        ),
        (
            without(kernel("6.12"), "mm_migrate_pages_start"),
            "numaMigrations",
            0,
            "this kernel has no tracepoint mm_migrate_pages_start",
        ),
        (
            changed(kernel("6.12"), "tracepoints", "mm_migrate_pages", (*[INT] * 4, MODE)),
            "numaMigrations",
            0,
            "tracepoint mm_migrate_pages passes (int, int, int, int, migrate_mode), "
            "not (…, migrate_mode, reason)",
        ),
        (
            without(kernel("6.12"), "REASON_NUMA"),
            "numaMigrations",
            0,
            "BTF of this kernel lacks REASON_NUMA",
        ),
        (
            without(kernel("6.12"), "sched_migrate_task"),
            "taskMigrations",
            0,
            "this kernel has no tracepoint sched_migrate_task",
        ),
        (
            without(kernel("6.12"), "OFF_TASK_CPU", "OFF_KN_ID"),
            "taskMigrations",
            0,
            "BTF of this kernel lacks OFF_TASK_CPU, OFF_KN_ID",
        ),
        (
            without(kernel("6.12"), "OFF_MM_OWNER"),
            "pinMoves",
            0,
            "BTF of this kernel lacks OFF_MM_OWNER",
        ),
        (
            changed(
                kernel("6.12"),
                "functions",
                "task_numa_fault",
                Function(7, (Parameter("page", "page", pointer=True),)),
            ),
            "hintFaults",
            0,
            "task_numa_fault(page) is not (last_cpupid, mem_node, pages, flags, …)",
        ),
        (
            without(kernel("6.12"), "task_numa_fault"),
            "hintFaults",
            1,
            "task_numa_fault is not in BTF",
        ),
        (
            without(kernel("6.12"), "task_numa_fault", "OFF_ARG3"),
            "hintFaults",
            0,
            "task_numa_fault is not in BTF and this machine's registers are unknown",
        ),
        (without(kernel("6.12"), "OFF_ARG0"), "hintFaults", 1, None),
        (
            without(kernel("6.12"), "OFF_TASK_FLAGS"),
            "syscallMoves",
            0,
            "BTF of this kernel lacks OFF_TASK_FLAGS",
        ),
        (
            kernel("6.12"),
            "scannerSkips",
            0,
            "this kernel has no tracepoint sched_skip_cpuset_numa: "
            "it scans pods on one NUMA node as well",
        ),
        (
            changed(kernel("6.18"), "tracepoints", "sched_skip_cpuset_numa", (INT,)),
            "scannerSkips",
            0,
            "tracepoint sched_skip_cpuset_numa passes not (task_struct *, …)",
        ),
    ],
)
def test_what_is_missing_is_named(facts_, signal, attempts, reason):
    got = next(s for s in plan(facts_, always_crosses=True, nodes=2).signals if s.signal == signal)
    assert (len(got.attempts), got.reason) == (attempts, reason)


@pytest.mark.parametrize(
    "facts_",
    [
        without(kernel("6.12"), "migrate_misplaced_folio"),
        without(kernel("6.12"), "OFF_PAGE_FLAGS"),
        dataclasses.replace(kernel("6.12"), nodes_shift=None),
        changed(kernel("6.12"), "functions", "migrate_misplaced_folio", Function(7, ())),
    ],
)
def test_source_sockets_that_cannot_be_told_are_said(facts_):
    planned = plan(facts_, always_crosses=False, nodes=4)
    assert told(planned)["numaMigrations"] == ["rawTracepoint: migrate_start migrate_end (!)"]
    assert told(planned)["hintFaults"] == ["fentry: hint_fentry (!)", "kprobe: hint_kprobe (!)"]


@pytest.mark.parametrize(
    ("crosses", "caveats"),
    [
        (True, ["this kernel moves huge pages past migrate_pages: they are not counted"]),
        (
            False,
            [
                "this kernel moves huge pages past migrate_pages: they are not counted",
                "this kernel moves huge pages past migrate_pages: they are not counted",
                "this kernel moves huge pages past migrate_pages: they are not counted; "
                "from which NUMA node a migrated page came can't be read here: "
                "all moves count as leaving the socket",
            ],
        ),
    ],
)
def test_huge_pages_that_a_kernel_moves_unseen_are_said(crosses, caveats):
    old = changed(kernel("6.1"), "functions", "migrate_misplaced_transhuge_page", Function(9, ()))
    signal = plan(old, always_crosses=crosses, nodes=2 if crosses else 4).signals[0]
    assert [a.caveat for a in signal.attempts] == caveats


def needed_macros(names: set[str]) -> set[str]:
    """Macros that the C of these programs uses and does not guard, read from the source."""
    needs = {
        "migrate_start": {"REASON_NUMA"},
        "migrate_end": {"REASON_NUMA", "REASON_SYSCALL", "REASON_MBIND", "MIGRATE_END_REASON_ARG"},
        "task_migrate": {"OFF_TASK_CPU", "CGROUPS_TOLD"},
        "cpuset_move_fentry": {"OFF_TASK_FLAGS", "OFF_MM_OWNER", "CGROUPS_TOLD"},
        "cpuset_move_kprobe": {"OFF_TASK_FLAGS", "OFF_MM_OWNER", "OFF_ARG0", "CGROUPS_TOLD"},
        "hint_kprobe": {"OFF_ARG1", "OFF_ARG2", "OFF_ARG3"},
        "misplaced_fentry": {"OFF_PAGE_FLAGS", "NODES_PGSHIFT", "MISPLACED_NODE_ARG"},
        "misplaced_kprobe": {"OFF_PAGE_FLAGS", "NODES_PGSHIFT", "MISPLACED_NODE_ARG", "OFF_ARG0"},
    }
    return {m for name in names for m in needs.get(name, set())}


def told_by(version: int) -> set[str]:
    """Macros that lead to a task's cgroup."""
    return {"OFF_TASK_CGROUPS", "OFF_CGROUP_KN", "OFF_KN_ID"} | (
        {"OFF_CSS_SET_MEMORY", "OFF_CSS_CGROUP"} if version == 1 else {"OFF_CSS_SET_DFL"}
    )


WHOLE = kernel("6.18")
ALL_NAMES = [*WHOLE.macros, *WHOLE.functions, *WHOLE.tracepoints]


@given(
    lost=st.sets(st.sampled_from(ALL_NAMES)),
    shift=st.sampled_from([None, 6, 10]),
    crosses=st.booleans(),
    nodes=st.integers(1, 8),
    version=st.sampled_from([1, 2]),
)
def test_any_kernel_gets_an_answer_for_each_signal(lost, shift, crosses, nodes, version):
    poor = dataclasses.replace(without(WHOLE, *lost), nodes_shift=shift)
    planned = plan(poor, always_crosses=crosses, nodes=nodes, cgroup_version=version)
    if "CGROUPS_TOLD" in planned.macros:
        assert told_by(version) <= planned.macros.keys()
    assert [s.signal for s in planned.signals] == list(SIGNALS)
    for signal in planned.signals:
        assert signal.attempts or signal.reason
        # What names the current cgroup by itself names it on v2 only.
        assert "CGROUPS_TOLD" in planned.macros or version == 2 or not signal.attempts
        for attempt in signal.attempts:
            names = {p.name for p in attempt.programs}
            assert all(f"WITH_{n}" in SOURCE and f"int {n}(" in SOURCE for n in names)
            assert needed_macros(names) <= planned.macros.keys()
        plain = [BEST_FIRST.index(a.level) for a in signal.attempts if not a.caveat]
        assert plain == sorted(plain)


def test_dram_fills_are_planned_only_where_they_can_be_counted():
    planned = plan(kernel("6.12"), always_crosses=True, nodes=2, no_dram="one socket")
    assert planned.signals[-1] == SignalPlan("remoteDram", (), "one socket")
