"""What PMU counters say of the whole time, from what they counted while they ran.

Pure. A CPU has few counters; when others want them too, the kernel takes turns (multiplexing)
and says how long an event was meant to count and how long it did.
"""

from dataclasses import dataclass

from numapin_agent.counters.signals import CgroupCounters


@dataclass(frozen=True, slots=True)
class Fills:
    """DRAM fills in a window.

    Attributes:
        local: from the socket's own DRAM, over the whole time.
        remote: from another socket's.
        counted_percent: share of the time in which the counters ran, rounded down to one
            decimal so that a threshold is never shown as reached when it was not.
    """

    local: int
    remote: int
    counted_percent: float


def fills(counted: CgroupCounters) -> Fills | None:
    """Extrapolate a window's counts to the time in which nothing was counted.

    Both events of a CPU count at the same times, so their ratio needs no extrapolation.

    Args:
        counted: growth of the counters in the window.

    Returns:
        None when no counter was meant to run: no PMU, or the pod did not.
    """
    running, enabled = counted.dram_running_nanoseconds, counted.dram_enabled_nanoseconds
    if enabled == 0:
        return None
    if running == 0:
        return Fills(0, 0, 0.0)
    return Fills(
        local=counted.dram_fills_local * enabled // running,
        remote=counted.dram_fills_remote * enabled // running,
        counted_percent=min(1000, running * 1000 // enabled) / 10,
    )
