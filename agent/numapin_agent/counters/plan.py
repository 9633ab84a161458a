"""Decides from a kernel's types which programs to try for each signal, best first.

Pure. What a kernel offers is read from its BTF, never from its version: distributions
backport renames and signatures. Whether an attempt works is found out by trying it
(``loader``); this only rules out what can't work and says why.

What is exact: pages, faults and time always. From which NUMA node a page came is exact with two
nodes (the other one), and with more where ``migrate_misplaced_folio`` or ``_page`` can be
hooked, which tells source and target; else it is unknown, and with sub-NUMA clustering all
migrations count as leaving the socket, an upper bound that never hides one. The signal's reason
says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from numapin_agent.bpf.btf import Btf, Parameter
from numapin_agent.bpf.migration import tells_reason
from numapin_agent.bpf.programs import Kind, Program, argument_offsets, nodes_shift, offsets
from numapin_agent.counters.signals import CgroupVersion

OFFSETS: Final = {
    "OFF_TASK_FLAGS": (("task_struct", "flags"),),
    "OFF_TASK_CPU": (("task_struct", "thread_info.cpu"), ("task_struct", "cpu")),
    "OFF_TASK_CGROUPS": (("task_struct", "cgroups"),),
    "OFF_CSS_SET_DFL": (("css_set", "dfl_cgrp"),),
    "OFF_CGROUP_KN": (("cgroup", "kn"),),
    "OFF_KN_ID": (("kernfs_node", "id"),),
    "OFF_CSS_CGROUP": (("cgroup_subsys_state", "cgroup"),),
    "OFF_MM_OWNER": (("mm_struct", "owner"),),
    "OFF_PAGE_FLAGS": (("folio", "flags"), ("page", "flags")),
}
"""Per macro of programs.c where to look, first found wins."""

_POINTER: Final = 8
_CGROUP_OF_TASK: Final[Mapping[CgroupVersion, tuple[str, ...]]] = {
    1: ("OFF_TASK_CGROUPS", "OFF_CSS_SET_MEMORY", "OFF_CSS_CGROUP", "OFF_CGROUP_KN", "OFF_KN_ID"),
    2: ("OFF_TASK_CGROUPS", "OFF_CSS_SET_DFL", "OFF_CGROUP_KN", "OFF_KN_ID"),
}
"""What leads from a task to its cgroup's id: in v1 that of the memory controller's hierarchy."""
_FUNCTIONS: Final = (
    "task_numa_fault",
    "do_migrate_pages",
    "migrate_misplaced_folio",
    "migrate_misplaced_page",
    "migrate_misplaced_transhuge_page",
)
_TRACEPOINTS: Final = (
    "mm_migrate_pages_start",
    "mm_migrate_pages",
    "sched_migrate_task",
    "sched_skip_cpuset_numa",
)
_REASONS: Final = {
    "REASON_SYSCALL": "MR_SYSCALL",
    "REASON_MBIND": "MR_MEMPOLICY_MBIND",
    "REASON_NUMA": "MR_NUMA_MISPLACED",
}

BTF_NAMES: Final = (
    *{struct for places in OFFSETS.values() for struct, _ in places},
    "pt_regs",
    "hstate",
    "kmem_cache",
    "migrate_reason",
    "cgroup_subsys_id",
    *_FUNCTIONS,
    *(f"btf_trace_{name}" for name in _TRACEPOINTS),
)
"""What ``Btf`` must keep for ``facts``."""


@dataclass(frozen=True, slots=True)
class Function:
    """A kernel function that BTF describes.

    Attributes:
        btf_id: its type number.
        parameters: in order.
    """

    btf_id: int
    parameters: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(p.name for p in self.parameters)


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """What the running kernel offers.

    Attributes:
        macros: offsets and enumerators that were found, by macro of programs.c.
        functions: by name.
        tracepoints: what each passes, by name.
        nodes_shift: log2 of the most NUMA nodes the kernel was built for.
    """

    macros: Mapping[str, int] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    tracepoints: Mapping[str, tuple[Parameter, ...]] = field(default_factory=dict)
    nodes_shift: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Programs that together give a signal.

    Attributes:
        level: of the first, published when all of them are attached.
        programs: all needed.
        caveat: what this attempt can't tell, or None.
    """

    level: Kind
    programs: tuple[Program, ...]
    caveat: str | None = None


