"""From counts to an answer: labels, stacks, causes, and what may not be told."""

import errno
import socket

import pytest

from numapin_agent.trace import causes, histogram, records
from numapin_agent.trace.answers import answer
from numapin_agent.trace.counted import Counted
from numapin_agent.trace.kept import LeftOut
from numapin_agent.trace.question import Question
from numapin_agent.trace.records import Event, Hooked, Key, Path, UnderWay, Weight
from numapin_agent.trace.result import OTHERS, Result, Stack
from numapin_agent.trace.tables import KEPT_ROWS, KEPT_STACKS, NOT_KEPT
from numapin_agent.trace.words import HOOK_FUNCTIONS, hook_labels, plain

MS = 1_000_000
KERNEL = {
    1: "estimation_timer [ip_vs]",
    2: "vfs_read",
    3: "bpf_trace_run2",
    4: "do_syscall_64",
    5: "__traceiter_page_fault_user",
    20: "ip_vs_reply6 [ip_vs]",
    21: "nft_do_chain_ipv6",
    22: "ipt_do_table",
    23: "something_else",
    24: "perf_mux_hrtimer_handler",
}


class Names:
    def process(self, tgid: int) -> str:
        return {7: "redis", 8: "evil\x1b[2J"}.get(tgid, "gone")

    def alive(self, thread: int) -> bool:
        return thread != 404

    def descriptor(self, tgid: int, fd: int) -> str:
        return f"file {fd}"

    def interrupts(self) -> dict[int, str]:
        return {36: "virtio1-req.0"}

    def numa_node(self, node: int) -> str:
        return f"NUMA node {node}"

    def kernel_name(self, address: int) -> str:
        return KERNEL.get(address, "[unknown]")

    def user_name(self, tgid: int, address: int) -> str:
        return f"user{address}"


def told(probe: str, function: str | None = None, **counted) -> Result:
    return answer(Question(probe, function), "node", Counted(seconds=1.0, **counted), Names())


H = histogram.of([10, 20 * MS])


@pytest.mark.parametrize(
    ("probe", "key", "labels"),
    [
        ("timers", Key(1, records.TIMER, 0), {"function": KERNEL[1], "timer": "timer"}),
        ("timers", Key(99, records.HRTIMER, 0), {"function": "[unknown]", "timer": "hrtimer"}),
        ("softirqs", Key(3, records.SOFTIRQ, 1), {"vector": "NET_RX", "cpu": "1"}),
        ("softirqs", Key(12, records.SOFTIRQ, 1), {"vector": "12", "cpu": "1"}),
        (
            "softirqs",
            Key(3, records.STOLEN, 1),
            {"vector": "NET_RX", "cpu": "1", "threads": "waited"},
        ),
        (
            "hardirqs",
            Key(0, records.STOLEN, 1),
            {"interrupt": "any", "cpu": "1", "threads": "waited"},
        ),
        ("hardirqs", Key(36, records.HARDIRQ, 1), {"interrupt": "36 virtio1-req.0", "cpu": "1"}),
        ("hardirqs", Key(0, records.VECTOR, 1), {"interrupt": "local timer", "cpu": "1"}),
        ("run-queue", Key(7, records.QUEUED, 0), {"process": "redis"}),
        ("run-queue", Key(8, records.QUEUED, 0), {"process": "evil?[2J"}),
        ("syscalls", Key(500, records.SYSCALL, 0), {"syscall": "500"}),
        ("net-rx", Key(3, records.RECEIVE, 0), {"stage": "stack → read by the process"}),
        (
            "numa-moves",
            Key(1 << 32 | 1, records.MIGRATION, 0),
            {"from": "NUMA node 0", "to": "NUMA node 1"},
        ),
        ("numa-moves", Key(3, records.MIGRATION, 0), {"from": "unknown", "to": "NUMA node 3"}),
        (
            "memory-wait",
            Key(3, records.MIGRATION, 0),
            {"wait": "NUMA migration", "from": "unknown", "to": "NUMA node 3"},
        ),
        ("memory-wait", Key(0, records.FAULT, 0), {"wait": "page fault"}),
        ("memory-wait", Key(1, records.FAULT, 0), {"wait": "NUMA hint fault"}),
    ],
)
def test_what_a_row_is_of(probe, key, labels):
    (row,) = told(probe, histograms={key: H}).rows
    assert row.labels == labels
    assert row.histogram == H


