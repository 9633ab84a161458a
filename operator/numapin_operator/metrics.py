"""All metrics of the operator; units are in their names.

Nothing here is a gauge that somebody must remember to lower: counts of pins are taken from
the store when they are scraped.
"""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from numapin_operator.store import Store

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class StoreCollector(Collector):
    """Counts of what the store holds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by prometheus_client at each scrape, in its own thread."""
        # list() copies in one step under the interpreter lock; the event loop goes on.
        pins = list(self._store.pins.values())
        by_verdict = GaugeMetricFamily(
            "numapin_operator_pins", "NumaPins by verdict.", labels=["verdict"]
        )
        for verdict, count in sorted(Tally(p.verdict or "None" for p in pins).items()):
            by_verdict.add_metric([verdict], count)
        yield by_verdict
        yield GaugeMetricFamily(
            "numapin_operator_pods", "Opted-in pods known.", value=len(self._store.pods)
        )
        yield GaugeMetricFamily(
            "numapin_operator_nodes", "Nodes with an agent.", value=len(self._store.nodes)
        )


class Metrics:
    """The metrics that code counts itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.reconcile_seconds = Histogram(
            "numapin_operator_reconcile_seconds",
            "Time to reconcile one pod or policy.",
            registry=registry,
            buckets=_LATENCIES,
        )
        self.pod_to_pin_seconds = Histogram(
            "numapin_operator_pod_event_to_pin_seconds",
            "From a pod event to the NumaPin that it makes.",
            registry=registry,
            buckets=_LATENCIES,
        )
        self.held_back = Counter(
            "numapin_operator_held_back_total",
            "Looks at pods that were put off because the pod had been written too often.",
            registry=registry,
        )
        self.moves = Counter(
            "numapin_operator_moves",
            "Pinned pods that were moved to another socket, by reason.",
            ["reason"],
            registry=registry,
        )
        self.writes = Counter(
            "numapin_operator_api_writes", "Writes to the API.", ["what"], registry=registry
        )
        self.errors = Counter(
            "numapin_operator_errors",
            "Errors, by where they were caught.",
            ["where"],
            registry=registry,
        )
        self.missed = Counter(
            "numapin_operator_missed_events",
            "Objects that a LIST knew better than the watch.",
            ["kind"],
            registry=registry,
        )
