"""What the Grafana dashboard shows: a table of panels, each a question and its queries.

Three views, from all to one: the cluster, the nodes chosen, the pods chosen; each shows what users
ask (is it pinned, what does it cost before and after, where does memory lie), and the last rows
whether the figures can be trusted. It only reads metrics that agent and operator have. How
Grafana wants it written is ``dashboard``'s.
"""

from dataclasses import dataclass
from typing import Final

_POD: Final = '{namespace=~"$namespace", pod=~"$pod"}'
_NODE: Final = '{instance=~"$node"}'
_PINNED: Final = "on (namespace, pod) (numapin_pod_pinned == 1)"


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph.

    Attributes:
        title: what it shows.
        unit: Grafana's name of the unit.
        about: how to read it.
        lines: expression and legend of each line.
    """

    title: str
    unit: str
    about: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A view.

    Attributes:
        title: its heading.
        panels: its graphs.
    """

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, *, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    buckets = _rate(f"{metric}_bucket", by="le")
    return tuple(
        (f"histogram_quantile({quantile}, {buckets})", name)
        for quantile, name in ((0.5, "p50"), (0.99, "p99"))
    )


def _before_and_after(rates: str, *, name: str = "") -> tuple[tuple[str, str], ...]:
    """A pod's line before it is pinned, and its line from then on.

    Args:
        rates: expression with a value for each namespace and pod.
        name: legend of each pod; without one, sums of all pods.
    """
    before, after = f"{rates} unless {_PINNED}", f"{rates} and {_PINNED}"
    if not name:
        return (f"sum({before})", "not pinned"), (f"sum({after})", "pinned")
    return (before, f"{name} before"), (after, f"{name} pinned")


def _milliseconds(metric: str) -> str:
    return f"1000 * {_rate(metric, by=_EACH)}"


