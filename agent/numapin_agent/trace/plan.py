"""Decides from a kernel's types which programs a question needs, or why it can't be answered.

Pure, like ``counters.plan`` and for the same reason: what a kernel offers is read from its
BTF, never from its version. Alternatives are tried in order: fentry, kprobe, nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from numapin_agent.bpf.migration import tells_reason
from numapin_agent.bpf.programs import Program
from numapin_agent.trace.facts import MISPLACED, OFFSETS, TRACEPOINTS, VECTORS, Facts
from numapin_agent.trace.histogram import VALUE_SIZE
from numapin_agent.trace.question import Question

_UNTOLD: Final = "from which NUMA node pages come"
_UNTOLD_WAITS: Final = "what is taken from threads that wait for a CPU"
_UNTOLD_FAULTS: Final = "the time of page faults"
_UNTOLD_HINTS: Final = "which page faults are NUMA hint faults"
_UNTOLD_HOOKS: Final = "what netfilter's hooks held up"
STEALERS: Final = {"softirqs": 10, "hardirqs": 1}
"""How many are told apart: NR_SOFTIRQS; interrupts are too many, and are one."""
_TOLD: Final[Mapping[tuple[str, bool], str]] = {
    ("netfilter", True): "counted is what ran on top of its own threads: most of what they send, "
    "and whatever else their CPU took up meanwhile, packets of others, too; what came for them "
    "on top of others, or on an idle CPU, is not counted",
    (
        "net-rx",
        True,
    ): "told are packets that its own threads read, as whose one is isn't known "
    "before; the stages to IP and to TCP are those of IPv4 alone",
    ("net-rx", False): "the stages to IP and to TCP are those of IPv4 alone",
}
"""What an answer is not about, by probe and whether it is of one cgroup, on any kernel."""
_CPU_KEYS: Final = 32
"""Histograms told by CPU, for each: softirqs twice (run and stolen), or interrupts."""
_KEYS: Final = 1024
"""More of them: interrupts go to one CPU or to few, and there may be many on few CPUs."""
_HASH_BYTES: Final = 64
"""Of an entry of a hash beside its value: the key, and what links it (struct htab_elem)."""
MOMENTS: Final = 8192
_STACK_BYTES: Final = 1280
"""Of one user stack and a quarter of a kernel stack, with what the kernel adds to each."""


@dataclass(frozen=True, slots=True)
class Part:
    """Programs that belong together, in alternatives, best first.

    Attributes:
        attempts: each a set of programs that must all attach.
        optional: what the answer lacks without it; None when there is no answer without.
    """

    attempts: tuple[tuple[Program, ...], ...]
    optional: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer a question.

    Attributes:
        sources: C files, in order.
        macros: for the compiler.
        parts: what to attach.
        notes: what the answer can't tell on this kernel.
    """

    sources: tuple[str, ...]
    macros: Mapping[str, int]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    def programs(self) -> tuple[Program, ...]:
        """All that may be attached, each once."""
        found = (p for part in self.parts for attempt in part.attempts for p in attempt)
        return tuple(dict.fromkeys(found))


class RefusedError(Exception):
    """This kernel can't answer; the text says why."""


