"""Which programs a kernel gets for a question, and why not."""

import re
from dataclasses import replace

import pytest

from numapin_agent.bpf.btf import Parameter
from numapin_agent.trace.facts import OFFSETS, TRACEPOINTS, VECTORS, Facts
from numapin_agent.trace.loader import BPF_DIR
from numapin_agent.trace.plan import RefusedError, plan
from numapin_agent.trace.question import PROBES, Question
from numapin_agent.trace.words import SOFTIRQS


def parameters(*types: str) -> tuple[Parameter, ...]:
    return tuple(Parameter("", one) for one in types)


FULL = Facts(
    macros={
        **{name: 8 * i for i, name in enumerate(OFFSETS)},
        **{f"OFF_{kind}{i}": 8 * i for kind in ("ARG", "SYSARG") for i in range(3)},
    },
    tracepoints={
        **{name: parameters(*types) for name, types in TRACEPOINTS.items()},
        **{f"{v}_{end}": parameters("int") for v, _ in VECTORS for end in ("entry", "exit")},
        "mm_migrate_pages_start": parameters("migrate_mode", "int"),
        "mm_migrate_pages": parameters(*["long unsigned int"] * 6, "migrate_mode", "int"),
    },
    functions={
        "nf_hook_slow": (
            7,
            (
                Parameter("skb", "sk_buff"),
                Parameter("state", "nf_hook_state"),
                Parameter("e", "nf_hook_entries"),
            ),
        ),
        "vfs_read": (8, ()),
        "tcp_v4_rcv": (9, ()),
        "ip_local_deliver": (11, ()),
        "migrate_misplaced_folio": (10, (Parameter("folio", "folio"), Parameter("node", "int"))),
    },
    numa_reason=5,
    nodes_shift=10,
)


def asked(probe: str) -> Question:
    return Question(probe, "vfs_read" if probe == "function" else None)


def planned(probe, kernel=FULL, *, scoped=False, cpus=2, map_bytes=32 << 20, numa_nodes=2):
    return plan(
        asked(probe),
        kernel,
        scoped=scoped,
        cpus=cpus,
        map_bytes=map_bytes,
        numa_nodes=numa_nodes,
    )


def without(*names: str) -> Facts:
    return replace(
        FULL,
        macros={k: v for k, v in FULL.macros.items() if k not in names},
        tracepoints={k: v for k, v in FULL.tracepoints.items() if k not in names},
        functions={k: v for k, v in FULL.functions.items() if k not in names},
    )


@pytest.mark.parametrize("scoped", [False, True])
@pytest.mark.parametrize("probe", PROBES)
def test_every_program_is_in_the_probes_source(probe, scoped):
    made = planned(probe, scoped=scoped)
    text = "".join((BPF_DIR / f"{name}.c").read_text() for name in made.sources)
    for program in made.programs():
        assert re.search(rf"^int {program.name}\(", text, re.MULTILINE), program.name
        assert re.search(rf"ifdef WITH_{program.name.replace('_exit', '')}", text)
        assert made.macros[f"N_{program.name}"] < 48


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("cpus", [1, 2, 256, 1024])
def test_maps_keep_to_their_memory(probe, cpus):
    macros = planned(probe, cpus=cpus).macros
    keys, stacks = macros["MAX_KEYS"], macros["MAX_STACKS"]
    assert keys * 344 * cpus <= max(32 << 19, 64 * 344 * cpus)
    # sizeof(struct htab_elem) is 48 at most, a key 16
    assert macros["MAX_CPU_KEYS"] * (344 + 48 + 16) <= 32 << 19
    assert stacks & (stacks - 1) == 0
    assert stacks * 1280 <= 32 << 19


@pytest.mark.parametrize("cpus", [1, 2, 128, 256, 512])
def test_what_is_told_by_cpu_has_room_on_big_machines_too(cpus):
    softirqs = 2 * len(SOFTIRQS) * cpus
    hardirqs = (len(VECTORS) + 1 + 16) * cpus
    for probe, scoped in (("softirqs", True), ("hardirqs", True), ("spike", False)):
        room = planned(probe, scoped=scoped, cpus=cpus).macros["MAX_CPU_KEYS"]
        assert room >= max(softirqs, hardirqs), probe