_EACH: Final = "namespace, pod"
_NAME: Final = "{{namespace}}/{{pod}}"
_LOCAL: Final = _POD.replace("}", ', locality="local"}')
_TOTAL: Final = _POD.replace("}", ', state="total"}')
_DONE: Final = _POD.replace("}", ', state="done"}')
_MIGRATED: Final = "numapin_pod_numa_migrated_pages_total"
_TOOK: Final = "numapin_pod_numa_migration_seconds_total"
_MOVES: Final = "numapin_pod_node_pair_migrations_total"
_HINTS: Final = "numapin_pod_hint_fault_pages_total"
_SAMPLED: Final = "and on (namespace, pod) numapin_pod_threads > 1"
"""Of a pod with one thread the kernel samples remote pages only: its share says nothing."""
CLUSTER: Final = (
    Panel(
        "Pins by verdict",
        "short",
        "All but Verified, Observing and Pending want a look: kubectl get numapins -A.",
        (("sum by (verdict) (numapin_operator_pins)", "{{verdict}}"),),
    ),
    Panel(
        "Pods by socket they are pinned to",
        "short",
        "Where the operator has placed them.",
        (
            (
                "count by (instance, socket) (numapin_pod_pinned == 1)",
                "{{instance}} socket {{socket}}",
            ),
        ),
    ),
    Panel(
        "Pages migrated, all pods",
        "pps",
        "By the kernel's NUMA balancing. What is pinned should be about 0.",
        _before_and_after(_rate(_MIGRATED, by=_EACH)),
    ),
    Panel(
        "Page migrations, all pods",
        "cps",
        "Times that the kernel's NUMA balancing moved memory, however many pages each time.",
        _before_and_after(_rate(_MOVES, by=_EACH)),
    ),
    Panel(
        "Time spent in page migrations, all pods (ms a second)",
        "ms",
        "Of the pods' own threads, which wait meanwhile.",
        _before_and_after(_milliseconds(_TOOK)),
    ),
    Panel(
        "Local NUMA-hint faults, all pods",
        "percentunit",
        "Share of sampled pages that lay on the socket of the CPU that touched them, of pods with "
        "more than one thread.",
        (
            (
                f'sum(rate({_HINTS}{{locality="local"}}[$__rate_interval]) {_SAMPLED})'
                f" / sum(rate({_HINTS}[$__rate_interval]) {_SAMPLED})",
                "local",
            ),
        ),
    ),
    Panel(
        "Agents that count",
        "short",
        "Below the number of nodes: zeros of some pods mean nothing.",
        (
            ("sum(numapin_agent_tracer_alive)", "agents that count"),
            ("max(numapin_operator_nodes)", "nodes with an agent"),
        ),
    ),
)
NODE: Final = (
    Panel(
        "Memory of pods by socket",
        "bytes",
        "Where the memory of all pods lies; of CPU-less NUMA nodes the socket is empty.",
        (
            (
                f"sum by (instance, socket) (numapin_pod_memory_resident_bytes{_NODE}"
                " * on (instance, numa_node) group_left (socket)"
                f" (numapin_node_memory_bytes{_NODE} > bool 0))",
                "{{instance}} socket {{socket}}",
            ),
        ),
    ),
    Panel(
        "Memory left by socket",
        "bytes",
        "What a pod that is pinned there can still have.",
        (
            (
                f"sum by (instance, socket) (numapin_node_memory_available_bytes{_NODE})",
                "{{instance}} socket {{socket}}",
            ),
        ),
    ),
    Panel(
        "Pods pinned, by socket",
        "short",
        "Written and read back.",
        (
            (
                f"count by (instance, socket) (numapin_pod_pinned{_NODE} == 1)",
                "{{instance}} socket {{socket}}",
            ),
        ),
    ),
    Panel(
        "Pages migrated on the node: counted, and by /proc/vmstat",
        "pps",
        "The two must agree, or the counters can't be trusted.",
        (
            (_rate(f"numapin_node_counted_migrated_pages_total{_NODE}", by="instance"), "counted"),
            (_rate(f"numapin_node_numa_pages_migrated_total{_NODE}", by="instance"), "vmstat"),
        ),
    ),
    Panel(
        "Programs in the kernel that count",
        "short",
        "0: what that program counts means nothing; it is loaded anew.",
        (
            (
                f"min by (instance, program) (numapin_agent_program_alive{_NODE})",
                "{{program}} {{instance}}",
            ),
        ),
    ),
    Panel(
        "Events lost, standstill, errors of agents",
        "cps",
        "All should be 0; of standstill, seconds a second. Pairs: counted, but not for their NUMA "
        "nodes. Alarms: of kswapd, by which the memory guard is woken.",
        (
            (
                _rate(f"numapin_agent_tracer_lost_total{_NODE}", by="instance"),
                "lost on {{instance}}",
            ),
            (
                _rate(f"numapin_agent_tracer_lost_pairs_total{_NODE}", by="instance"),
                "pairs lost on {{instance}}",
            ),
            (
                _rate(f"numapin_agent_memory_alarms_lost_total{_NODE}", by="instance"),
                "alarms lost on {{instance}}",
            ),
            (
                _rate(f"numapin_agent_stalled_seconds_total{_NODE}", by="instance"),
                "standstill {{instance}}",
            ),
            (_rate(f"numapin_agent_errors_total{_NODE}", by="kind"), "{{kind}}"),
        ),
    ),
)
POD: Final = (
    Panel(
        "Pages migrated before and after pinning",
        "pps",
        "By the kernel's NUMA balancing; about 0 from the pin on.",
        _before_and_after(_rate(f"{_MIGRATED}{_POD}", by=_EACH), name=_NAME),
    ),
    Panel(
        "Page migrations before and after pinning",
        "cps",
        "Times that memory of the pod was moved, however many pages each time.",
        _before_and_after(_rate(f"{_MOVES}{_POD}", by=_EACH), name=_NAME),
    ),
    Panel(
        "Time spent in page migrations before and after pinning (ms a second)",
        "ms",
        "Of the pod's own threads, which wait meanwhile.",
        _before_and_after(_milliseconds(f"{_TOOK}{_POD}"), name=_NAME),
    ),
    Panel(
        "Pages migrated to the other socket",
        "pps",
        "Of those; about 0 for a pinned pod.",
        (
            (
                _rate(f"numapin_pod_cross_socket_numa_migrated_pages_total{_POD}", by=_EACH),
                _NAME,
            ),
        ),
    ),
    Panel(
        "Local NUMA-hint faults",
        "percentunit",
        "Share of sampled pages that lay on the socket of the CPU that touched them. Gaps are "
        "no fault: kernels from 6.16 do not sample a pod on one NUMA node, and of a pod with one "
        "thread the share says nothing.",
        (
            (
                f"({_rate(f'{_HINTS}{_LOCAL}', by=_EACH)}"
                f" / {_rate(f'{_HINTS}{_POD}', by=_EACH)}) {_SAMPLED}",
                _NAME,
            ),
        ),
    ),
    Panel(
        "Threads moved to the other socket",
        "cps",
        "By the scheduler; 0 for a pinned pod.",
        (
            (
                _rate(f"numapin_pod_cross_socket_task_migrations_total{_POD}", by=_EACH),
                _NAME,
            ),
        ),
    ),
    Panel(
        "Memory by socket",
        "bytes",
        "Where each pod's memory lies.",
        (
            (
                f"sum by ({_EACH}, socket) (numapin_pod_memory_resident_bytes{_POD}"
                " * on (instance, numa_node) group_left (socket)"
                " (numapin_node_memory_bytes > bool 0))",
                f"{_NAME} on {{{{socket}}}}",
            ),
        ),
    ),
    Panel(
        "Pinned pods",
        "short",
        "1: the cpuset is what the NumaPin asks for, written and read back.",
        ((f"max by ({_EACH}, socket) (numapin_pod_pinned{_POD})", f"{_NAME} to {{{{socket}}}}"),),
    ),
    Panel(
        "Memory still to be moved",
        "bytes",
        "While a running pod is being pinned.",
        (
            (
                f"sum by ({_EACH}) (numapin_pod_moving_bytes{_TOTAL})"
                f" - sum by ({_EACH}) (numapin_pod_moving_bytes{_DONE})",
                _NAME,
            ),
        ),
    ),
    Panel(
        "Cpusets changed by somebody else",
        "short",
        "Times in an hour; each was put back.",
        ((f"sum by ({_EACH}) (increase(numapin_pod_cpuset_drifts_total{_POD}[1h]))", _NAME),),
    ),
)
PROGRAMS: Final = (
    Panel(
        "New pod's cgroup made until pinned",
        "s",
        "Of pods whose NumaPin was there in time.",
        _quantiles("numapin_agent_pin_latency_seconds"),
    ),
    Panel(
        "Pod event until NumaPin",
        "s",
        "How long the operator takes.",
        _quantiles("numapin_operator_pod_event_to_pin_seconds"),
    ),
    Panel(
        "Operator: writes, errors, missed events",
        "cps",
        "Errors and missed events should be 0.",
        (
            (_rate("numapin_operator_api_writes_total", by="what"), "writes {{what}}"),
            (_rate("numapin_operator_errors_total", by="where"), "errors {{where}}"),
            (_rate("numapin_operator_missed_events_total", by="kind"), "missed {{kind}}"),
        ),
    ),
)
ROWS: Final = (
    Row("Cluster", CLUSTER),
    Row("Node", NODE),
    Row("Pod", POD),
    Row("Agents and operator", PROGRAMS),
)
PANELS: Final = tuple(panel for row in ROWS for panel in row.panels)
VARIABLES: Final = (
    ("node", "Node", "numapin_node_memory_bytes", "instance"),
    ("namespace", "Namespace", "numapin_pod_memory_resident_bytes", "namespace"),
    ("pod", "Pod", 'numapin_pod_memory_resident_bytes{namespace=~"$namespace"}', "pod"),
)
"""Name, title, and the series and label that its values are taken from."""
