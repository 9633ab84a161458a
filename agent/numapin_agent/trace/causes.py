"""Causes of slowness that are known by the kernel function that shows them, and their remedy.

Pure. Only what is understood is named: a slow function that is not here is shown as it is.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from numapin_agent.trace.result import Cause

_SYSCTL: Final = "net.ipv4.vs.run_estimation=0"

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
        bare = name.split(" ")[0]
        if bare in KNOWN and nanoseconds >= SLOW:
            found[bare] = KNOWN[bare]
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
