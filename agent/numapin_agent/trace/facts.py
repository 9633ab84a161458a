"""What the running kernel offers the probes, read from its BTF, never from its version. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from numapin_agent.bpf.btf import Btf, Parameter
from numapin_agent.bpf.programs import argument_offsets, nodes_shift, offsets
from numapin_agent.trace.question import Question

OFFSETS: Final = {
    "OFF_TASK_CGROUPS": (("task_struct", "cgroups"),),
    "OFF_TASK_PID": (("task_struct", "pid"),),
    "OFF_TASK_TGID": (("task_struct", "tgid"),),
    "OFF_TASK_CPU": (("task_struct", "thread_info.cpu"), ("task_struct", "cpu")),
    "OFF_TASK_STATE": (("task_struct", "__state"), ("task_struct", "state")),
    "OFF_CSS_SET_DFL": (("css_set", "dfl_cgrp"),),
    "OFF_CGROUP_KN": (("cgroup", "kn"),),
    "OFF_CGROUP_LEVEL": (("cgroup", "level"),),
    "OFF_CGROUP_ANCESTORS": (("cgroup", "ancestors"),),
    "OFF_CGROUP_ANCESTOR_IDS": (("cgroup", "ancestor_ids"),),
    "OFF_KN_ID": (("kernfs_node", "id"),),
    "OFF_TIMER_FUNCTION": (("timer_list", "function"),),
    "OFF_HRTIMER_FUNCTION": (("hrtimer", "function"), ("hrtimer", "__function")),
    "OFF_SKB_HEAD": (("sk_buff", "head"),),
    "OFF_SKB_NETWORK": (("sk_buff", "network_header"),),
    "OFF_SKB_PROTOCOL": (("sk_buff", "protocol"),),
    "OFF_PAGE_FLAGS": (("folio", "flags"), ("page", "flags")),
    "OFF_HOOKS": (("nf_hook_entries", "hooks"),),
    "OFF_HOOKS_COUNT": (("nf_hook_entries", "num_hook_entries"),),
    "OFF_NF_HOOK": (("nf_hook_state", "hook"),),
    "OFF_NF_FAMILY": (("nf_hook_state", "pf"),),
}
"""Per macro where to look, first found wins."""

TRACEPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "timer_expire_entry": ("timer_list",),
    "timer_expire_exit": ("timer_list",),
    "hrtimer_expire_entry": ("hrtimer",),
    "hrtimer_expire_exit": ("hrtimer",),
    "softirq_entry": ("unsigned int",),
    "softirq_exit": ("unsigned int",),
    "softirq_raise": ("unsigned int",),
    "irq_handler_entry": ("int", "irqaction"),
    "irq_handler_exit": ("int", "irqaction"),
    "sched_wakeup": ("task_struct",),
    "sched_wakeup_new": ("task_struct",),
    "sched_switch": ("_Bool", "task_struct", "task_struct"),
    "sys_enter": ("pt_regs", "long int"),
    "sys_exit": ("pt_regs", "long int"),
    "mm_migrate_pages_start": ("migrate_mode",),
    "mm_migrate_pages": ("long unsigned int",),
    "page_fault_user": ("long unsigned int",),
    "page_fault_kernel": ("long unsigned int",),
    "netif_receive_skb": ("sk_buff",),
    "napi_gro_receive_entry": ("sk_buff",),
    "netif_rx_entry": ("sk_buff",),
    "skb_copy_datagram_iovec": ("sk_buff", "int"),
}
"""What each tracepoint must pass, from its first parameter on."""

VECTORS: Final = (
    ("local_timer", "local timer"),
    ("reschedule", "reschedule"),
    ("call_function", "function call"),
    ("call_function_single", "single function call"),
    ("irq_work", "irq work"),
)
"""x86 interrupts without a device (arch/x86/include/asm/trace/irq_vectors.h), and their names."""

MISPLACED: Final = ("migrate_misplaced_folio", "migrate_misplaced_page")
"""Take a page that NUMA balancing is about to move; the latter up to 6.6."""

FUNCTIONS: Final = (
    *("nf_hook_slow", "tcp_v4_rcv", "ip_local_deliver", "handle_mm_fault", "task_numa_fault"),
    *MISPLACED,
)
"""Those that probes hook, besides the one that is asked about."""

NAMES: Final = (
    *{struct for places in OFFSETS.values() for struct, _ in places},
    "pt_regs",
    "migrate_reason",
    "hstate",
    "kmem_cache",
    *FUNCTIONS,
    *(f"btf_trace_{name}" for name in TRACEPOINTS),
    *(f"btf_trace_{name}_{end}" for name, _ in VECTORS for end in ("entry", "exit")),
)
"""What ``Btf`` must keep for ``facts``; a question about a function needs that one, too."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the running kernel offers.

    Attributes:
        macros: offsets that were found.
        tracepoints: what each passes.
        functions: BTF id and parameters by name.
        numa_reason: enumerator MR_NUMA_MISPLACED, None without NUMA balancing.
        nodes_shift: log2 of the most NUMA nodes the kernel was built for.
    """

    macros: Mapping[str, int] = field(default_factory=dict)
    tracepoints: Mapping[str, tuple[Parameter, ...]] = field(default_factory=dict)
    functions: Mapping[str, tuple[int, tuple[Parameter, ...]]] = field(default_factory=dict)
    numa_reason: int | None = None
    nodes_shift: int | None = None


def names(question: Question) -> tuple[str, ...]:
    """Which types must be kept for ``facts``."""
    return (*NAMES, question.function) if question.function else NAMES


def facts(btf: Btf, question: Question, machine: str) -> Facts:
    """Collect what matters from BTF.

    Args:
        btf: parsed with ``names``.
        question: what is asked.
        machine: as ``uname -m`` says.
    """
    macros = offsets(btf, OFFSETS)
    for i, at in argument_offsets(btf, machine, 3).items():
        macros |= {f"OFF_ARG{i}": at, f"OFF_SYSARG{i}": at}
    tracepoints = [*TRACEPOINTS, *(f"{v}_{end}" for v, _ in VECTORS for end in ("entry", "exit"))]
    functions = {*FUNCTIONS, *filter(None, (question.function,))}
    return Facts(
        macros,
        {n: p for n in tracepoints if (p := btf.tracepoint(n)) is not None},
        {n: f for n in functions if (f := btf.function(n)) is not None},
        btf.enumerator("migrate_reason", "MR_NUMA_MISPLACED"),
        nodes_shift(btf),
    )