def test_threads_that_ran_and_threads_that_waited_are_told_apart():
    keys = {Key(3, records.SOFTIRQ, 1): H, Key(3, records.STOLEN, 1): H}
    made = told("softirqs", histograms=keys)
    assert [row.labels["threads"] for row in made.rows] == ["ran", "waited"]
    assert made.notes[0].startswith("threads ran: on top of them; waited: ")


def test_rows_of_the_same_name_are_joined():
    keys = {
        Key(8, records.QUEUED, 0): H,
        Key(9, records.QUEUED, 0): H,
        Key(10, records.QUEUED, 0): H,
    }
    assert [r.histogram.count for r in told("run-queue", histograms=keys).rows] == [4, 2]


def test_what_is_too_much_to_tell_is_told_in_one():
    """A row or a stack that is left out must not be missing in the sums."""
    many = 3 * KEPT_ROWS
    keys = {Key(i, records.TIMER, 0): histogram.of([i]) for i in range(1000, 1000 + many)}
    made = answer(Question("timers"), "node", Counted(histograms=keys), Numbered()).rows
    assert len(made) == KEPT_ROWS
    assert made[0].labels == {"function": f"f{999 + many}", "timer": "timer"}
    assert made[-1].labels == {"function": OTHERS, "timer": OTHERS}
    assert sum(row.histogram.count for row in made) == many

    paths = {Path(7, -1, i, records.FUNCTION): Weight(i, 0) for i in range(1, KEPT_STACKS + 3)}
    calls = {i: (i,) for i in range(1, KEPT_STACKS + 3)}
    asked = Question("function", "f", stacks=True)
    found = answer(asked, "node", Counted(paths=paths, kernel=calls), Numbered()).stacks
    assert len(found) == KEPT_STACKS
    assert found[-1] == Stack(frames=[OTHERS], weight=1 + 2 + 3)


class Numbered(Names):
    """Each kernel function has a name of its own."""

    def kernel_name(self, address: int) -> str:
        return f"f{address}"


def test_the_slow_ipvs_timer_is_named_with_its_remedy():
    (cause,) = told("timers", histograms={Key(1, records.TIMER, 0): H}).causes
    assert cause.name == "estimation_timer"
    assert "run_estimation=0" in cause.remedy


def test_a_quick_ipvs_timer_is_no_cause():
    quick = histogram.of([1000])
    assert told("timers", histograms={Key(1, records.TIMER, 0): quick}).causes == []


@pytest.mark.parametrize(
    ("function", "cause", "remedy"),
    [
        ("estimation_timer [ip_vs]", "estimation_timer", "run_estimation=0"),
        ("estimation_timer.llvm.42 [ip_vs]", "estimation_timer", "kernel 6.2"),
        ("est_timer", "est_timer", "RATEEST"),
        ("sched_cfs_period_timer", "sched_cfs_period_timer", "kernel 6.3"),
        ("sched_cfs_slack_timer", "sched_cfs_period_timer", "CPU limits for fewer pods"),
        ("fib6_gc_timer_cb", "fib6_gc_timer_cb", "net.ipv6.route.gc_interval"),
        ("perf_mux_hrtimer_handler", "perf_mux_hrtimer_handler", "perf_event_mux_interval_ms"),
        ("tick_nohz_handler", None, ""),
        ("estimation_timer_of_another_kind", None, ""),
    ],
)
def test_known_causes_by_the_function_of_their_timer(function, cause, remedy):
    found = causes.of_timers([(function, causes.SLOW)])
    assert [one.name for one in found] == ([cause] if cause else [])
    assert all(remedy in one.remedy for one in found)
    assert causes.of_timers([(function, causes.SLOW - 1)]) == []


def test_a_cause_is_named_once_whichever_function_shows_it():
    both = [("sched_cfs_period_timer", 2 * MS), ("sched_cfs_slack_timer", 3 * MS)]
    assert len(causes.of_timers(both)) == 1


def test_spike_knows_causes_of_high_resolution_timers_too():
    timer = slow(kind=records.HRTIMER, id=24, length=19 * MS, tid=0, tgid=0)
    made = told("spike", events=[slow(), timer], calls={0: "read"})
    assert [c.name for c in made.causes] == ["perf_mux_hrtimer_handler"]


