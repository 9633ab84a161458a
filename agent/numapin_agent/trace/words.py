"""What numbers in a program's maps stand for, in the words of an answer. Pure.

Names of processes are their own: whatever is told of them goes through ``plain``.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from numapin_agent.trace import blame, records
from numapin_agent.trace.counted import Counted, Names
from numapin_agent.trace.facts import VECTORS
from numapin_agent.trace.question import Question
from numapin_agent.trace.records import Event, Hooked, Key
from numapin_agent.trace.systemcalls import DESCRIPTOR, WAITING, about

SOFTIRQS: Final = (
    *("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER"),
    "RCU",
)
"""By vector, include/linux/interrupt.h, as /proc/softirqs names them."""
_HOOKS: Final = ("PRE_ROUTING", "LOCAL_IN", "FORWARD", "LOCAL_OUT", "POST_ROUTING")
_ARP_HOOKS: Final = ("ARP_IN", "ARP_OUT", "ARP_FORWARD")
_NETDEV_HOOKS: Final = ("INGRESS", "EGRESS")
_FAMILIES: Final = {1: "inet", 2: "ipv4", 3: "arp", 5: "netdev", 7: "bridge", 10: "ipv6"}
_PROTOCOLS: Final = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
STAGES: Final = (
    "interrupt → NET_RX softirq",
    "driver → stack",
    "stack → TCP",
    "stack → read by the process",
    "stack → IP",
    "IP → TCP",
    "TCP → read by the process",
)
"""By number, see ``bpf/receive.c``."""
ORDER: Final = (0, 1, 4, 5, 2, 6, 3)
"""Of stages, as a packet goes through them; the last is all of them from the stack on."""
_ANY_INTERRUPT: Final = {"interrupt": "any"}
FAULTS: Final = ("page fault", "NUMA hint fault")
"""By number, see ``bpf/waits.c``."""
WAITED, RAN = "waited", "ran"
"""What threads did that were held up."""
HOOK_FUNCTIONS: Final = 8
"""Of each table of hooks the first, see ``bpf/netfilter.c``."""
_LONG_UNDER_WAY: Final = 100_000_000
"""Nanoseconds from which a call that has not returned is told of."""
_NAMED_CALLS: Final = 5
_NAMED_FILES: Final = 3
_RUNS: Final = {
    "ip_vs_": "IPVS",
    "nft_": "rules of nftables",
    "ipt_do_table": "rules of iptables",
    "iptable_": "rules of iptables",
    "ip6table_": "rules of iptables",
    "nf_nat_": "address translation",
    "ipv4_conntrack_": "connection tracking",
    "ipv6_conntrack_": "connection tracking",
    "nf_confirm": "connection tracking",
    "br_nf_": "bridged packets",
    "selinux_": "SELinux",
}
"""What a function of a hook belongs to, by the beginning of its name."""


def plain(text: str) -> str:
    """Text that a terminal and an XML parser only ever show: names are the pods' own."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def unnamed(files: Sequence[str], why: str) -> list[str]:
    """That functions of these files have no names."""
    if not files:
        return []
    some = ", ".join(plain(one) for one in files[:_NAMED_FILES])
    more = f" and {len(files) - _NAMED_FILES} more" if len(files) > _NAMED_FILES else ""
    return [f"functions of {some}{more}: unknown symbols, {why}"]


def unseen(runs: Mapping[str, int]) -> list[str]:
    """That calls were seen to begin and not to end.

    Args:
        runs: of each program, by its name.
    """
    found = []
    for name, begun in runs.items():
        ended = runs.get(f"{name.removesuffix('_kprobe')}_kretprobe", begun)
        if name.endswith("_kprobe") and ended < begun:
            found.append(
                f"of {begun - ended} of {begun} calls the return was not seen: they were under way "
                "at the end, or more were under way at once than the kernel follows (kretprobe's "
                "maxactive)"
            )
    return found


def _owner(name: str) -> str:
    return next((f"{name} ({of})" for start, of in _RUNS.items() if name.startswith(start)), name)


def hooks(hooked: Sequence[Hooked], names: Names) -> list[str]:
    """What each hook calls, a line each, in the order of calls."""
    by_hook: dict[int, dict[str, int]] = {}
    for one in hooked:
        places = by_hook.setdefault(one.hook, {})
        name = names.kernel_name(one.function)
        places[name] = min(one.place, places.get(name, one.place))
    lines = []
    for hook, places in sorted(by_hook.items()):
        called = hook_labels(hook)
        order = sorted(places, key=lambda name: (places[name], name))
        told = ", ".join(_owner(name) for name in order)
        if max(places.values()) >= HOOK_FUNCTIONS - 1:
            told += " and maybe more"
        lines.append(f"{called['hook']} of {called['family']} calls {told}")
    return lines


