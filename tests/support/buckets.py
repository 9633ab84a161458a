"""Histograms of other tools beside ours: each times the other, so quantiles are a bucket apart."""

from collections.abc import Iterable, Mapping

from numapin_agent.trace.histogram import Histogram, bounds

Buckets = Mapping[tuple[int, int], int]
"""How many by least and most nanoseconds."""


def of_bpftrace(printed: Iterable[Mapping[str, int]]) -> Buckets:
    """A histogram as ``bpftrace -f json`` prints it."""
    return {(bucket.get("min", 0), bucket["max"]): bucket["count"] for bucket in printed}


def quantile(buckets: Buckets, share: float) -> tuple[int, int]:
    """The bucket in which the share of the values ends."""
    wanted, passed = share * sum(buckets.values()), 0
    for span, count in sorted(buckets.items()):
        passed += count
        if passed >= wanted:
            return span
    raise AssertionError(buckets)


def check_quantile(theirs: Buckets, ours: Histogram, share: float) -> str:
    """Fail unless both have it in the same power-of-two bucket or the next.

    Returns:
        both, for people.
    """
    low, high = quantile(theirs, share)
    least, most = bounds(ours.at_most(share).bit_length())
    told = f"p{100 * share:.0f} {least}-{most} ns, tool {low}-{high}"
    assert least <= 2 * high, told
    assert most >= low / 2, told
    return told
