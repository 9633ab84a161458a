"""What the latency demo has to show before it may call itself a success. Reads no cluster.

How many requests were slow is shown and not judged: an emulated node on a busy machine makes some
by itself, more than the timer on some days. Which of them the timer made is what ``spike`` tells.
"""

from collections.abc import Iterable

from numapin_lab.demo.criteria import Criterion
from numapin_lab.latency.report import Culprit, LatencyReport, Timer

FUNCTION = "estimation_timer"
"""net/netfilter/ipvs/ip_vs_est.c, before 6.2."""
LEAST_MS = 5.0
"""A callback shorter than this made no spike: nothing would be proved."""
MOST_SHARE = 0.2
"""Of what it took before, the callback may take at most this afterwards."""


def longest(timers: Iterable[Timer]) -> float:
    """Milliseconds of the slowest call of the culprit; 0 where it was not called."""
    return max((t.max_ms for t in timers if t.function == FUNCTION), default=0.0)


def blamed(culprits: Iterable[Culprit]) -> int:
    """Slow calls that the culprit held up."""
    return sum(c.calls for c in culprits if FUNCTION in c.name)


def check(report: LatencyReport) -> tuple[Criterion, ...]:
    """All criteria, in the order in which they are shown."""
    before, after = longest(report.before.timers), longest(report.after.timers)
    calls, left = blamed(report.culprits), blamed(report.culprits_after)
    named = [c.name for c in report.causes]
    return (
        Criterion(
            before >= LEAST_MS,
            f"{FUNCTION} took up to {before:.2f} ms before (at least {LEAST_MS:g})",
        ),
        Criterion(
            FUNCTION in named,
            f"trace timers named the cause {', '.join(named) or 'of nothing'} ({FUNCTION})",
        ),
        Criterion(
            calls > 0,
            f"trace spike blamed {FUNCTION} for {calls} slow system calls of redis (at least 1)",
        ),
        Criterion(
            after <= MOST_SHARE * before,
            f"{FUNCTION} took up to {after:.2f} ms after "
            f"(at most {100 * MOST_SHARE:g} % of before)",
        ),
        Criterion(
            left <= MOST_SHARE * calls,
            f"trace spike blamed {FUNCTION} for {left} after "
            f"(at most {100 * MOST_SHARE:g} % of before)",
        ),
    )