def hook_labels(identity: int) -> dict[str, str]:
    """Names of a netfilter hook from what ``bpf/netfilter.c`` packs."""
    hook, family = identity & 0xFF, identity >> 8 & 0xFF
    ethertype, protocol = _from_network(identity >> 16 & 0xFFFF), identity >> 32 & 0xFF
    names = {3: _ARP_HOOKS, 5: _NETDEV_HOOKS}.get(family, _HOOKS)
    told = _PROTOCOLS.get(protocol, str(protocol)) if protocol else f"ethertype {ethertype:#06x}"
    return {
        "hook": names[hook] if hook < len(names) else str(hook),
        "family": _FAMILIES.get(family, str(family)),
        "protocol": told,
    }


def _from_network(value: int) -> int:
    return int.from_bytes(value.to_bytes(2, sys.byteorder), "big")


def softirq(vector: int) -> str:
    """A softirq's name."""
    return SOFTIRQS[vector] if vector < len(SOFTIRQS) else str(vector)


def labels(  # noqa: PLR0911 — one for each kind
    key: Key, names: Names, counted: Counted, question: Question
) -> dict[str, str]:
    """What a histogram is of, in words."""
    cpu, kind = str(key.cpu), key.kind
    if kind in {records.TIMER, records.HRTIMER}:
        sort = "timer" if kind == records.TIMER else "hrtimer"
        return {"function": names.kernel_name(key.id), "timer": sort}
    if kind == records.SOFTIRQ:
        return {"vector": softirq(key.id), "cpu": cpu}
    if kind == records.HARDIRQ:
        device = names.interrupts().get(key.id, "")
        return {"interrupt": f"{key.id} {device}".strip(), "cpu": cpu}
    if kind == records.VECTOR:
        return {"interrupt": VECTORS[key.id][1], "cpu": cpu}
    if kind == records.STOLEN:
        stolen = {"vector": softirq(key.id)} if question.probe == "softirqs" else _ANY_INTERRUPT
        return {**stolen, "cpu": cpu, "threads": WAITED}
    if kind == records.SYSCALL:
        return {"syscall": counted.calls.get(key.id, str(key.id))}
    if kind in {records.QUEUED, records.OFF}:
        return {"process": plain(names.process(key.id))}
    if kind == records.NETFILTER:
        return hook_labels(key.id)
    if kind == records.RECEIVE:
        return {"stage": STAGES[key.id]}
    if kind == records.FAULT:
        return {"wait": FAULTS[key.id]}
    if kind == records.MIGRATION:
        source = key.id >> 32
        among = {"wait": "NUMA migration"} if question.probe == "memory-wait" else {}
        return among | {
            "from": names.numa_node(source - 1) if source else "unknown",
            "to": names.numa_node(key.id & 0xFFFFFFFF),
        }
    return {"function": question.function or ""}


def about_call(event: Event, counted: Counted) -> dict[str, str]:
    """A slow system call and what it was about."""
    name = counted.calls.get(event.id, str(event.id))
    told = {"syscall": name}
    if event.text:
        told["on"] = plain(event.text)
    elif about(name) & 15 == DESCRIPTOR:
        told["on"] = f"descriptor {event.extra}"
    return told


def under_way(counted: Counted, names: Names) -> list[str]:
    """Of calls that had not returned in the end, which nothing else tells of."""
    end = counted.began + round(counted.seconds * 1e9)
    found: dict[str, list[int]] = {}
    for call in counted.under_way:
        name = counted.calls.get(call.number, str(call.number))
        # one that was killed within a call never returns from it
        if name not in WAITING and end - call.at >= _LONG_UNDER_WAY and names.alive(call.thread):
            found.setdefault(name, []).append(end - call.at)
    if not found:
        return []
    longest = sorted(found.items(), key=lambda one: -max(one[1]))
    told = ", ".join(
        f"{name} ({len(lengths)}, for {max(lengths) / 1e9:.1f} s)"
        for name, lengths in longest[:_NAMED_CALLS]
    )
    more = f" and {len(found) - _NAMED_CALLS} others" if len(found) > _NAMED_CALLS else ""
    return [f"calls that had not returned at the end, the longest first: {told}{more}"]


def culprit_name(found: blame.Culprit, names: Names) -> str:  # noqa: PLR0911 — one for each
    """Who made it slow, in words."""
    if found.kind is None:
        return "unknown: it ran itself, or waited in short pieces"
    if found.kind in {records.TIMER, records.HRTIMER}:
        return f"timer callback {names.kernel_name(found.id)}"
    if found.kind == records.NETFILTER:
        told = hook_labels(found.id)
        return f"netfilter {told['hook']} of {told['family']}"
    if found.kind == records.SOFTIRQ:
        return f"softirq {softirq(found.id)}"
    if found.kind == records.HARDIRQ:
        return f"interrupt {found.id} {names.interrupts().get(found.id, '')}".strip()
    if found.kind == records.VECTOR:
        return f"interrupt {VECTORS[found.id][1]}"
    if found.kind == records.OFF:
        return "none in the kernel: it slept until data, a lock or a device came"
    return "waited for a CPU that was running other threads"