def plan(  # noqa: PLR0913 -- all but two by keyword
    question: Question, kernel: Facts, *, scoped: bool, cpus: int, map_bytes: int, numa_nodes: int
) -> Plan:
    """What to compile and attach.

    Args:
        question: what is asked.
        kernel: what it offers.
        scoped: whether only one cgroup's events count.
        cpus: number of possible CPUs.
        map_bytes: most memory for histograms and stacks; all else takes a few MiB.
        numa_nodes: how many have memory: of two, where a page goes tells where it came from.

    Raises:
        RefusedError: this kernel lacks something that the question needs.
    """
    if scoped:
        _need_scope(kernel)
    made = _PLANS[question.probe](kernel, question)
    if "moves" in made.sources and numa_nodes > 2:
        made = _with_source(made, kernel)
    if scoped and question.probe in STEALERS:
        made = _with_waits(made, kernel, STEALERS[question.probe])
    told = _TOLD.get((question.probe, scoped))
    sizes = {
        "MAX_KEYS": max(64, min(4096, map_bytes // 2 // (VALUE_SIZE * max(1, cpus)))),
        # Of the stacks' half: no probe has both.
        "MAX_CPU_KEYS": min(_KEYS + _CPU_KEYS * cpus, map_bytes // 2 // (VALUE_SIZE + _HASH_BYTES)),
        "MAX_MOMENTS": MOMENTS,
        "MAX_STACKS": 1 << max(8, min(14, (map_bytes // 2 // _STACK_BYTES).bit_length() - 1)),
        "MAX_PATHS": 16384,
        "MAX_CPUS": cpus,
    }
    places = {f"N_{program.name}": i for i, program in enumerate(made.programs())}
    macros = {**kernel.macros, **made.macros, **sizes, **places}
    notes = (*made.notes, told) if told else made.notes
    return Plan(("common", *made.sources), macros, made.parts, notes)


def _need(kernel: Facts, *macros: str) -> None:
    absent = [_place(macro) for macro in macros if macro not in kernel.macros]
    if absent:
        raise RefusedError(
            f"this kernel's types (BTF) lack {', '.join(absent)}: it is too old for this probe, or "
            "newer than this numapin"
        )


def _place(macro: str) -> str:
    """What the offset of a macro is of, as kernel developers call it."""
    places = OFFSETS.get(macro)
    if places is None:
        return "pt_regs of this machine"
    return " or ".join(".".join(place) for place in places)


def _need_scope(kernel: Facts) -> None:
    _need(kernel, "OFF_TASK_CGROUPS", "OFF_CSS_SET_DFL", "OFF_CGROUP_LEVEL")
    if "OFF_CGROUP_ANCESTORS" in kernel.macros:
        _need(kernel, "OFF_CGROUP_KN", "OFF_KN_ID")
    else:
        _need(kernel, "OFF_CGROUP_ANCESTOR_IDS")


def _raw(kernel: Facts, name: str, target: str) -> Program:
    passed = kernel.tracepoints.get(target)
    if passed is None:
        raise RefusedError(f"this kernel has no tracepoint {target}")
    wanted = TRACEPOINTS.get(target, ("int",))
    types = tuple(p.type for p in passed)
    if types[: len(wanted)] != wanted:
        raise RefusedError(f"tracepoint {target} passes ({', '.join(types)}), not {wanted}")
    return Program(name, "rawTracepoint", target)


def _raws(kernel: Facts, **targets: str) -> tuple[Program, ...]:
    return tuple(_raw(kernel, name, target) for name, target in targets.items())


def _entry(kernel: Facts, name: str, target: str) -> tuple[tuple[Program, ...], ...]:
    """Ways to be told that a kernel function is called."""
    function = kernel.functions.get(target)
    best = ((Program(f"{name}_fentry", "fentry", target, function[0]),),) if function else ()
    return (*best, (Program(f"{name}_kprobe", "kprobe", target),))


def _around(kernel: Facts, name: str, target: str) -> Part:
    """Entry and return of a kernel function."""
    function = kernel.functions.get(target)
    attempts: list[tuple[Program, ...]] = []
    if function is not None:
        begin = Program(f"{name}_fentry", "fentry", target, function[0])
        attempts.append((begin, Program(f"{name}_fexit", "fexit", target, function[0])))
    begin = Program(f"{name}_kprobe", "kprobe", target)
    attempts.append((begin, Program(f"{name}_kretprobe", "kretprobe", target)))
    return Part(tuple(attempts))


def _timers(kernel: Facts, _: Question) -> Plan:
    _need(kernel, "OFF_TIMER_FUNCTION", "OFF_HRTIMER_FUNCTION")
    timers = _raws(kernel, timer_entry="timer_expire_entry", timer_exit="timer_expire_exit")
    high = _raws(kernel, hrtimer_entry="hrtimer_expire_entry", hrtimer_exit="hrtimer_expire_exit")
    return Plan(("timers",), {}, (Part((timers,)), Part((high,))))


def _softirqs(kernel: Facts, _: Question) -> Plan:
    programs = _raws(kernel, softirq_begin="softirq_entry", softirq_end="softirq_exit")
    return Plan(("stolen", "softirqs"), {}, (Part((programs,)),))


def _hardirqs(kernel: Facts, _: Question) -> Plan:
    parts = [Part((_raws(kernel, irq_entry="irq_handler_entry", irq_exit="irq_handler_exit"),))]
    notes = []
    for i, (vector, called) in enumerate(VECTORS):
        try:
            ends = {f"vector_{i}_{end}": f"{vector}_{end}" for end in ("entry", "exit")}
            parts.append(Part((_raws(kernel, **ends),), f"interrupts of kind {called}"))
        except RefusedError as refused:
            notes.append(f"interrupts of kind {called} are not seen: {refused}")
    return Plan(("stolen", "hardirqs"), {}, tuple(parts), tuple(notes))


def _with_waits(made: Plan, kernel: Facts, stealers: int) -> Plan:
    """The same with what is taken from threads that wait, where that can be had."""
    try:
        _need(kernel, "OFF_TASK_PID", "OFF_TASK_STATE", "OFF_TASK_CPU")
        programs = _raws(
            kernel,
            stolen_wakeup="sched_wakeup",
            stolen_new="sched_wakeup_new",
            stolen_switch="sched_switch",
        )
    except RefusedError as refused:
        return replace(made, notes=(*made.notes, f"not told is {_UNTOLD_WAITS}: {refused}"))
    part = Part((programs,), _UNTOLD_WAITS)
    sizes = {"STEALERS": stealers, "STEALERS_MASK": (1 << (stealers - 1).bit_length()) - 1}
    return replace(made, macros={**made.macros, **sizes}, parts=(*made.parts, part))


def _function(kernel: Facts, question: Question) -> Plan:
    macros = {"WITH_STACKS": 1} if question.stacks else {}
    return Plan(("function",), macros, (_around(kernel, "function", question.function or ""),))


def _run_queue(kernel: Facts, _: Question) -> Plan:
    _need(kernel, "OFF_TASK_PID", "OFF_TASK_TGID", "OFF_TASK_STATE")
    programs = _raws(
        kernel, wakeup="sched_wakeup", wakeup_new="sched_wakeup_new", queue_switch="sched_switch"
    )
    return Plan(("sched",), {}, (Part((programs,)),))


def _off_cpu(kernel: Facts, _: Question) -> Plan:
    _need(kernel, "OFF_TASK_PID", "OFF_TASK_TGID", "OFF_TASK_STATE")
    programs = _raws(kernel, off_switch="sched_switch")
    return Plan(("sched",), {"WITH_STACKS": 1}, (Part((programs,)),))


def _syscalls(kernel: Facts, _: Question) -> Plan:
    _need(kernel, "OFF_SYSARG0", "OFF_SYSARG1")
    programs = _raws(kernel, call_enter="sys_enter", call_exit="sys_exit")
    return Plan(("syscalls",), {}, (Part((programs,)),))


def _moves(kernel: Facts, _: Question) -> Plan:
    if kernel.numa_reason is None:
        raise RefusedError("this kernel has no NUMA balancing (no MR_NUMA_MISPLACED in its BTF)")
    programs = _raws(kernel, move_begin="mm_migrate_pages_start", move_end="mm_migrate_pages")
    passed = kernel.tracepoints["mm_migrate_pages"]
    for program in programs:
        if not tells_reason(kernel.tracepoints[program.target]):
            raise RefusedError(f"tracepoint {program.target} doesn't end in (migrate_mode, reason)")
    macros = {
        "REASON_NUMA": kernel.numa_reason,
        "MOVE_REASON_ARG": len(passed) - 1,
        "WITH_STACKS": 1,
    }
    return Plan(("moves",), macros, (Part((programs,)),))


def _with_source(made: Plan, kernel: Facts) -> Plan:
    """The same with a look at each page before it is moved, where that can be had."""
    for target in MISPLACED:
        if (function := kernel.functions.get(target)) is None or kernel.nodes_shift is None:
            continue
        names = [p.name for p in function[1]]
        at = names.index("node") if "node" in names[1:3] else None
        if at is None or "OFF_PAGE_FLAGS" not in kernel.macros:
            continue
        macros = {"NODES_PGSHIFT": 64 - kernel.nodes_shift, "MISPLACED_NODE_ARG": at}
        attempts = [(Program("misplaced_fentry", "fentry", target, function[0]),)]
        if "OFF_ARG0" in kernel.macros and f"OFF_ARG{at}" in kernel.macros:
            macros["OFF_MISPLACED_NODE"] = kernel.macros[f"OFF_ARG{at}"]
            attempts.append((Program("misplaced_kprobe", "kprobe", target),))
        part = Part(tuple(attempts), _UNTOLD)
        return replace(made, macros={**made.macros, **macros}, parts=(*made.parts, part))
    return replace(made, notes=(*made.notes, f"this kernel does not tell {_UNTOLD}"))


def _faults(kernel: Facts, _: Question) -> Plan:
    event = (Program("fault_event", "perfEvent", "page-faults"),)
    try:
        raw = _raws(kernel, fault_user="page_fault_user", fault_kernel="page_fault_kernel")
    except RefusedError:
        return Plan(("faults",), {"WITH_STACKS": 1}, (Part((event,)),))
    # The event is refused without SYS_ADMIN where kernel.perf_event_paranoid is above 2.
    return Plan(("faults",), {"WITH_STACKS": 1}, (Part((event, raw)),))


def _netfilter(kernel: Facts, _: Question) -> Plan:
    _need(
        kernel,
        *("OFF_SKB_HEAD", "OFF_SKB_NETWORK", "OFF_SKB_PROTOCOL", "OFF_NF_HOOK", "OFF_NF_FAMILY"),
    )
    found = kernel.functions.get("nf_hook_slow")
    if found is not None and [p.name for p in found[1]][:3] != ["skb", "state", "e"]:
        told = ", ".join(p.name for p in found[1])
        raise RefusedError(f"nf_hook_slow({told}) is not (skb, state, e, …)")
    around = _around(kernel, "hook", "nf_hook_slow")
    known = all(f"OFF_ARG{i}" in kernel.macros for i in range(3))
    attempts = tuple(a for a in around.attempts if known or a[0].kind != "kprobe")
    return Plan(("netfilter",), {}, (Part(attempts),))


def _receive(kernel: Facts, _: Question) -> Plan:
    path = _raws(kernel, rx_stack="netif_receive_skb", rx_read="skb_copy_datagram_iovec")
    soft = _raws(kernel, rx_raise="softirq_raise", rx_run="softirq_entry")
    parts = [Part((path,)), Part((soft,), "the time from interrupt to NET_RX")]
    notes = ["short datagrams of UDP are not seen when they are read: the kernel tells of none"]
    for name, target in (("rx_gro", "napi_gro_receive_entry"), ("rx_backlog", "netif_rx_entry")):
        try:
            parts.append(Part(((_raw(kernel, name, target),),), f"packets that pass {target}"))
        except RefusedError as refused:
            notes.append(f"driver to stack is not timed everywhere: {refused}")
    for name, target, lacks in (
        ("rx_ip", "ip_local_deliver", "the stage IP, which is part of the one to TCP then"),
        ("rx_tcp", "tcp_v4_rcv", "the stage to TCP"),
    ):
        known = "OFF_ARG0" in kernel.macros
        found = [a for a in _entry(kernel, name, target) if known or a[0].kind != "kprobe"]
        parts.append(Part(tuple(found), lacks))
    return Plan(("receive",), {}, tuple(parts), tuple(notes))


def _memory(kernel: Facts, question: Question) -> Plan:
    faults = replace(_around(kernel, "fault", "handle_mm_fault"), optional=_UNTOLD_FAULTS)
    try:
        moves = _moves(kernel, question)
    except RefusedError as refused:
        lacks = f"time of NUMA migrations is not known: {refused}"
        return Plan(("waits",), {}, (faults,), (lacks,))
    hints = Part(_entry(kernel, "hint", "task_numa_fault"), _UNTOLD_HINTS)
    return replace(moves, sources=(*moves.sources, "waits"), parts=(*moves.parts, faults, hints))


def _spike(kernel: Facts, question: Question) -> Plan:
    plans = [
        one(kernel, question) for one in (_timers, _softirqs, _hardirqs, _syscalls, _run_queue)
    ]
    try:
        hooks = _netfilter(kernel, question)
    except RefusedError as refused:
        plans.append(Plan((), {}, (), (f"not told is {_UNTOLD_HOOKS}: {refused}",)))
    else:
        optional = tuple(replace(part, optional=_UNTOLD_HOOKS) for part in hooks.parts)
        plans.append(replace(hooks, parts=optional))
    return Plan(
        tuple(dict.fromkeys(source for one in plans for source in one.sources)),
        {"SPIKE": 1},
        tuple(part for one in plans for part in one.parts),
        tuple(note for one in plans for note in one.notes),
    )


_PLANS: Final = {
    "timers": _timers,
    "softirqs": _softirqs,
    "hardirqs": _hardirqs,
    "function": _function,
    "run-queue": _run_queue,
    "off-cpu": _off_cpu,
    "syscalls": _syscalls,
    "numa-moves": _moves,
    "page-faults": _faults,
    "netfilter": _netfilter,
    "net-rx": _receive,
    "memory-wait": _memory,
    "spike": _spike,
}