@pytest.mark.parametrize(
    ("threads", "nanoseconds", "named"), [(0, 10**9, False), (2, 10**6, False), (2, 10**8, True)]
)
def test_threads_of_ipvs_are_named_when_they_take_time(threads, nanoseconds, named):
    assert bool(causes.of_threads(threads, nanoseconds, 1.0)) is named


def test_call_paths_begin_with_the_process_and_hide_the_probe():
    paths = {Path(7, 0, 1, 0): Weight(3, 0), Path(7, -errno.EEXIST, 1, 0): Weight(1, 0)}
    made = told("page-faults", paths=paths, user={0: (11, 10)}, kernel={1: (3, 5, 2, 4)})
    assert [(s.frames, s.weight) for s in made.stacks] == [
        (["redis", "user10", "user11", "do_syscall_64_[k]", "vfs_read_[k]"], 3),
        (["redis", "do_syscall_64_[k]", "vfs_read_[k]", NOT_KEPT], 1),
    ]
    assert made.weight == "faults"


@pytest.mark.parametrize(
    ("probe", "function", "weight", "unit"),
    [
        ("off-cpu", None, 12 * MS, "ns"),
        ("numa-moves", None, 12 * MS, "ns"),
        ("memory-wait", None, 12 * MS, "ns"),
        ("page-faults", None, 3, "faults"),
        ("function", "f", 3, "calls"),
    ],
)
def test_call_paths_weigh_what_the_answer_says(probe, function, weight, unit):
    made = told(probe, function, paths={Path(7, -1, -1, 0): Weight(3, 12 * MS)})
    assert [stack.weight for stack in made.stacks] == [weight]
    assert made.weight == unit


def test_callers_of_a_function_have_no_process():
    paths = {Path(0, -1, 1, records.FUNCTION): Weight(3, 0)}
    made = told("function", "vfs_read", paths=paths, kernel={1: (2, 4)})
    assert made.stacks[0].frames == ["do_syscall_64_[k]", "vfs_read_[k]"]


def slow(**more) -> Event:
    fields = {"start": 0, "length": 20 * MS, "id": 0, "extra": 5, "cpu": 0, "tid": 7, "tgid": 7}
    return Event(**{**fields, "kind": records.SYSCALL, **more})


def test_a_slow_call_tells_its_file():
    made = told("syscalls", events=[slow(text="/data/a\n.rdb")], calls={0: "read"})
    assert made.moments[0].labels == {
        "cpu": "0",
        "process": "redis",
        "syscall": "read",
        "on": "/data/a?.rdb",
    }
    made = told("syscalls", events=[slow()], calls={0: "read"})
    assert made.moments[0].labels["on"] == "descriptor 5"
    made = told("syscalls", events=[slow(id=257, text="/etc/x")], calls={257: "openat"})
    assert made.moments[0].labels["on"] == "/etc/x"


@pytest.mark.parametrize("probe", ["syscalls", "spike"])
def test_calls_that_never_returned_are_told_of(probe):
    calls = [
        UnderWay(7, 200 * MS, 0),
        UnderWay(8, 700 * MS, 0),
        UnderWay(9, 500 * MS, 74),
        UnderWay(9, 950 * MS, 1),  # begun a moment ago
        UnderWay(10, 0, 202),  # waits by design
        UnderWay(404, 0, 3),  # of a thread that was killed
    ]
    names = {0: "read", 1: "write", 3: "close", 74: "fsync", 202: "futex"}
    assert told(probe, under_way=calls, calls=names).notes[-1] == (
        "calls that had not returned at the end, the longest first: read (2, for 0.8 s), "
        "fsync (1, for 0.5 s)"
    )
    assert len(told("syscalls", under_way=calls[3:], calls=names).notes) == 0


def test_spike_names_the_timer_and_its_remedy():
    timer = slow(kind=records.TIMER, id=1, length=19 * MS, tid=0, tgid=0)
    shorter = slow(length=16 * MS, tid=8)
    made = told("spike", events=[shorter, slow(), timer], calls={0: "read"})
    assert made.moments[0].culprit == f"timer callback {KERNEL[1]}"
    assert [m.covered for m in made.moments] == [95, 100]
    assert [(b.culprit, b.calls, b.nanoseconds, b.longest) for b in made.blamed] == [
        (f"timer callback {KERNEL[1]}", 2, 36 * MS, 20 * MS)
    ]
    assert made.notes == []
    assert [c.name for c in made.causes] == ["estimation_timer"]


