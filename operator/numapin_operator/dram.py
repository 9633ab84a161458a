"""The check of DRAM fills, which the CPUs' own counters (PMU) tell local from remote.

Pure. It confirms or contradicts what placement promises: memory shared with other pods, such as
page cache and libraries, is charged to whoever touched it first and seen here only.
"""

from typing import Final

from numapin_api.pin import (
    MIN_DRAM_COUNTED_PERCENT,
    MIN_DRAM_FILLS_PER_SECOND,
    Counters,
    NumaPinSpec,
)
from numapin_operator.checks import Check, Eyes

NAME: Final = "dramFills"


def counted(seen: Eyes) -> bool:
    """Whether the node counts DRAM fills."""
    return seen.level("remoteDram") != "none"


def check(spec: NumaPinSpec, counters: Counters | None, *, beyond: str = "") -> Check:
    """Enough DRAM fills were counted, and enough of them local.

    ``ok`` is None with the cause in the message where they were too few to matter, counted for
    too little of the time, or can't be right.

    Args:
        spec: whose limit counts.
        counters: of the last whole window.
        beyond: what is known of files elsewhere that others are charged for, from
            ``checks.beyond_it``: said with a failure, which it may explain.
    """
    least = spec.verification.min_local_percent
    wanted = f">= {least}% of at least {MIN_DRAM_FILLS_PER_SECOND:,} a second"
    if counters is None or not counters.seconds:
        return Check(NAME, None, "unknown", wanted, "no whole window yet")
    ran = counters.dram_counted_percent
    if ran is None:
        return Check(NAME, None, "not counted", wanted, "no CPU counter ran in this window")
    local, remote = counters.dram_fills_local or 0, counters.dram_fills_remote or 0
    total = local + remote
    rate = total / counters.seconds
    share = local * 1000 // total / 10 if total else 0.0
    found = f"{share:.1f}% of {rate:,.0f} a second" if total else "none"
    if ran < MIN_DRAM_COUNTED_PERCENT:
        why = (
            f"the CPU's counters ran for {ran:.1f}% of the pod's time only, less than "
            f"{MIN_DRAM_COUNTED_PERCENT}%: something else uses them"
        )
        return Check(NAME, None, found, wanted, why)
    if rate < MIN_DRAM_FILLS_PER_SECOND:
        why = f"{rate:,.0f} reads of DRAM a second are too few to matter"
        return Check(NAME, None, found, wanted, why)
    if local == 0:
        why = "not one local read of DRAM was counted, which can't be: this counter is not believed"
        return Check(NAME, None, found, wanted, why)
    return Check(
        NAME,
        share >= least,
        found,
        wanted,
        f"{share:.1f}% of {rate:,.0f} reads of DRAM a second were served by the CPU's own socket"
        + ("" if share >= least else beyond),
    )
