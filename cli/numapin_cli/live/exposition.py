"""An agent's /metrics as values. The only module here that knows names of metrics.

A metric that an older agent lacks leaves its field empty; what is of no use here is passed
over before it is parsed, since that is what costs time.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from numapin_cli.live.values import (
    AgentReading,
    Counts,
    Key,
    NodePair,
    PairCounts,
    PodReading,
)

_COUNTS: Final[Mapping[tuple[str, str | None], str]] = {
    ("numapin_pod_numa_migrated_pages_total", None): "pages",
    ("numapin_pod_cross_socket_numa_migrated_pages_total", None): "cross_pages",
    ("numapin_pod_numa_migration_seconds_total", None): "seconds",
    ("numapin_pod_hint_fault_pages_total", "local"): "hint_local",
    ("numapin_pod_hint_fault_pages_total", "remote"): "hint_remote",
    ("numapin_pod_cross_socket_task_migrations_total", None): "tasks",
}
"""Metric and its label ``locality`` to the field of Counts."""
_CPU: Final = "numapin_pod_cpu_seconds_total"
_MOVE: Final = ("from_numa_node", "to_numa_node")
_PAIRS: Final[Mapping[str, tuple[str, tuple[str, str]]]] = {
    "numapin_pod_node_pair_migrated_pages_total": ("pages", _MOVE),
    "numapin_pod_node_pair_migration_seconds_total": ("seconds", _MOVE),
    # A page is drawn from where it lies to the CPU that touches it.
    "numapin_pod_node_pair_hint_fault_pages_total": (
        "hint_pages",
        ("memory_numa_node", "cpu_numa_node"),
    ),
}
"""Metric to the field of PairCounts and the labels of the nodes, from and to."""
_ALIVE: Final = "numapin_agent_tracer_alive"
_LOST: Final = "numapin_agent_tracer_lost_total"
_SINCE: Final = "numapin_agent_counting_since_timestamp_seconds"
_WANTED: Final = ("numapin_pod_", _ALIVE, _LOST, _SINCE)


@dataclass(slots=True)
class _Pod:
    """A pod while its samples come in."""

    counts: dict[str, float] = field(default_factory=dict)
    pairs: dict[NodePair, PairCounts] = field(default_factory=dict)
    cpu_seconds: float | None = None
    memory: dict[int, int] = field(default_factory=dict)
    pinned: bool | None = None
    socket: int | None = None
    threads: int | None = None
    confined: set[int] = field(default_factory=set)

    def reading(self) -> PodReading:
        counts = None
        if self.counts:
            told = {name: self.counts.get(name) for name in _COUNTS.values()}
            counts = Counts(**told, cpu_seconds=self.cpu_seconds, pairs=self.pairs)
        return PodReading(
            counts=counts,
            memory=self.memory,
            pinned=self.pinned,
            socket=self.socket,
            threads=self.threads,
            confined=tuple(sorted(self.confined)),
        )


def read(text: str, *, at: float) -> AgentReading:
    """What an agent says.

    Args:
        text: of its /metrics, in Prometheus' text format.
        at: when it was asked, in seconds of a monotonic clock.

    Raises:
        ValueError: it is no such text.
    """
    pods: dict[Key, _Pod] = {}
    node: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families("\n".join(_wanted(text))):
            for sample in family.samples:
                labels = sample.labels
                if "pod" in labels:
                    pod = pods.setdefault((labels["namespace"], labels["pod"]), _Pod())
                    _take(pod, sample.name, labels, sample.value)
                else:
                    node[sample.name] = sample.value
    except (KeyError, IndexError) as e:
        raise ValueError(f"not Prometheus' text format: {e}") from e
    return AgentReading(
        at=at,
        pods={key: pod.reading() for key, pod in pods.items()},
        alive=bool(node[_ALIVE]) if _ALIVE in node else None,
        lost=node.get(_LOST, 0),
        since=node.get(_SINCE),
    )


def _wanted(text: str) -> Iterator[str]:
    for line in text.splitlines():
        name = line.removeprefix("# TYPE ")
        if name.startswith(_WANTED):
            yield line


def _take(pod: _Pod, name: str, labels: Mapping[str, str], value: float) -> None:
    counted = _COUNTS.get((name, labels.get("locality")))
    if counted is not None:
        pod.counts[counted] = value
    elif name in _PAIRS:
        part, (one, other) = _PAIRS[name]
        pair = _node(labels[one]), _node(labels[other])
        pod.pairs[pair] = replace(pod.pairs.get(pair, PairCounts()), **{part: value})
    elif name in _OTHERS:
        _OTHERS[name](pod, labels, value)


def _node(label: str) -> int | None:
    return int(label) if label.isdecimal() else None


def _cpu(pod: _Pod, _: Mapping[str, str], value: float) -> None:
    pod.cpu_seconds = value


def _memory(pod: _Pod, labels: Mapping[str, str], value: float) -> None:
    pod.memory[int(labels["numa_node"])] = round(value)


def _pinned(pod: _Pod, labels: Mapping[str, str], value: float) -> None:
    pod.pinned, pod.socket = bool(value), _node(labels["socket"])


def _threads(pod: _Pod, _: Mapping[str, str], value: float) -> None:
    pod.threads = round(value)


def _confined(pod: _Pod, labels: Mapping[str, str], value: float) -> None:
    if value:
        pod.confined.add(int(labels["socket"]))


_OTHERS: Final[Mapping[str, Callable[[_Pod, Mapping[str, str], float], None]]] = {
    _CPU: _cpu,
    "numapin_pod_memory_resident_bytes": _memory,
    "numapin_pod_pinned": _pinned,
    "numapin_pod_threads": _threads,
    "numapin_pod_confined": _confined,
}