@dataclass(frozen=True, slots=True)
class SignalPlan:
    """How to get a signal.

    Attributes:
        signal: its name.
        attempts: best first; empty when nothing can work.
        reason: why better attempts, or all, were ruled out.
    """

    signal: str
    attempts: tuple[Attempt, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compile and try.

    Attributes:
        macros: for the compiler.
        signals: one for each signal.
    """

    macros: Mapping[str, int]
    signals: tuple[SignalPlan, ...]


def facts(btf: Btf, machine: str) -> KernelFacts:
    """Collect what matters from BTF.

    Args:
        btf: parsed with ``BTF_NAMES``.
        machine: as ``uname -m`` says.
    """
    macros = offsets(btf, OFFSETS)
    for macro, name in _REASONS.items():
        value = btf.enumerator("migrate_reason", name)
        if value is not None:
            macros[macro] = value
    controllers = btf.offset("css_set", "subsys")
    memory = btf.enumerator("cgroup_subsys_id", "memory_cgrp_id")
    if controllers is not None and memory is not None:
        macros["OFF_CSS_SET_MEMORY"] = controllers + _POINTER * memory
    macros |= {f"OFF_ARG{i}": at for i, at in argument_offsets(btf, machine, 4).items()}
    return KernelFacts(
        macros=macros,
        functions={n: Function(*f) for n in _FUNCTIONS if (f := btf.function(n)) is not None},
        tracepoints={n: p for n in _TRACEPOINTS if (p := btf.tracepoint(n)) is not None},
        nodes_shift=nodes_shift(btf),
    )


def plan(
    kernel: KernelFacts,
    *,
    always_crosses: bool,
    nodes: int,
    cgroup_version: CgroupVersion = 2,
    no_dram: str | None = None,
) -> Plan:
    """Which programs to try for each signal.

    Args:
        kernel: what it offers.
        always_crosses: whether every page that changes NUMA node changes socket.
        nodes: how many NUMA nodes there are: with two, source and target of a page tell each
            other.
        cgroup_version: 2, or 1 where pods are in the hierarchies of v1 (hybrid, too).
        no_dram: why DRAM fills can't be counted; None when they can.
    """
    end = _migrate_end(kernel)
    way = _CGROUP_OF_TASK[cgroup_version]
    untold = _missing(kernel, *way)
    macros = dict(kernel.macros) | {
        "ALWAYS_CROSSES": int(always_crosses),
        "CGROUP_V1": int(cgroup_version == 1),
    }
    if untold is None:
        macros["CGROUPS_TOLD"] = 1
    hooks: tuple[Program, ...] = ()
    if nodes > 2:
        hooks = _misplaced(kernel)
        if hooks:
            at = kernel.functions[hooks[0].target].names.index("node")
            macros |= {"NODES_PGSHIFT": 64 - (kernel.nodes_shift or 0), "MISPLACED_NODE_ARG": at}
    if isinstance(end, int):
        macros["MIGRATE_END_REASON_ARG"] = end
    caveats = _Caveats.of(always_crosses=always_crosses, nodes=nodes)
    signals: tuple[SignalPlan, ...] = (
        _numa_migrations(kernel, end, hooks, caveats),
        _hint_faults(kernel, hooks, caveats),
        _task_migrations(kernel, way),
        _pin_moves(kernel, end, way),
        _syscall_moves(kernel, end),
        _scanner_skips(kernel),
        SignalPlan("remoteDram", () if no_dram else (_DRAM,), no_dram),
    )
    if cgroup_version == 1 and untold is not None:
        # The helper that names the current cgroup knows v2 only.
        signals = tuple(SignalPlan(s.signal, (), s.reason or untold) for s in signals)
    return Plan(macros, signals)


@dataclass(frozen=True, slots=True)
class _Caveats:
    """What numbers lack where the source of a page can't be read; None where they lack nothing."""

    migrations: str | None = None
    faults: str | None = None

    @classmethod
    def of(cls, *, always_crosses: bool, nodes: int) -> "_Caveats":
        if nodes <= 2:
            return cls()
        if always_crosses:
            return cls(_UNTOLD_PAIR, _UNTOLD_PAIR)
        return cls(_UNTOLD, _UNTOLD_FAULT)


_END = Program("migrate_end", "rawTracepoint", "mm_migrate_pages")
_UNTOLD_PAIR = "from which NUMA node a migrated page came can't be read here"
_UNTOLD = f"{_UNTOLD_PAIR}: all moves count as leaving the socket"
_SCANS_ON = (
    "this kernel has no tracepoint sched_skip_cpuset_numa: it scans pods on one NUMA node as well"
)
_DRAM = Attempt(
    "perfEvent",
    (
        Program("dram_switch", "perfEvent", "cgroup-switches"),
        Program("dram_flush", "rawTracepoint", ""),
    ),
)
_HUGE = "this kernel moves huge pages past migrate_pages: they are not counted"
_UNTOLD_FAULT = f"{_UNTOLD_PAIR}: its fault counts as remote"


def _missing(kernel: KernelFacts, *macros: str) -> str | None:
    absent = [m for m in macros if m not in kernel.macros]
    return f"BTF of this kernel lacks {', '.join(absent)}" if absent else None


def _migrate_end(kernel: KernelFacts) -> int | str:
    """Index of ``reason`` in tracepoint mm_migrate_pages, or why it can't be used.

    7 arguments in 5.10, 8 from 6.8 on; ``mode`` and ``reason`` are always the last two
    (include/trace/events/migrate.h).
    """
    passed = kernel.tracepoints.get("mm_migrate_pages")
    if passed is None:
        return "this kernel has no tracepoint mm_migrate_pages"
    if len(passed) < 5 or not tells_reason(passed):
        types = ", ".join(p.type for p in passed)
        return f"tracepoint mm_migrate_pages passes ({types}), not (…, migrate_mode, reason)"
    return len(passed) - 1


def _both(kernel: KernelFacts, name: str, target: str, *args: str) -> tuple[Program, ...] | str:
    """A fentry and a kprobe program on a function, or why neither can be right.

    A function that BTF leaves out (its arguments were optimised) may still be probed, the
    kernel will tell; one whose leading parameters are others than expected must not be.
    """
    function = kernel.functions.get(target)
    programs: list[Program] = []
    if function is not None:
        if function.names[: len(args)] != args:
            return f"{target}({', '.join(function.names)}) is not ({', '.join(args)}, …)"
        programs.append(Program(f"{name}_fentry", "fentry", target, function.btf_id))
    if _missing(kernel, *(f"OFF_ARG{i}" for i in range(len(args)))) is None:
        programs.append(Program(f"{name}_kprobe", "kprobe", target))
    return tuple(programs) or f"{target} is not in BTF and this machine's registers are unknown"


def _misplaced(kernel: KernelFacts) -> tuple[Program, ...]:
    """Ways to see a page before NUMA balancing moves it; none when it can't be read."""
    if kernel.nodes_shift is None or _missing(kernel, "OFF_PAGE_FLAGS") is not None:
        return ()
    for target in ("migrate_misplaced_folio", "migrate_misplaced_page"):
        function = kernel.functions.get(target)
        if function is not None and "node" in function.names[1:3]:
            found = _both(kernel, "misplaced", target, *function.names)
            return found if isinstance(found, tuple) else ()
    return ()


def _numa_migrations(
    kernel: KernelFacts, end: int | str, hooks: tuple[Program, ...], caveats: _Caveats
) -> SignalPlan:
    start = kernel.tracepoints.get("mm_migrate_pages_start")
    problem = end if isinstance(end, str) else _missing(kernel, *_REASONS)
    if start is None:
        problem = problem or "this kernel has no tracepoint mm_migrate_pages_start"
    elif len(start) != 2 or not tells_reason(start):
        problem = problem or "tracepoint mm_migrate_pages_start passes not (migrate_mode, reason)"
    if problem is not None:
        return SignalPlan("numaMigrations", (), problem)
    pair = (Program("migrate_start", "rawTracepoint", "mm_migrate_pages_start"), _END)
    # Up to 5.10; their hint faults are counted, and memory.stat has no such field there.
    huge = [_HUGE] if "migrate_misplaced_transhuge_page" in kernel.functions else []
    untold = [caveats.migrations] if caveats.migrations else []
    plain = Attempt("rawTracepoint", pair, "; ".join([*huge, *untold]) or None)
    told = tuple(Attempt("rawTracepoint", (*pair, hook), *huge) for hook in hooks)
    return SignalPlan("numaMigrations", (*told, plain))


def _hint_faults(kernel: KernelFacts, hooks: tuple[Program, ...], caveats: _Caveats) -> SignalPlan:
    found = _both(kernel, "hint", "task_numa_fault", "last_cpupid", "mem_node", "pages", "flags")
    if isinstance(found, str):
        return SignalPlan("hintFaults", (), found)
    attempts: list[Attempt] = []
    for program in found:
        same = [hook for hook in hooks if hook.kind == program.kind]
        attempts += [Attempt(program.kind, (program, hook)) for hook in same]
    attempts += [Attempt(p.kind, (p,), caveats.faults) for p in found]
    return SignalPlan("hintFaults", tuple(attempts), _why_lower(found, "task_numa_fault"))


def _task_migrations(kernel: KernelFacts, way: tuple[str, ...]) -> SignalPlan:
    passed = kernel.tracepoints.get("sched_migrate_task")
    problem = _missing(kernel, "OFF_TASK_CPU", *way)
    if passed is None:
        problem = "this kernel has no tracepoint sched_migrate_task"
    elif [p.type for p in passed] != ["task_struct", "int"]:
        problem = "tracepoint sched_migrate_task passes not (task_struct *, int)"
    if problem is not None:
        return SignalPlan("taskMigrations", (), problem)
    program = Program("task_migrate", "rawTracepoint", "sched_migrate_task")
    return SignalPlan("taskMigrations", (Attempt("rawTracepoint", (program,)),))


def _pin_moves(kernel: KernelFacts, end: int | str, way: tuple[str, ...]) -> SignalPlan:
    problem = end if isinstance(end, str) else None
    problem = problem or _missing(kernel, *_REASONS, "OFF_TASK_FLAGS", "OFF_MM_OWNER", *way)
    if problem is not None:
        return SignalPlan("pinMoves", (), problem)
    found = _both(kernel, "cpuset_move", "do_migrate_pages", "mm")
    if isinstance(found, str):
        return SignalPlan("pinMoves", (), found)
    attempts = tuple(Attempt(p.kind, (p, _END)) for p in found)
    return SignalPlan("pinMoves", attempts, _why_lower(found, "do_migrate_pages"))


def _syscall_moves(kernel: KernelFacts, end: int | str) -> SignalPlan:
    problem = end if isinstance(end, str) else _missing(kernel, *_REASONS, "OFF_TASK_FLAGS")
    if problem is not None:
        return SignalPlan("syscallMoves", (), problem)
    return SignalPlan("syscallMoves", (Attempt("rawTracepoint", (_END,)),))


def _scanner_skips(kernel: KernelFacts) -> SignalPlan:
    passed = kernel.tracepoints.get("sched_skip_cpuset_numa")
    if passed is None:
        return SignalPlan("scannerSkips", (), _SCANS_ON)
    if not passed or passed[0].type != "task_struct":
        problem = "tracepoint sched_skip_cpuset_numa passes not (task_struct *, …)"
        return SignalPlan("scannerSkips", (), problem)
    program = Program("scan_skip", "rawTracepoint", "sched_skip_cpuset_numa")
    return SignalPlan("scannerSkips", (Attempt("rawTracepoint", (program,)),))


def _why_lower(found: tuple[Program, ...], target: str) -> str | None:
    return None if found[0].kind == "fentry" else f"{target} is not in BTF"
