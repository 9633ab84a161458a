"""The agent's /metrics as the demo needs it: the counters of each pod.

The only module of the demo that knows the names of metrics.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from numapin_lab.demo.series import KERNEL, WHOLE_NODE, PodCounters

_FIELDS: Mapping[tuple[str, str | None], tuple[str, float]] = {
    ("numapin_pod_numa_migrated_pages_total", None): ("migrated_pages", 1),
    ("numapin_pod_cross_socket_numa_migrated_pages_total", None): (
        "cross_socket_migrated_pages",
        1,
    ),
    ("numapin_pod_numa_migration_seconds_total", None): ("migration_nanoseconds", 1e9),
    ("numapin_pod_hint_fault_pages_total", "local"): ("hint_fault_pages_local", 1),
    ("numapin_pod_hint_fault_pages_total", "remote"): ("hint_fault_pages_remote", 1),
    ("numapin_pod_cross_socket_task_migrations_total", None): ("cross_socket_task_migrations", 1),
}
"""Metric and its label ``locality`` to the field of PodCounters and the field's unit."""
_NODE_METRICS: Final = {
    "numapin_node_counted_migrated_pages_total": WHOLE_NODE,
    "numapin_node_numa_pages_migrated_total": KERNEL,
}


def read(text: str) -> Mapping[tuple[str, str], PodCounters]:
    """Counters by (namespace, name), and of WHOLE_NODE and KERNEL, of Prometheus' text format.

    Metrics of no use here are passed over; a pod without counters is left out.
    """
    pods: dict[tuple[str, str], dict[str, int]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in _NODE_METRICS:
                pods[_NODE_METRICS[sample.name]] = {"migrated_pages": round(sample.value)}
            known = _FIELDS.get((sample.name, sample.labels.get("locality")))
            if known is not None:
                field, unit = known
                pod = (sample.labels["namespace"], sample.labels["pod"])
                pods.setdefault(pod, {})[field] = round(sample.value * unit)
    return {pod: PodCounters(**counters) for pod, counters in pods.items()}
