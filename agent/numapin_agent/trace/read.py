"""Reads the maps of a probe's programs into histograms.

Used for an answer and for metrics; what the keys mean is ``answers``' and ``latency.series``'.
"""

from collections.abc import Mapping

from numapin_agent.bpf.maps import PerCpuHash
from numapin_agent.trace import histogram, records
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.records import Key


def histograms(maps: Mapping[str, int], *, cpus: int) -> dict[Key, Histogram]:
    """All that count something.

    Args:
        maps: descriptors by name; ``hists`` and ``cpu_hists`` matter, where they are there.
        cpus: number of possible CPUs.

    Raises:
        OSError: bpf(2) failed.
    """
    found = {}
    for name, copies in (("hists", cpus), ("cpu_hists", 1)):
        if name not in maps:
            continue
        size = histogram.VALUE_SIZE * copies
        keys, values = PerCpuHash(maps[name], records.KEY_SIZE, size).entries()
        for key, value in records.pairs(keys, values, records.KEY_SIZE, size):
            each = histogram.decode(value)
            if each.count:
                found[Key.decode(key)] = each
    return found
