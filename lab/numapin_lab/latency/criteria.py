"""What the latency demo has to show before it may call itself a success. Reads no cluster."""

from collections.abc import Iterable

from numapin_lab.demo.criteria import Criterion
from numapin_lab.latency.report import LatencyReport, Timer

FUNCTION = "estimation_timer"
"""net/netfilter/ipvs/ip_vs_est.c, before 6.2."""
LEAST_MS = 5.0
"""A callback shorter than this made no spike: nothing would be proved."""
MOST_SHARE = 0.2
"""Of what it took before, the callback may take at most this afterwards."""


def longest(timers: Iterable[Timer]) -> float:
    """Milliseconds of the slowest call of the culprit; 0 where it was not called."""
    return max((t.max_ms for t in timers if t.function == FUNCTION), default=0.0)


def check(report: LatencyReport) -> tuple[Criterion, ...]:
    """All criteria, in the order in which they are shown."""
    before, after = longest(report.before.timers), longest(report.after.timers)
    calls = sum(c.calls for c in report.culprits if FUNCTION in c.name)
    named = [c.name for c in report.causes]
    per_minute = [
        60 * window.requests.slow / window.seconds for window in (report.before, report.after)
    ]
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
            per_minute[0] > 0 and per_minute[1] <= per_minute[0] / 2,
            f"requests of at least {report.slow_ms:g} ms: {per_minute[0]:.1f} a minute before, "
            f"{per_minute[1]:.1f} after (at most half)",
        ),
    )
