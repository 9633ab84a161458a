"""Reads the maps of a probe's programs into histograms.

Used for an answer and for metrics; what the keys mean is ``answers``' and ``latency.series``'.
"""

from numapin_agent.bpf.maps import PerCpuHash
from numapin_agent.trace import histogram, records
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.records import Key


def histograms(table: int, *, cpus: int) -> dict[Key, Histogram]:
    """All that count something, over all CPUs.

    Args:
        table: descriptor of the map ``hists``.
        cpus: number of possible CPUs.

    Raises:
        OSError: bpf(2) failed.
    """
    size = (histogram.VALUE_SIZE + 7) // 8 * 8 * cpus
    keys, values = PerCpuHash(table, records.KEY_SIZE, size).entries()
    found = {}
    for key, value in records.pairs(keys, values, records.KEY_SIZE, size):
        each = histogram.decode(value)
        if each.count:
            found[Key.decode(key)] = each
    return found
