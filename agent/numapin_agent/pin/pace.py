"""How much to move at once, how long to rest, and when to stop: pure arithmetic.

Why these numbers:

- A call of about 20 ms of CPU time. move_pages(2) holds the process's mmap lock for reading,
  and its pages are locked in lots of at most 512 (``NR_MAX_BATCHED_MIGRATION``), so a thread of
  the pod that touches one waits for one lot, about a millisecond natively. But each call starts
  with ``lru_cache_disable()``: work on every CPU and an RCU grace period, so that calls much
  shorter than that would be mostly this. At 1 to 3 GB/s 20 ms are 20 to 60 MB.
- At most half of one CPU. Moving takes no lock that attaching processes or making cgroups
  needs; what it takes from them is CPU, memory bandwidth and those per-CPU drains. With equal
  rests a neighbour gets every second slice at the worst, so nothing takes more than twice as
  long as on an idle node, and 100 GB still move in two to four minutes.
- 4 MiB to 64 MiB: below, a call is mostly its fixed cost, even where copying is as slow as
  under emulation (200 MB/s); 64 MiB bounds what one call can take when the ones before it
  happened to be fast, and so how long a stop takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1 << 20
CALL_SECONDS = 0.020
DUTY = 0.5
LEAST_BYTES = 4 * MIB
MOST_BYTES = 64 * MIB

ENOUGH = 4 * MIB
"""Less is not worth another round."""
SMALL = 64 * MIB
"""Up to this much is left to the kernel once rounds gain little."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The size of the next batch.

    Attributes:
        batch_bytes: of the next call.
    """

    batch_bytes: int = LEAST_BYTES

    def after(self, busy_seconds: float) -> "Pace":
        """The pace after a batch that took ``busy_seconds``."""
        if busy_seconds > 1.5 * CALL_SECONDS:
            return Pace(max(LEAST_BYTES, self.batch_bytes // 2))
        if busy_seconds < 0.5 * CALL_SECONDS:
            return Pace(min(MOST_BYTES, self.batch_bytes * 2))
        return self


def rest_seconds(busy_seconds: float) -> float:
    """How long to rest after having been busy for that long."""
    return busy_seconds * (1 - DUTY) / DUTY


def another_round(left: Sequence[int]) -> bool:
    """Whether to look for far pages once more.

    Args:
        left: bytes that were far at the start of each round so far, and now.
    """
    if left[-1] <= ENOUGH:
        return False
    if left[-1] <= SMALL:
        return len(left) < 2 or left[-1] <= left[-2] // 2
    # Progress is a tenth: a pod that allocates as fast as we move would go on for ever.
    return len(left) < 3 or left[-1] < left[-3] * 9 // 10
