"""Makes a probe's answer of what its programs counted and of the machine's names.

Pure but for the names, which come from whoever implements ``Names``. Decides what may be
said: about a pod nothing is told of processes that are not the pod's.
"""

import errno
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from numapin_agent.trace import causes, overlap, records
from numapin_agent.trace.facts import VECTORS
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.kept import SLOWEST, LeftOut
from numapin_agent.trace.question import Question
from numapin_agent.trace.records import Event, Hooked, Key, Path, Weight
from numapin_agent.trace.result import (
    NANOSECONDS,
    Cause,
    Moment,
    Result,
    Row,
    Stack,
    few_rows,
    few_stacks,
)
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
_STAGES: Final = (
    "interrupt → NET_RX softirq",
    "driver → stack",
    "stack → TCP",
    "stack → read by the process",
    "stack → IP",
    "IP → TCP",
)
"""By number, see ``bpf/receive.c``."""
_ORDER: Final = (0, 1, 4, 5, 2, 3)
"""Of stages, as a packet goes through them."""
_ANY_INTERRUPT: Final = {"interrupt": "any"}
FAULTS: Final = ("page fault", "NUMA hint fault")
"""By number, see ``bpf/waits.c``."""
WAITED, RAN = "waited", "ran"
"""What threads did that were held up."""
_THREADS: Final = (
    f"threads {RAN}: on top of them; {WAITED}: while they waited for that CPU, one count a wait"
)
_WEIGHTS: Final = {"page-faults": "faults", "function": "calls"}
"""What call paths are weighed in where that isn't time."""
KEPT_ROWS: Final = 500
KEPT_STACKS: Final = 5000
_NAMED_FILES: Final = 3
NOT_KEPT: Final = "[stack not kept]"
_COLLISION: Final = -errno.EEXIST
"""Another stack has this one's place (bpf_get_stackid)."""
_OURS: Final = re.compile(
    r"bpf_trace_run\d+$|bpf_prog_\w+( \[bpf\])?$|bpf_trampoline_|perf_trace_|__traceiter_"
)
"""Innermost frames that are the probe's own."""


def plain(text: str) -> str:
    """Text that a terminal and an XML parser only ever show: names are the pods' own."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def unnamed(files: Sequence[str]) -> list[str]:
    """That functions of these files have no names, as there are too many of them."""
    if not files:
        return []
    some = ", ".join(plain(one) for one in files[:_NAMED_FILES])
    more = f" and {len(files) - _NAMED_FILES} more" if len(files) > _NAMED_FILES else ""
    return [f"functions of {some}{more}: unknown symbols, too large"]


class Names(Protocol):
    """Names of the machine; ``machine.Machine`` is one such."""

    def process(self, tgid: int) -> str:
        """A process' name."""

    def descriptor(self, tgid: int, fd: int) -> str:
        """What a descriptor stands for."""

    def interrupts(self) -> Mapping[int, str]:
        """Devices by interrupt number."""

    def numa_node(self, node: int) -> str:
        """A NUMA node and its socket."""

    def kernel_name(self, address: int) -> str:
        """A kernel function."""

    def user_name(self, tgid: int, address: int) -> str:
        """A function of a process."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a trace left behind.

    Attributes:
        began: CLOCK_MONOTONIC nanoseconds.
        seconds: how long it ran.
        histograms: by what they are of.
        events: single long ones.
        left_out: of those.
        paths: weights of call paths.
        user: addresses of user stacks by number.
        kernel: the same of kernel stacks.
        calls: system calls by number.
        hooked: what netfilter's hooks call.
    """

    began: int = 0
    seconds: float = 0.0
    histograms: Mapping[Key, Histogram] = field(default_factory=dict)
    events: Sequence[Event] = ()
    left_out: LeftOut = field(default_factory=LeftOut)
    paths: Mapping[Path, Weight] = field(default_factory=dict)
    user: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    kernel: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    calls: Mapping[int, str] = field(default_factory=dict)
    hooked: Sequence[Hooked] = ()


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
        return {"stage": _STAGES[key.id]}
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


