"""Causes of slowness that are known by the kernel function that shows them, and their remedy.

Pure. Only what is understood is named: a slow function that is not here is shown as it is.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from numapin_agent.trace.result import Cause

_SYSCTL: Final = "net.ipv4.vs.run_estimation=0"

_BANDWIDTH: Final = Cause(
    name="sched_cfs_period_timer",
    says="CPU limits (kernel/sched/fair.c): the timer of a cgroup's period gives new time to all "
    "CPUs and wakes what was throttled below it, with interrupts off. With hundreds of CPUs and "
    "throttled cgroups it takes milliseconds.",
    remedy="kernel 6.3 or later, where each CPU does its own part, or CPU limits for fewer pods: "
    "requests alone share out CPUs, too.",
)

KNOWN: Final[Mapping[str, Cause]] = {
    "estimation_timer": Cause(
        name="estimation_timer",
        says="IPVS walks the statistics of all its virtual services every two seconds, in the "
        "timer softirq and under a lock: with tens of thousands of services everything else on "
        "that CPU stands still for 10 to 30 ms.",
        remedy=f"sysctl -w {_SYSCTL} where the kernel has it (rates of ipvsadm --rate stop), or "
        "kernel 6.2 or later, where threads do it, or a data path without IPVS.",
    ),
    "est_timer": Cause(
        name="est_timer",
        says="A rate estimator of traffic control (net/core/gen_estimator.c) adds up a qdisc's "
        "or a filter's counters in the timer softirq; each is short, thousands of them are not.",
        remedy="Remove estimators that nobody reads (tc … estimator, iptables -j RATEEST).",
    ),
    "sched_cfs_period_timer": _BANDWIDTH,
    "sched_cfs_slack_timer": _BANDWIDTH,
    "fib6_gc_timer_cb": Cause(
        name="fib6_gc_timer_cb",
        says="IPv6 looks for routes that have expired (net/ipv6/ip6_fib.c) in the timer softirq "
        "and under the lock of the routing table. Up to kernel 6.8 it walks all routes: with tens "
        "of thousands, as from BGP, that takes milliseconds.",
        remedy="kernel 6.9 or later, which walks only routes that expire, or a longer interval in "
        "the network namespace that has them: sysctl -w net.ipv6.route.gc_interval=600 (30 s by "
        "default; expired routes stay longer).",
    ),
    "perf_mux_hrtimer_handler": Cause(
        name="perf_mux_hrtimer_handler",
        says="More perf events are counted at once than the CPUs have counters "
        "(kernel/events/core.c): this timer exchanges them on each CPU every few milliseconds, "
        "which takes long with events by cgroup.",
        remedy="Count fewer events at once (perf stat, node exporters, profilers), or exchange "
        "them less often: echo 100 > /sys/bus/event_source/devices/cpu/perf_event_mux_interval_ms.",
    ),
}
"""By name of the timer's function."""

SLOW: Final = 1_000_000
"""Nanoseconds from which a known cause is worth a word."""


def of_timers(longest: Iterable[tuple[str, int]]) -> list[Cause]:
    """Known causes among timer callbacks.

    Args:
        longest: function, as symbols name it, and its longest run in nanoseconds.
    """
    found = {}
    for name, nanoseconds in longest:
        # without its module, and what compilers add to names, such as .llvm.1234
        cause = KNOWN.get(re.split(r"[ .]", name, maxsplit=1)[0])
        if cause is not None and nanoseconds >= SLOW:
            found[cause.name] = cause
    return list(found.values())


def of_threads(threads: int, nanoseconds: int, seconds: float) -> list[Cause]:
    """The threads that do from 6.2 on what estimation_timer did, when they take noticeable time.

    Args:
        threads: kernel threads named ``ipvs-e:…`` (net/netfilter/ipvs/ip_vs_est.c).
        nanoseconds: of CPU time that they took.
        seconds: in how long.
    """
    share = nanoseconds / seconds / 1e7 if seconds > 0 else 0.0
    if not threads or share < 1:
        return []
    return [
        Cause(
            name="ip_vs_est",
            says=f"{threads} kernel thread{'s' if threads > 1 else ''} (ipvs-e) that keep IPVS' "
            f"statistics took {share:.1f} % of a CPU. They can be preempted, so they delay "
            "others less than the timer of kernels before 6.2.",
            remedy=f"sysctl -w {_SYSCTL}, or keep them off the pods' CPUs with "
            "net.ipv4.vs.est_cpulist and est_nice, or a data path without IPVS.",
        )
    ]
