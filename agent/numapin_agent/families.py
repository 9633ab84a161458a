"""More metrics of the agent: per pair of NUMA nodes, of a pod's memory, by names of old.

Beside ``metrics``, which has those that a pin is judged by. Everything is handed in.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, Metric

from numapin_agent.cgroup.activity import Activity
from numapin_agent.counters.pairs import Pairs
from numapin_agent.exposition import Rows
from numapin_agent.scraped import NumaMoves

POD = ("namespace", "pod")
NS, US = 1e-9, 1e-6


class Pod(Protocol):
    """What is said here of one pod; ``metrics.PodFigures`` is one such."""

    @property
    def namespace(self) -> str:
        """The pod's namespace."""

    @property
    def name(self) -> str:
        """The pod's name."""

    @property
    def pairs(self) -> Pairs:
        """What was counted between each two NUMA nodes."""

    @property
    def activity(self) -> Activity | None:
        """What its memory went through; None without a pin."""

    @property
    def huge_pages(self) -> Mapping[int, int]:
        """Bytes of hugetlbfs per NUMA node."""


def pair_families(pods: Iterable[Pod]) -> Iterator[Metric]:
    """Per pod and pair of NUMA nodes, for the pairs that had an event."""
    move = (*POD, "from_numa_node", "to_numa_node")
    migrations = Rows(
        "numapin_pod_node_pair_migrations",
        "Times that NUMA balancing moved memory of the pod from one NUMA node to another. The "
        "source is unknown where there are more than two nodes and the kernel does not tell.",
        "counter",
        labels=move,
    )
    pages = Rows(
        "numapin_pod_node_pair_migrated_pages",
        "Pages of the same; a huge page counts as the pages it is made of.",
        "counter",
        labels=move,
    )
    took = Rows(
        "numapin_pod_node_pair_migration_seconds",
        "Time that the pod's threads spent on the same, in seconds.",
        "counter",
        labels=move,
    )
    faults = Rows(
        "numapin_pod_node_pair_hint_fault_pages",
        "Pages of NUMA-hinting faults by the NUMA node of the CPU that touched them and the one "
        "that they lay on.",
        "counter",
        labels=(*POD, "cpu_numa_node", "memory_numa_node"),
    )
    for pod in pods:
        for (one, other), counts in pod.pairs.items():
            key = (pod.namespace, pod.name, _node(one), _node(other))
            if counts.migrations or counts.migration_nanoseconds:
                migrations.add(*key, counts.migrations)
                pages.add(*key, counts.migrated_pages)
                took.add(*key, counts.migration_nanoseconds * NS)
            if counts.hint_fault_pages:
                faults.add(*key, counts.hint_fault_pages)
    yield from (migrations, pages, took, faults)


def _node(node: int | None) -> str | int:
    return "unknown" if node is None else node


def activity_families(pods: Iterable[Pod]) -> Iterator[Metric]:
    """What the memory controller counts, for pods that have a NumaPin."""
    faults = Rows(
        "numapin_pod_page_faults",
        "Page faults of the pod (memory.stat pgfault). Only pods that have a NumaPin.",
        "counter",
        labels=POD,
    )
    major = Rows(
        "numapin_pod_major_page_faults",
        "Of these, faults that waited for a disk (pgmajfault).",
        "counter",
        labels=POD,
    )
    refaults = Rows(
        "numapin_pod_workingset_refault_pages",
        "Pages that were read again shortly after they had been reclaimed, by what they are: file "
        "or anon. Grows when one socket's memory is too small for the pod's page cache. Only pods "
        "that have a NumaPin.",
        "counter",
        labels=(*POD, "memory"),
    )
    hints = Rows(
        "numapin_pod_kernel_hint_faults",
        "numa_hint_faults of memory.stat: the kernel's own count of the pod's NUMA-hinting "
        "faults, in kernels from 6.12. Only pods that have a NumaPin.",
        "counter",
        labels=POD,
    )
    stalls = Rows(
        "numapin_pod_memory_stall_seconds",
        "Time in which tasks of the pod waited for memory (memory.pressure): at least one of them "
        "(some), or all that could have run (full). Only pods that have a NumaPin.",
        "counter",
        labels=(*POD, "tasks"),
    )
    huge = Rows(
        "numapin_pod_huge_pages_resident_bytes",
        "Of numapin_pod_memory_resident_bytes, huge pages of hugetlbfs.",
        "gauge",
        labels=(*POD, "numa_node"),
    )
    for pod in pods:
        key = (pod.namespace, pod.name)
        for node, size in pod.huge_pages.items():
            huge.add(*key, node, size)
        found = pod.activity
        if found is None:
            continue
        for family, labels, count, unit in (
            (faults, (), found.page_faults, 1),
            (major, (), found.major_page_faults, 1),
            (refaults, ("anon",), found.refaulted_anon, 1),
            (refaults, ("file",), found.refaulted_file, 1),
            (hints, (), found.hint_faults, 1),
            (stalls, ("some",), found.stalled_some, US),
            (stalls, ("full",), found.stalled_full, US),
        ):
            if count is not None:
                family.add(*key, *labels, count * unit)
    yield from (faults, major, refaults, hints, stalls, huge)


def compatibility_families(moves: NumaMoves) -> Iterator[Metric]:
    """The two names that dashboards made for an eBPF exporter ask for."""
    yield CounterMetricFamily(
        "ebpf_exporter_numa_move",
        "Migrations by NUMA balancing in all cgroups of the node that moved at least one page. "
        "For dashboards made before numapin; others use numapin_pod_node_pair_migrations_total.",
        value=moves.count,
    )
    yield CounterMetricFamily(
        "ebpf_exporter_numa_latency",
        "Milliseconds spent on them, as numamove prints. For dashboards made before numapin; "
        "others use numapin_pod_numa_migration_seconds_total.",
        value=moves.nanoseconds * NS * 1000,
    )
