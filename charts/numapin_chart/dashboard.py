"""The Grafana dashboard, from a table of panels: thousands of lines of JSON nobody has to review.

It shows first what users ask (is it pinned, what does it cost, where does memory lie), then
whether the figures can be trusted. It only reads metrics that agent and operator have.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_POD: Final = '{namespace=~"$namespace", pod=~"$pod"}'
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


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


def _rate(metric: str, *, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    buckets = _rate(f"{metric}_bucket", by="le")
    return tuple(
        (f"histogram_quantile({quantile}, {buckets})", name)
        for quantile, name in ((0.5, "p50"), (0.99, "p99"))
    )


_EACH: Final = "namespace, pod"
_LOCAL: Final = _POD.replace("}", ', locality="local"}')
PANELS: Final = (
    Panel(
        "Pins by verdict",
        "short",
        "All but Verified, Observing and Pending want a look: kubectl get numapins -A.",
        (("sum by (verdict) (numapin_operator_pins)", "{{verdict}}"),),
    ),
    Panel(
        "Pinned pods",
        "short",
        "1: the cpuset is what the NumaPin asks for, written and read back.",
        ((f"max by ({_EACH}, socket) (numapin_pod_pinned{_POD})", "{{namespace}}/{{pod}}"),),
    ),
    Panel(
        "Pages migrated to the other socket",
        "pps",
        "By the kernel's NUMA balancing; about 0 for a pinned pod.",
        (
            (
                _rate(f"numapin_pod_cross_socket_numa_migrated_pages_total{_POD}", by=_EACH),
                "{{namespace}}/{{pod}}",
            ),
        ),
    ),
    Panel(
        "Time spent in page migrations",
        "percentunit",
        "Share of one CPU that the pod's threads spend moving pages.",
        (
            (
                _rate(f"numapin_pod_numa_migration_seconds_total{_POD}", by=_EACH),
                "{{namespace}}/{{pod}}",
            ),
        ),
    ),
    Panel(
        "Local NUMA-hint faults",
        "percentunit",
        "Share of sampled pages that lay on the socket of the CPU that touched them. Gaps are "
        "no fault: kernels from 6.16 do not sample a pod on one NUMA node.",
        (
            (
                _rate(f"numapin_pod_hint_fault_pages_total{_LOCAL}", by=_EACH)
                + " / "
                + _rate(f"numapin_pod_hint_fault_pages_total{_POD}", by=_EACH),
                "{{namespace}}/{{pod}}",
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
                "{{namespace}}/{{pod}}",
            ),
        ),
    ),
    Panel(
        "Memory by NUMA node",
        "bytes",
        "Where each pod's memory lies.",
        (
            (
                f"sum by ({_EACH}, numa_node) (numapin_pod_memory_resident_bytes{_POD})",
                "{{namespace}}/{{pod}} on {{numa_node}}",
            ),
        ),
    ),
    Panel(
        "Memory still to be moved",
        "bytes",
        "While a running pod is being pinned.",
        (
            (
                f'sum by ({_EACH}) (numapin_pod_moving_bytes{{state="total"}})'
                f' - sum by ({_EACH}) (numapin_pod_moving_bytes{{state="done"}})',
                "{{namespace}}/{{pod}}",
            ),
        ),
    ),
    Panel(
        "New pod's cgroup made until pinned",
        "s",
        "Of pods whose NumaPin was there in time.",
        _quantiles("numapin_agent_pin_latency_seconds"),
    ),
    Panel(
        "Pages migrated on the node: counted, and by /proc/vmstat",
        "pps",
        "The two must agree, or the counters can't be trusted.",
        (
            (_rate("numapin_node_counted_migrated_pages_total", by="instance"), "counted"),
            (_rate("numapin_node_numa_pages_migrated_total", by="instance"), "vmstat"),
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
    Panel(
        "Events lost, errors of agents",
        "cps",
        "Both should be 0.",
        (
            (_rate("numapin_agent_tracer_lost_total", by="instance"), "lost on {{instance}}"),
            (_rate("numapin_agent_errors_total", by="kind"), "{{kind}}"),
        ),
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


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "right", "calcs": ["last"]}},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": _DATASOURCE, "expr": e, "legendFormat": name}
            for n, (e, name) in enumerate(panel.lines)
        ],
    }


def _variable(name: str, label: str) -> dict[str, Any]:
    where = "" if name == "namespace" else '{namespace=~"$namespace"}'
    query = f"label_values(numapin_pod_memory_resident_bytes{where}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": "A"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    datasource = {"name": "datasource", "label": "Data source", "type": "datasource"}
    return {
        "uid": "numapin",
        "title": "numapin",
        "tags": ["numapin"],
        "schemaVersion": 39,
        "version": 1,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [
                {**datasource, "query": "prometheus"},
                _variable("namespace", "Namespace"),
                _variable("pod", "Pod"),
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def text() -> str:
    """The file of the dashboard."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
