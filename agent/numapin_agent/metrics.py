"""Every metric of the agent, declared in one place.

Per-pod figures are read from the kernel when Prometheus asks, so that a scrape each second
shows each second; what the agent does itself is counted as it happens. Labels are bounded
by the pods of one node: namespace and name, never the UID. It keeps no global state: each
agent has a registry of its own.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from numapin_agent.counters.pmu.metrics import dram_families
from numapin_agent.exposition import Rows
from numapin_agent.families import (
    activity_families,
    compatibility_families,
    pair_families,
)
from numapin_agent.glance import glance_families
from numapin_agent.scraped import MemoryFigures, NodeFigures, PodFigures

POD = ("namespace", "pod")
NS = 1e-9


class Meters:
    """What the agent counts about itself.

    Args:
        registry: where the metrics are registered.
        started: Unix time of the agent's start.
    """

    def __init__(self, registry: CollectorRegistry, *, started: float | None = None) -> None:
        self._started = Gauge(
            "numapin_agent_start_time_seconds",
            "Unix time at which the agent was started. Pins outlive it, its counters do not.",
            registry=registry,
        )
        self._started.set(time.time() if started is None else started)
        self._passes = Histogram(
            "numapin_agent_reconcile_seconds",
            "Time of one look at one pod or at the whole node (tick) in the reconcile loop.",
            registry=registry,
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
        )
        self._errors = Counter(
            "numapin_agent_errors",
            "Errors by kind; InternalError is a bug in the agent, with a traceback in its log.",
            ("kind",),
            registry=registry,
        )
        self._latency = Histogram(
            "numapin_agent_pin_latency_seconds",
            "From the moment the kernel told the agent of a new pod's cgroup until the cgroup's "
            "cpuset was written and read back. Only pods whose NumaPin was there in time.",
            registry=registry,
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
        )

        self._traces = Counter(
            "numapin_agent_traces",
            "NumaTraces that came to an end, by phase: Done, Failed, Refused.",
            ("phase",),
            registry=registry,
        )

    def pass_took(self, seconds: float) -> None:
        """One look at one pod took that long."""
        self._passes.observe(seconds)

    def error(self, kind: str) -> None:
        """Something failed; kind is a condition reason."""
        self._errors.labels(kind).inc()

    def trace_ended(self, phase: str) -> None:
        """A NumaTrace has an answer, or never will."""
        self._traces.labels(phase).inc()

    def pinned_after(self, seconds: float) -> None:
        """A new pod was pinned that long after its cgroup appeared."""
        self._latency.observe(seconds)


class Figures(Collector):
    """Reads pods and node when asked.

    Args:
        pods: reads all pods of the node, now.
        node: reads the node, now.
    """

    def __init__(
        self, *, pods: Callable[[], Iterable[PodFigures]], node: Callable[[], NodeFigures]
    ) -> None:
        self._pods = pods
        self._node = node

    def describe(self) -> Iterable[Metric]:
        """No sample is needed to register."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, from one reading."""
        pods = tuple(self._pods())
        yield from pod_families(pods)
        yield from glance_families(pods)
        yield from pair_families(pods)
        yield from activity_families(pods)
        yield from dram_families((p.namespace, p.name, p.totals) for p in pods)
        yield from node_families(self._node())


