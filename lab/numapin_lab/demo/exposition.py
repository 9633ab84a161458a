"""The agent's /metrics as the demo needs it: counters of each pod and of the node.

The only module of the demo that knows the names of metrics.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from numapin_lab.demo.series import PodCounters

POD_COUNTERS: Mapping[str, str] = {
    "numapin_pod_numa_migrated_pages_total": "migrated_pages",
    "numapin_pod_numa_cross_socket_migrated_pages_total": "cross_socket_migrated_pages",
    "numapin_pod_numa_migration_nanoseconds_total": "migration_nanoseconds",
    "numapin_pod_numa_hint_fault_pages_local_total": "hint_fault_pages_local",
    "numapin_pod_numa_hint_fault_pages_remote_total": "hint_fault_pages_remote",
    "numapin_pod_cross_socket_task_migrations_total": "cross_socket_task_migrations",
}
"""Metric to field of :class:`PodCounters`; labels are ``namespace`` and ``pod``."""
NODE_PAGES = "ebpf_exporter_numa_move_total"
"""Pages that NUMA balancing moved, over all cgroups of the node."""


@dataclass(frozen=True, slots=True)
class AgentReading:
    """One scrape.

    Attributes:
        pods: counters by (namespace, name).
        node_pages: pages migrated over all cgroups; None when the agent has no such counter.
    """

    pods: Mapping[tuple[str, str], PodCounters]
    node_pages: int | None


def read(text: str) -> AgentReading:
    """Parse an exposition in Prometheus' text format; unknown metrics are passed over."""
    pods: dict[tuple[str, str], dict[str, int]] = {}
    node_pages: int | None = None
    for name, labels, value in _samples(text):
        if name == NODE_PAGES:
            node_pages = (node_pages or 0) + int(value)
        elif field := POD_COUNTERS.get(name):
            pod = (labels.get("namespace", ""), labels.get("pod", ""))
            counters = pods.setdefault(pod, {})
            counters[field] = counters.get(field, 0) + int(value)
    return AgentReading({pod: PodCounters(**c) for pod, c in pods.items()}, node_pages)


def _samples(text: str) -> Iterable[tuple[str, Mapping[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