def test_kinds_that_are_told_by_cpu_are_counted_by_cpu():
    """A per-CPU value below each of those keys would take ``cpus`` times the memory."""
    for source in BPF_DIR.glob("*.c"):
        text = source.read_text()
        by_cpu = source.stem in {"softirqs", "hardirqs", "stolen"}
        assert ("record_here(" in text) == (by_cpu or source.stem == "common"), source
        assert not (by_cpu and ("record(" in text or "percpu_hash" in text)), source


@pytest.mark.parametrize(
    ("probe", "scoped", "told"),
    [
        ("netfilter", True, "packets of others, too"),
        ("netfilter", False, None),
        ("net-rx", True, "packets that its own threads read"),
        ("net-rx", False, "of IPv4 alone"),
        ("softirqs", True, None),
    ],
)
def test_what_is_not_counted_is_said(probe, scoped, told):
    found = [note for note in planned(probe, scoped=scoped).notes if told and told in note]
    assert len(found) == (told is not None)
    if told is None:
        assert planned(probe, scoped=scoped).notes == ()


@pytest.mark.parametrize(
    ("probe", "lacks", "said"),
    [
        ("timers", "timer_expire_entry", "no tracepoint timer_expire_entry"),
        (
            "timers",
            "OFF_TIMER_FUNCTION",
            r"types \(BTF\) lack timer_list.function: it is too",
        ),
        ("softirqs", "softirq_exit", "no tracepoint softirq_exit"),
        ("hardirqs", "irq_handler_entry", "no tracepoint irq_handler_entry"),
        ("run-queue", "OFF_TASK_STATE", "lack task_struct.__state or task_struct.state"),
        ("syscalls", "OFF_SYSARG0", "lack pt_regs of this machine"),
        ("netfilter", "OFF_NF_HOOK", "lack nf_hook_state.hook"),
        ("net-rx", "netif_receive_skb", "no tracepoint netif_receive_skb"),
        ("spike", "sys_enter", "no tracepoint sys_enter"),
    ],
)
def test_what_a_kernel_lacks_is_said(probe, lacks, said):
    with pytest.raises(RefusedError, match=said):
        planned(probe, without(lacks))


@pytest.mark.parametrize("probe", PROBES)
def test_one_pod_needs_its_cgroups_ancestors(probe):
    old = without("OFF_CGROUP_ANCESTORS")
    assert planned(probe, old, scoped=True).parts == planned(probe, scoped=True).parts
    with pytest.raises(RefusedError, match=r"cgroup\.ancestor_ids"):
        planned(probe, without("OFF_CGROUP_ANCESTORS", "OFF_CGROUP_ANCESTOR_IDS"), scoped=True)


def test_a_tracepoint_that_passes_something_else_is_not_used():
    odd = replace(FULL, tracepoints={**FULL.tracepoints, "softirq_entry": parameters("sk_buff")})
    with pytest.raises(RefusedError, match=r"passes \(sk_buff\)"):
        planned("softirqs", odd)


def test_vectors_of_another_machine_are_left_out_and_said():
    made = planned("hardirqs", without(*(f"{v}_entry" for v, _ in VECTORS)))
    assert [p.name for p in made.programs()] == ["irq_entry", "irq_exit"]
    assert len(made.notes) == len(VECTORS)


def test_functions_are_tried_by_trampoline_first():
    kinds = [[p.kind for p in a] for a in planned("function").parts[0].attempts]
    assert kinds == [["fentry", "fexit"], ["kprobe", "kretprobe"]]
    kinds = [
        [p.kind for p in a] for a in planned("function", without("vfs_read")).parts[0].attempts
    ]
    assert kinds == [["kprobe", "kretprobe"]]


def test_netfilter_with_other_arguments_is_refused():
    odd = {**FULL.functions, "nf_hook_slow": (7, (Parameter("state", "nf_hook_state"),))}
    with pytest.raises(RefusedError, match="nf_hook_slow"):
        planned("netfilter", replace(FULL, functions=odd))


def test_without_numa_balancing_moves_are_refused_and_memory_wait_is_not():
    none = replace(FULL, numa_reason=None)
    with pytest.raises(RefusedError, match="no NUMA balancing"):
        planned("numa-moves", none)
    made = planned("memory-wait", none)
    assert [part.optional for part in made.parts] == ["the time of page faults"]
    assert "NUMA migrations is not known" in made.notes[0]