def pod_families(pods: Iterable[PodFigures]) -> Iterator[Metric]:
    """Per-pod metrics, for every pod of the node, pinned or not.

    What is not counted there has no sample: 0 would say that it was, and that nothing happened.
    """
    migrated = Rows(
        "numapin_pod_numa_migrated_pages",
        "Pages of the pod that the kernel's NUMA balancing moved to another NUMA node. Grows "
        "while threads and memory chase each other; about 0 once the pod is pinned. A container "
        "that came and went between two looks at its pod, a minute apart at most, is only in "
        "numapin_node_counted_migrated_pages_total.",
        "counter",
        labels=POD,
    )
    crossed = Rows(
        "numapin_pod_cross_socket_numa_migrated_pages",
        "Of numapin_pod_numa_migrated_pages_total, pages that went to another socket. Absent where "
        "signal numaMigrations is not had, or from cgroup files, which do not tell.",
        "counter",
        labels=POD,
    )
    took = Rows(
        "numapin_pod_numa_migration_seconds",
        "Time that the pod's threads spent in NUMA-balancing page migrations, in seconds. Absent "
        "as numapin_pod_cross_socket_numa_migrated_pages_total is.",
        "counter",
        labels=POD,
    )
    hints = Rows(
        "numapin_pod_hint_fault_pages",
        "Pages of NUMA-hinting faults by locality: local means that the page lay on the socket "
        "of the CPU that touched it. Absent faults are no proof of locality: kernels from 6.16 "
        "do not scan a pod that is confined to one NUMA node. Without samples where signal "
        "hintFaults is not had, or from cgroup files, which do not tell local from remote.",
        "counter",
        labels=(*POD, "locality"),
    )
    tasks = Rows(
        "numapin_pod_cross_socket_task_migrations",
        "Times that the scheduler moved a thread of the pod to a CPU of another socket.",
        "counter",
        labels=POD,
    )
    memory = Rows(
        "numapin_pod_memory_resident_bytes",
        "Memory of the pod by the NUMA node that it lies on: anonymous, file and kernel memory, "
        "each page once (memory.numa_stat), and huge pages of hugetlbfs.",
        "gauge",
        labels=(*POD, "numa_node"),
    )
    moved = Rows(
        "numapin_pod_pin_moved_pages",
        "Pages that numapin itself moved to the pod's socket before it bound the pod's memory "
        "there. What the kernel moved then, of a small pod all, is in "
        "numapin_pod_cpuset_moved_pages_total; neither is part of "
        "numapin_pod_numa_migrated_pages_total.",
        "counter",
        labels=POD,
    )
    bound = Rows(
        "numapin_pod_cpuset_moved_pages",
        "Pages of the pod that the kernel moved as cpuset.mems was written: by numapin, which "
        "binds the pod's memory to its socket that way, or by somebody else.",
        "counter",
        labels=POD,
    )
    calls = Rows(
        "numapin_pod_syscall_moved_pages",
        "Pages that system calls of the pod's own processes moved between NUMA nodes "
        "(move_pages, migrate_pages, mbind); neither NUMA balancing's nor numapin's.",
        "counter",
        labels=POD,
    )
    skips = Rows(
        "numapin_pod_scanner_skips",
        "Times that the kernel's NUMA scanner left a thread of the pod alone because it may use "
        "one NUMA node only. Kernels before 6.16 never do.",
        "counter",
        labels=POD,
    )
    pinned = Rows(
        "numapin_pod_pinned",
        "1 when the pod's cpuset is what its NumaPin asks for, written and read back; 0 while it "
        "is not (waiting, moving, refused, observing). Only pods that have a NumaPin.",
        "gauge",
        labels=(*POD, "socket"),
    )
    done = Rows(
        "numapin_pod_moving_bytes",
        "Progress of moving a running pod's memory to its socket: state done or total. Only "
        "while it is going on.",
        "gauge",
        labels=(*POD, "state"),
    )
    drifts = Rows(
        "numapin_pod_cpuset_drifts",
        "Times that the agent found somebody else's cpuset on the pod and put its own back. Only "
        "pods that have a NumaPin.",
        "counter",
        labels=POD,
    )
    for pod in pods:
        key = (pod.namespace, pod.name)
        if pod.totals is not None:
            t = pod.totals
            for family, labels, name, value in (
                (migrated, (), "migrated_pages", t.migrated_pages),
                (crossed, (), "cross_socket_migrated_pages", t.cross_socket_migrated_pages),
                (took, (), "migration_nanoseconds", t.migration_nanoseconds * NS),
                (hints, ("local",), "hint_fault_pages_local", t.hint_fault_pages_local),
                (hints, ("remote",), "hint_fault_pages_remote", t.hint_fault_pages_remote),
                (tasks, (), "cross_socket_task_migrations", t.cross_socket_task_migrations),
                (bound, (), "pin_moved_pages", t.pin_moved_pages),
                (calls, (), "syscall_moved_pages", t.syscall_moved_pages),
                (skips, (), "scanner_skips", t.scanner_skips),
            ):
                if name in pod.counted:
                    family.add(*key, *labels, value)
        for node, size in pod.memory.items():
            memory.add(*key, node, size)
        if pod.moved_pages is not None:
            moved.add(*key, pod.moved_pages)
        if pod.pinned is not None:
            pinned.add(*key, "" if pod.socket is None else pod.socket, float(pod.pinned))
        if pod.drifts is not None:
            drifts.add(*key, pod.drifts)
        if pod.moving is not None:
            done.add(*key, "done", pod.moving[0])
            done.add(*key, "total", pod.moving[1])
    yield from (migrated, crossed, took, hints, tasks, calls, skips)
    yield from (memory, moved, bound, pinned, done, drifts)