def rows(counted: Counted, names: Names, question: Question) -> list[Row]:
    """One for each different label, what takes most time first."""
    joined: dict[tuple[tuple[str, str], ...], Histogram] = {}
    waits = any(key.kind == records.STOLEN for key in counted.histograms)
    for key, histogram in counted.histograms.items():
        told = labels(key, names, counted, question)
        if waits and key.kind != records.STOLEN:
            told["threads"] = RAN
        found = tuple(told.items())
        joined[found] = joined.get(found, Histogram()) + histogram
    made = [Row(labels=dict(found), histogram=each) for found, each in joined.items()]
    if question.probe == "net-rx":
        order = [_STAGES[i] for i in _ORDER]
        return sorted(made, key=lambda row: order.index(row.labels["stage"]))
    if question.probe == "timers":
        made.sort(key=lambda row: -row.histogram.maximum)
    elif question.probe == "syscalls":
        waiting = {True: 1, False: 0}
        made.sort(key=lambda row: (waiting[row.labels["syscall"] in WAITING], -row.histogram.total))
    else:
        made.sort(key=lambda row: -row.histogram.total)
    return few_rows(made, KEPT_ROWS)


def _frames(path: Path, counted: Counted, names: Names) -> list[str]:
    frames = [] if path.kind == records.FUNCTION else [plain(names.process(path.tgid))]
    user = counted.user.get(path.user, ())
    frames += [plain(names.user_name(path.tgid, address)) for address in reversed(user)]
    calls = [names.kernel_name(address) for address in counted.kernel.get(path.kernel, ())]
    while calls and _OURS.match(calls[0]):
        del calls[0]
    frames += [f"{name}_[k]" for name in reversed(calls)]
    return [*frames, NOT_KEPT] if _COLLISION in {path.user, path.kernel} else frames


def stacks(counted: Counted, names: Names, *, by_time: bool) -> list[Stack]:
    """Call paths with their weights, the heaviest first; the lightest in one if there are many."""
    folded: dict[tuple[str, ...], int] = {}
    for path, weight in counted.paths.items():
        # a function is on many paths, and is to be in memory once
        frames = tuple(map(sys.intern, _frames(path, counted, names)))
        gain = weight.nanoseconds if by_time else weight.count
        folded[frames] = folded.get(frames, 0) + gain
    order = sorted(folded.items(), key=lambda one: -one[1])
    made = [Stack(frames=list(frames), weight=weight) for frames, weight in order if weight]
    return few_stacks(made, KEPT_STACKS)


def about_call(event: Event, counted: Counted) -> dict[str, str]:
    """A slow system call and what it was about."""
    name = counted.calls.get(event.id, str(event.id))
    told = {"syscall": name}
    if event.text:
        told["on"] = plain(event.text)
    elif about(name) & 15 == DESCRIPTOR:
        told["on"] = f"descriptor {event.extra}"
    return told


def moments(
    counted: Counted, names: Names, question: Question, events: Iterable[Event]
) -> list[Moment]:
    """Single long events, the longest first."""
    longest = sorted(events, key=lambda one: -one.length)
    made = []
    for event in longest[:SLOWEST]:
        told = {"cpu": str(event.cpu)}
        if event.kind == records.SYSCALL:
            told |= {"process": plain(names.process(event.tgid)), **about_call(event, counted)}
        else:
            key = Key(event.id, event.kind, event.cpu)
            told |= labels(key, names, counted, question)
        made.append(_moment(event, counted, told))
    return made


def _moment(event: Event, counted: Counted, told: Mapping[str, str]) -> Moment:
    return Moment(
        # what was under way when the programs were attached begins with the trace
        at_seconds=max(0.0, round((event.start - counted.began) / 1e9, 6)),
        nanoseconds=event.length,
        labels=dict(told),
    )