def test_spike_names_the_hook_of_netfilter():
    hook = slow(kind=records.NETFILTER, id=2 | 2 << 8, length=19 * MS, tid=0, tgid=0)
    made = told("spike", events=[slow(), hook], calls={0: "read"})
    assert [m.culprit for m in made.moments] == ["netfilter FORWARD of ipv4"]
    assert [b.named for b in made.blamed] == [True]


def test_spike_puts_calls_that_slept_last():
    slept = slow(tid=9, length=500 * MS, cpu=1)
    nap = slow(kind=records.OFF, id=9, length=499 * MS)
    queued = slow(kind=records.QUEUED, id=7, length=19 * MS, tid=3)
    made = told("spike", events=[slept, nap, slow(), queued], calls={0: "read"})
    assert [m.culprit for m in made.moments] == [
        "waited for a CPU that was running other threads",
        "none in the kernel: it slept until data, a lock or a device came",
    ]
    assert [(b.named, b.calls, b.nanoseconds) for b in made.blamed] == [
        (False, 1, 500 * MS),
        (True, 1, 20 * MS),
    ]


def test_spike_says_what_it_did_not_judge():
    left = LeftOut(slow_calls=3001, blurred=2)
    made = told("spike", events=[slow()], calls={0: "read"}, left_out=left)
    assert made.notes == [
        "3,000 more slow calls were not judged: of all 3,001 those that were awake the least",
        "of 2 slow calls the begin was forgotten, as too much else took long: their culprit may "
        "be another",
    ]
    made = told("spike", events=[slow()], calls={0: "read"}, left_out=LeftOut(slow_calls=1))
    assert made.notes == []
    assert told("spike").notes == ["no system call was slow"]


def test_spike_without_slow_calls_says_so():
    assert told("spike").notes == ["no system call was slow"]


@pytest.mark.parametrize(
    ("hook", "family", "ethertype", "protocol", "labels"),
    [
        (0, 2, 0x0800, 6, ("PRE_ROUTING", "ipv4", "tcp")),
        (2, 10, 0x86DD, 17, ("FORWARD", "ipv6", "udp")),
        (0, 3, 0x0806, 0, ("ARP_IN", "arp", "ethertype 0x0806")),
        (0, 5, 0x0800, 0, ("INGRESS", "netdev", "ethertype 0x0800")),
        (9, 2, 0x0800, 99, ("9", "ipv4", "99")),
    ],
)
def test_netfilter_hooks(hook, family, ethertype, protocol, labels):
    identity = hook | family << 8 | socket.htons(ethertype) << 16 | protocol << 32
    assert tuple(hook_labels(identity).values()) == labels


def test_results_cross_the_wire():
    made = told("softirqs", histograms={Key(3, records.SOFTIRQ, 0): H})
    assert Result.model_validate(made.wire()) == made


def test_plain_text_stays():
    assert plain("kube-apiserver → µ") == "kube-apiserver → µ"


def test_stages_of_the_receive_path_are_in_the_order_of_the_packet():
    keys = {Key(number, records.RECEIVE, 0): H for number in range(7)}
    stages = [row.labels["stage"] for row in told("net-rx", histograms=keys).rows]
    assert stages == [
        "interrupt → NET_RX softirq",
        "driver → stack",
        "stack → IP",
        "IP → TCP",
        "stack → TCP",
        "TCP → read by the process",
        "stack → read by the process",
    ]


def test_what_netfilters_hooks_call_is_told_in_order_and_by_owner():
    forward, local_in = 2 | 2 << 8, 1 | 10 << 8
    hooked = (
        Hooked(21, local_in, 1),
        Hooked(22, forward, 0),
        Hooked(20, local_in, 0),
        Hooked(23, local_in, 1),
        Hooked(20, local_in, 3),
    )
    assert told("netfilter", hooked=hooked).notes == [
        "FORWARD of ipv4 calls ipt_do_table (rules of iptables)",
        "LOCAL_IN of ipv6 calls ip_vs_reply6 [ip_vs] (IPVS), "
        "nft_do_chain_ipv6 (rules of nftables), something_else",
    ]
    many = told("netfilter", hooked=[*hooked, Hooked(23, forward, HOOK_FUNCTIONS - 1)]).notes
    assert many[0].endswith("(rules of iptables), something_else and maybe more")
