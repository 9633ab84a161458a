"""Names and adds up what the latency programs count, as a bounded number of series.

Pure. A series, once there, keeps its name: an interrupt number that is given to another device
goes on under the first one's, since a counter must not fall. CPUs are added up; whoever wants
them apart, or wants the rare events themselves, asks by ``kubectl numapin trace``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from numapin_agent.trace import records
from numapin_agent.trace.facts import VECTORS
from numapin_agent.trace.histogram import SLOTS, Histogram
from numapin_agent.trace.records import Key
from numapin_agent.trace.words import hook_labels, plain, softirq

BOUND_BITS: Final = range(10, 31, 2)
"""Bounds of the buckets: 2^10 ns (1 µs) to 2^30 ns (1.07 s), a factor of four apart."""
SLOW_BITS: Final = 22
"""A timer callback is slow from 2^22 ns (4.2 ms) on, which is the edge of a bucket."""
MOST_NAMES: Final = 40
"""Devices, and slow timer functions, that have a series of their own."""
OTHER: Final = "other"
_PLACE: Final = re.compile(r"@pci:.*$")
_QUEUE: Final = re.compile(r"([-_.:]|(?<=q)|(?<=comp))\d+$")
NS: Final = 1e-9

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """What one probe's programs have counted since they were attached.

    Attributes:
        histograms: by what they are of.
        lost: events for which there was no room, or that the kernel did not run a program for.
        runs: of its programs.
    """

    histograms: Mapping[Key, Histogram] = field(default_factory=dict)
    lost: int = 0
    runs: int = 0


NEVER_SILENT: Final = frozenset({"softirqs", "hardirqs", "timers"})
"""Probes that count something on an idle node, too: its timekeeping is made of these. Hooks of
netfilter run only where somebody has put rules."""


def events(counts: Counts) -> int:
    """What was counted, or lost."""
    return counts.lost + sum(sum(one.slots) for one in counts.histograms.values())


def silent(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """Probes that have counted nothing between two looks, and should have.

    Args:
        before: events by probe, of those that were attached.
        now: the same later.
    """
    return [p for p in sorted(NEVER_SILENT & before.keys()) if now.get(p) == before[p]]


def device(name: str) -> str:
    """An interrupt's device without the number of its queue: ``nvme0q37`` is ``nvme0q``."""
    return plain(_QUEUE.sub("", _PLACE.sub("", name)) or name)


class Names:
    """Names that stay: the first ``MOST_NAMES`` of a kind are kept, later ones are ``other``."""

    def __init__(self) -> None:
        self._of: dict[int, str] = {}

    def missing(self, ids: Iterable[int]) -> list[int]:
        """Those that have no name yet."""
        return [one for one in ids if one not in self._of]

    def give(self, found: Mapping[int, str]) -> None:
        """Name them; who has a name keeps it."""
        for identity, name in found.items():
            used = set(self._of.values()) - {OTHER}
            room = name in used or len(used) < MOST_NAMES
            self._of.setdefault(identity, name if room else OTHER)

    def of(self, identity: int) -> str:
        """Its name."""
        return self._of.get(identity, OTHER)


def is_slow(key: Key, histogram: Histogram) -> bool:
    """Whether this is a timer function that was slow at least once."""
    return key.kind in {records.TIMER, records.HRTIMER} and histogram.maximum >= 1 << SLOW_BITS


def _family(kind: int) -> int:
    return {records.VECTOR: records.HARDIRQ, records.HRTIMER: records.TIMER}.get(kind, kind)


def labels(key: Key, devices: Names) -> Labels:
    """Label values of the series that a histogram belongs to."""
    if key.kind == records.SOFTIRQ:
        return (softirq(key.id),)
    if key.kind == records.VECTOR:
        return (VECTORS[key.id][1],)
    if key.kind == records.HARDIRQ:
        return (devices.of(key.id),)
    if key.kind == records.NETFILTER:
        told = hook_labels(key.id)
        return (told["hook"], told["family"])
    return ("timer" if key.kind == records.TIMER else "hrtimer",)


def added_up(
    histograms: Mapping[Key, Histogram], devices: Names
) -> dict[int, dict[Labels, Histogram]]:
    """Histograms by kind and series."""
    found: dict[int, dict[Labels, Histogram]] = {}
    for key, histogram in histograms.items():
        series = found.setdefault(_family(key.kind), {})
        called = labels(key, devices)
        series[called] = series.get(called, Histogram()) + histogram
    return found


def buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Upper bounds in seconds and how many values do not exceed each; exact at each bound."""
    # Values of at most so many bits are below 2^bits.
    bounds = [(repr((1 << b) * NS), float(sum(histogram.slots[: b + 1]))) for b in BOUND_BITS]
    return [*bounds, ("+Inf", sum(histogram.slots))]


_HISTOGRAMS: Final[Mapping[int, tuple[str, tuple[str, ...], str]]] = {
    records.SOFTIRQ: (
        "numapin_node_softirq_seconds",
        ("vector",),
        "Time of softirqs on all CPUs of the node, by vector. Only with agent.latencyMetrics.",
    ),
    records.HARDIRQ: (
        "numapin_node_hardirq_seconds",
        ("interrupt",),
        "Time of hard interrupts on all CPUs of the node, by device without its queues' numbers, "
        "and by kind of those without a device. Only with agent.latencyMetrics.",
    ),
    records.TIMER: (
        "numapin_node_timer_seconds",
        ("timer",),
        "Time of timer callbacks: timer runs them in a softirq, hrtimer mostly in the interrupt. "
        "Only with agent.latencyMetrics.",
    ),
    records.NETFILTER: (
        "numapin_node_netfilter_seconds",
        ("hook", "family"),
        "Time that packets took in all functions of a netfilter hook. Only with "
        "agent.latencyMetrics.",
    ),
}


def families(counts: Mapping[str, Counts], devices: Names, functions: Names) -> Iterator[Metric]:
    """All metrics of what was counted.

    Args:
        counts: by probe, of those that are attached.
        devices: names of interrupt numbers.
        functions: names of slow timer functions.
    """
    everything = {key: one for each in counts.values() for key, one in each.histograms.items()}
    series = added_up(everything, devices)
    for kind, (name, label_names, says) in _HISTOGRAMS.items():
        family = HistogramMetricFamily(name, says, labels=label_names)
        for called, one in sorted(series.get(kind, {}).items()):
            family.add_metric(list(called), buckets(one), one.total * NS)
        yield family
    yield from _slow(everything, functions)
    yield from _own(counts)


def _slow(everything: Mapping[Key, Histogram], functions: Names) -> Iterator[Metric]:
    runs: dict[str, int] = {}
    longest: dict[str, int] = {}
    for key, one in everything.items():
        if is_slow(key, one):
            name = functions.of(key.id)
            runs[name] = runs.get(name, 0) + sum(one.slots[SLOW_BITS + 1 : SLOTS])
            longest[name] = max(longest.get(name, 0), one.maximum)
    slow = CounterMetricFamily(
        "numapin_node_slow_timer_runs",
        "Runs of timer callbacks that took 4.2 ms and more, during which nothing else ran on that "
        "CPU, by kernel function. Only with agent.latencyMetrics.",
        labels=("function",),
    )
    most = GaugeMetricFamily(
        "numapin_node_slow_timer_longest_seconds",
        "The longest run of a timer callback since the agent counts, of those in "
        "numapin_node_slow_timer_runs_total.",
        labels=("function",),
    )
    for name in sorted(runs):
        slow.add_metric([name], runs[name])
        most.add_metric([name], longest[name] * NS)
    yield from (slow, most)


def _own(counts: Mapping[str, Counts]) -> Iterator[Metric]:
    runs = CounterMetricFamily(
        "numapin_agent_latency_program_runs",
        "How often the kernel programs of agent.latencyMetrics ran: what they cost is this times "
        "what a run takes, see docs/performance.md.",
        labels=("probe",),
    )
    lost = CounterMetricFamily(
        "numapin_agent_latency_lost",
        "Events that the kernel programs of agent.latencyMetrics could not count: a table was "
        "full, or a program was already running on that CPU.",
        labels=("probe",),
    )
    for probe, one in counts.items():
        runs.add_metric([probe], one.runs)
        lost.add_metric([probe], one.lost)
    yield from (runs, lost)


def probe_up(asked: Iterable[str], counts: Mapping[str, Counts]) -> Metric:
    """Which probes count."""
    up = GaugeMetricFamily(
        "numapin_agent_latency_probe_up",
        "1 while the kernel programs of a probe of agent.latencyMetrics are attached; 0 until "
        "then, where this kernel refuses them, which the agent's log explains, and while programs "
        "that counted nothing for a minute, though the kernel always has softirqs, interrupts and "
        "timers, are attached anew.",
        labels=("probe",),
    )
    for probe in asked:
        up.add_metric([probe], float(probe in counts))
    return up


def function_names(lines: Iterable[str], addresses: Iterable[int]) -> dict[int, str]:
    """Names of functions that begin at these addresses.

    Args:
        lines: of /proc/kallsyms.
        addresses: as timers hold them.
    """
    wanted = {f"{address:016x}": address for address in addresses}
    found: dict[int, str] = {}
    for line in lines:
        address = wanted.get(line[:16])
        if address is not None and line[17:18].lower() in {"t", "w"}:
            found.setdefault(address, plain(" ".join(line[19:].split())))
    return found