def node_families(node: NodeFigures) -> Iterator[Metric]:
    """Metrics of the node and of the agent's own health."""
    if node.pages_migrated is not None:
        family = CounterMetricFamily(
            "numapin_node_numa_pages_migrated",
            "numa_pages_migrated of /proc/vmstat: the kernel's own count of pages that NUMA "
            "balancing moved, for the whole node since boot. Its growth and that of "
            "numapin_node_counted_migrated_pages_total, where there is one, must agree.",
        )
        family.add_metric([], node.pages_migrated)
        yield family
    if node.pages_counted is not None:
        family = CounterMetricFamily(
            "numapin_node_counted_migrated_pages",
            "Pages that NUMA balancing moved in all cgroups of the node, pods or not, as counted "
            "by this agent since it started to count. Absent where signal numaMigrations is not "
            "had, or from cgroup files, which are read of pods only.",
        )
        family.add_metric([], node.pages_counted)
        yield family
    yield from memory_families(node.memory)
    levels = GaugeMetricFamily(
        "numapin_agent_signal_level",
        "How a kernel signal is had, 1 for the level in force: fentry, kprobe, rawTracepoint, "
        "perfEvent, cgroup, or none.",
        labels=("signal", "level"),
    )
    for signal in node.signals:
        levels.add_metric([signal.name, signal.level], 1)
    yield levels
    if node.tracer_alive is not None:
        yield GaugeMetricFamily(
            "numapin_agent_tracer_alive",
            "1 while the kernel programs count; 0 when zeros of the pod counters mean nothing.",
            value=float(node.tracer_alive),
        )
    yield from tracer_families(node)
    if node.compatibility is not None:
        yield from compatibility_families(node.compatibility)
    yield GaugeMetricFamily(
        "numapin_agent_loop_silent_seconds",
        "Since the reconcile loop last showed a sign of life; /healthz fails when it is long.",
        value=node.loop_silent_seconds,
    )
    yield GaugeMetricFamily(
        "numapin_agent_api_writes_pending",
        "Writes to the API server that are due and not done yet.",
        value=node.writes_pending,
    )


def memory_families(memory: Iterable[MemoryFigures]) -> Iterator[Metric]:
    """How much room the NUMA nodes have, by socket."""
    labels = ("numa_node", "socket")
    total = GaugeMetricFamily(
        "numapin_node_memory_bytes",
        "Memory of a NUMA node; socket is empty for one without CPUs of its own.",
        labels=labels,
    )
    available = GaugeMetricFamily(
        "numapin_node_memory_available_bytes",
        "Memory of a NUMA node that can be had without swapping, reckoned as the kernel reckons "
        "MemAvailable. A pod that is pinned to a socket has no other.",
        labels=labels,
    )
    for one in memory:
        key = [str(one.node), "" if one.socket is None else str(one.socket)]
        total.add_metric(key, one.total)
        if one.available is not None:
            available.add_metric(key, one.available)
    yield from (total, available)


def tracer_families(node: NodeFigures) -> Iterator[Metric]:
    """Whether the counters can be trusted."""
    if node.lost is not None:
        yield CounterMetricFamily(
            "numapin_agent_tracer_lost",
            "Events that the kernel programs could not count: a table was full, a CPU had only "
            "just come, or a program was already running on that CPU.",
            value=node.lost,
        )
    if node.lost_pairs is not None:
        yield CounterMetricFamily(
            "numapin_agent_tracer_lost_pairs",
            "Events that were counted for their pod, but not for their pair of NUMA nodes, since "
            "the table of pairs was full.",
            value=node.lost_pairs,
        )
    if node.lost_alarms is not None:
        yield CounterMetricFamily(
            "numapin_agent_memory_alarms_lost",
            "Times that the kernel woke kswapd while pods were to be guarded and the ring that "
            "tells the agent of it was full. The guard looked all the same, but late. Absent "
            "where the kernel can't be heard.",
            value=node.lost_alarms,
        )
    alive = GaugeMetricFamily(
        "numapin_agent_program_alive",
        "1 while a program in the kernel counts, 0 when it is detached or blind and what it "
        "counts for this signal means nothing.",
        labels=("signal", "program"),
    )
    for signal, program, counts in node.programs:
        alive.add_metric([signal, program], float(counts))
    yield alive
    if node.counting_since is not None:
        yield GaugeMetricFamily(
            "numapin_agent_counting_since_timestamp_seconds",
            "Unix time since which the pod counters have no gap. Later than before: the agent was "
            "started or its programs were loaded anew, and no window spans that moment.",
            value=node.counting_since,
        )
    yield CounterMetricFamily(
        "numapin_agent_tracer_reloads",
        "Times that the kernel programs were loaded anew because some no longer counted.",
        value=node.reloads,
    )
    yield CounterMetricFamily(
        "numapin_agent_stalled_seconds",
        "How long the agent stood still, in all, counting only times of 5 s and more. The kernel "
        "counts on meanwhile; pins are not looked after.",
        value=node.stalled_seconds,
    )