def test_memory_wait_times_page_faults_and_tells_hint_faults_apart():
    moves, faults, hints = planned("memory-wait").parts
    assert moves.optional is None
    assert [[p.name for p in a] for a in faults.attempts] == [["fault_kprobe", "fault_kretprobe"]]
    assert [[p.name for p in a] for a in hints.attempts] == [["hint_kprobe"]]
    known = dict.fromkeys(("handle_mm_fault", "task_numa_fault"), (7, ()))
    full = replace(FULL, functions={**FULL.functions, **known})
    _, faults, hints = planned("memory-wait", full).parts
    assert [p.kind for p in faults.attempts[0]] == ["fentry", "fexit"]
    assert [p.kind for p in hints.attempts[0]] == ["fentry"]


def test_page_faults_are_an_event_where_there_are_no_tracepoints():
    names = [[p.name for p in a] for a in planned("page-faults").parts[0].attempts]
    assert names == [["fault_event"], ["fault_user", "fault_kernel"]]
    bare = planned("page-faults", without("page_fault_user"))
    assert [[p.name for p in a] for a in bare.parts[0].attempts] == [["fault_event"]]


@pytest.mark.parametrize("probe", ["numa-moves", "memory-wait"])
def test_where_pages_come_from_is_looked_at_only_where_it_must_be(probe):
    def hooks(made):
        return [p.name for p in made.programs() if p.name.startswith("misplaced")]

    assert hooks(planned(probe)) == []
    made = planned(probe, numa_nodes=4)
    assert hooks(made) == ["misplaced_fentry", "misplaced_kprobe"]
    assert made.macros["NODES_PGSHIFT"] == 54
    assert made.macros["OFF_MISPLACED_NODE"] == FULL.macros["OFF_ARG1"]
    untold = planned(probe, without("migrate_misplaced_folio"), numa_nodes=4)
    assert hooks(untold) == []
    assert untold.notes == ("this kernel does not tell from which NUMA node pages come",)


@pytest.mark.parametrize("of", ["mm_migrate_pages_start", "mm_migrate_pages"])
@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (("migrate_mode", "int"), True),
        (("migrate_mode", "migrate_reason"), True),
        (("migrate_mode", "folio"), False),
        (("migrate_mode",), False),
    ],
)
def test_the_reason_of_a_migration_is_an_int_or_its_enum(of, passed, *, told):
    before = [] if of == "mm_migrate_pages_start" else ["long unsigned int"] * 6
    kernel = replace(FULL, tracepoints={**FULL.tracepoints, of: parameters(*before, *passed)})
    if told:
        assert planned("numa-moves", kernel).macros["MOVE_REASON_ARG"] == 7
    else:
        with pytest.raises(RefusedError, match=rf"{of} doesn't end in \(migrate_mode, reason\)"):
            planned("numa-moves", kernel)


def test_spike_does_without_netfilters_hooks_where_they_can_not_be_timed():
    def hooks(made):
        return [p.name for p in made.programs() if p.name.startswith("hook")]

    made = planned("spike")
    assert hooks(made) == ["hook_fentry", "hook_fexit", "hook_kprobe", "hook_kretprobe"]
    assert [part.optional for part in made.parts if part.optional] != []
    assert all(part.optional for part in made.parts if part.attempts[0][0].name == "hook_fentry")
    poor = planned("spike", without("OFF_NF_HOOK"))
    assert hooks(poor) == []
    assert "what netfilter's hooks held up" in poor.notes[-1]


@pytest.mark.parametrize(("probe", "stealers"), [("softirqs", 10), ("hardirqs", 1)])
def test_only_of_a_pod_it_is_told_what_waiting_threads_lose(probe, stealers):
    def waits(made):
        return [p.name for p in made.programs() if p.name.startswith("stolen")]

    made = planned(probe, scoped=True)
    assert waits(made) == ["stolen_wakeup", "stolen_new", "stolen_switch"]
    assert made.macros["STEALERS"] == stealers
    assert "STEALERS" not in planned(probe).macros
    assert waits(planned(probe)) == waits(planned("spike", scoped=True)) == []
    without_cpu = planned(probe, without("OFF_TASK_CPU"), scoped=True)
    assert waits(without_cpu) == []
    assert "threads that wait for a CPU" in without_cpu.notes[-1]
