"""Arithmetic of the steady client's requests. Pure.

The client (lab/workloads/latency.yaml) writes a line for every few requests: seconds since
1970 at its end, then the microseconds that each request took.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that followed each other.

    Attributes:
        time: seconds since 1970 at which the last one was answered.
        microseconds: that each took, in order.
    """

    time: float
    microseconds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Requests of a window.

    Attributes:
        count: how many.
        p50: milliseconds, as are all others.
        p99: of a hundred requests one takes longer.
        p999: of a thousand requests one takes longer.
        maximum: of all.
    """

    count: int
    p50: float
    p99: float
    p999: float
    maximum: float


def parse(lines: Iterable[str]) -> list[Batch]:
    """Batches of the client's lines; what else its container says is passed over."""
    found = []
    for line in lines:
        first, *rest = line.split() or [""]
        if rest and first.replace(".", "", 1).isdecimal() and all(r.isdecimal() for r in rest):
            found.append(Batch(float(first), tuple(map(int, rest))))
    return found


def between(batches: Iterable[Batch], begin: float, end: float) -> list[Batch]:
    """Batches that ended in a window, in seconds since 1970."""
    return [batch for batch in batches if begin <= batch.time <= end]


def summary(batches: Iterable[Batch]) -> Summary | None:
    """Figures of all requests, None without any; a percentile is a request that was seen."""
    every = sorted(one for batch in batches for one in batch.microseconds)
    if not every:
        return None
    return Summary(
        count=len(every),
        p50=_rank(every, 0.5),
        p99=_rank(every, 0.99),
        p999=_rank(every, 0.999),
        maximum=every[-1] / 1000,
    )


def _rank(every: Sequence[int], share: float) -> float:
    return every[max(0, math.ceil(share * len(every)) - 1)] / 1000


def slow(batches: Iterable[Batch], milliseconds: float) -> int:
    """How many requests took at least so long."""
    return sum(one >= 1000 * milliseconds for batch in batches for one in batch.microseconds)
