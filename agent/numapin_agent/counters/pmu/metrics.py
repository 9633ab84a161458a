"""Metrics of DRAM fills per pod; only on nodes that count them.

What was counted goes out as it is, with the time in which it was: only a monotonic number makes
a counter, and what is extrapolated is not.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric

from numapin_agent.counters.signals import CgroupCounters
from numapin_agent.exposition import Rows

_POD: Final = ("namespace", "pod")
_NS: Final = 1e-9


def dram_families(pods: Iterable[tuple[str, str, CgroupCounters | None]]) -> Iterator[Metric]:
    """Families of all pods.

    Args:
        pods: namespace, name and counters of each; None without counters.
    """
    fills = Rows(
        "numapin_pod_dram_fills",
        "Reads of DRAM by the pod's programs, counted by the CPUs (PMU), by locality: remote is "
        "another socket's. Only while the counters ran: see numapin_pod_dram_counter_seconds.",
        "counter",
        labels=(*_POD, "locality"),
    )
    times = Rows(
        "numapin_pod_dram_counter_seconds",
        "CPU time of the pod in which its DRAM reads were to be counted (state enabled) and were "
        "(state running); less where something else uses the same counters.",
        "counter",
        labels=(*_POD, "state"),
    )
    for namespace, name, counted in pods:
        if counted is None or not counted.dram_enabled_nanoseconds:
            continue
        fills.add(namespace, name, "local", counted.dram_fills_local)
        fills.add(namespace, name, "remote", counted.dram_fills_remote)
        times.add(namespace, name, "enabled", counted.dram_enabled_nanoseconds * _NS)
        times.add(namespace, name, "running", counted.dram_running_nanoseconds * _NS)
    yield from (fills, times)