def culprit_name(found: overlap.Culprit, names: Names) -> str:  # noqa: PLR0911 — one for each
    """Who made it slow, in words."""
    if found.kind is None:
        return "unknown: it ran itself, or waited in short pieces"
    if found.kind in {records.TIMER, records.HRTIMER}:
        return f"timer callback {names.kernel_name(found.id)}"
    if found.kind == records.SOFTIRQ:
        return f"softirq {softirq(found.id)}"
    if found.kind == records.HARDIRQ:
        return f"interrupt {found.id} {names.interrupts().get(found.id, '')}".strip()
    if found.kind == records.VECTOR:
        return f"interrupt {VECTORS[found.id][1]}"
    if found.kind == records.OFF:
        return "none in the kernel: it slept until data, a lock or a device came"
    return "waited for a CPU that was running other threads"


def _spike(counted: Counted, names: Names, question: Question) -> dict[str, Any]:
    found = overlap.culprits(counted.events)
    # a call that waited for data, a lock or a disk is no victim of the kernel: those come last
    found.sort(key=lambda one: (one[1].kind in {None, records.OFF}, -one[0].length))
    told: list[Moment] = []
    blamed: dict[str, list[int]] = {}
    for event, culprit in found:
        name = culprit_name(culprit, names)
        blamed.setdefault(name, []).append(event.length)
        words = {
            "process": plain(names.process(event.tgid)),
            **about_call(event, counted),
            "culprit": name,
            "covered": f"{100 * culprit.nanoseconds / event.length:.0f} %",
        }
        if len(told) < SLOWEST:
            told.append(_moment(event, counted, words))
    by_time = sorted(blamed.items(), key=lambda one: -sum(one[1]))
    notes = [f"{len(times)} of {len(found)} slow calls: {name}" for name, times in by_time]
    named: list[Cause] = []
    for culprit in {c.id: c for _, c in found if c.kind == records.TIMER}.values():
        named += causes.of_timers([(names.kernel_name(culprit.id), causes.SLOW)])
    histograms = {k: h for k, h in counted.histograms.items() if k.kind == records.SYSCALL}
    only_calls = Counted(counted.began, counted.seconds, histograms, calls=counted.calls)
    as_syscalls = Question("syscalls", threshold=question.threshold)
    return {
        "rows": rows(only_calls, names, as_syscalls),
        "moments": told,
        "notes": [*(notes or ["no system call was slow"]), *_unjudged(counted, len(found))],
        "causes": named,
    }


def _unjudged(counted: Counted, judged: int) -> list[str]:
    """What of slow calls is not told."""
    said = []
    if (more := counted.left_out.slow_calls - judged) > 0:
        said.append(
            f"{more:,} more slow calls were not judged: of all {counted.left_out.slow_calls:,} "
            "those that were awake the least"
        )
    if blurred := counted.left_out.blurred:
        said.append(
            f"of {blurred:,} slow calls the begin was forgotten, as too much else took long: "
            "their culprit may be another"
        )
    return said


def answer(question: Question, scope: str, counted: Counted, names: Names) -> Result:
    """The answer of any probe, without what it cost and how it ended."""
    found: dict[str, Any]
    if question.probe == "spike":
        found = _spike(counted, names, question)
    else:
        made = rows(counted, names, question)
        found = {
            "rows": made,
            "moments": moments(counted, names, question, counted.events),
        }
        if question.probe == "timers":
            longest = [(row.labels["function"], row.histogram.maximum) for row in made]
            found["causes"] = causes.of_timers(longest)
        if question.probe == "netfilter":
            found["notes"] = hooks(counted.hooked, names)
        if any("threads" in row.labels for row in made):
            found["notes"] = [_THREADS]
    weight = _WEIGHTS.get(question.probe, NANOSECONDS)
    return Result(
        probe=question.probe,
        scope=scope,
        seconds=round(counted.seconds, 3),
        stacks=stacks(counted, names, by_time=weight == NANOSECONDS),
        weight=weight,
        **found,
    )
