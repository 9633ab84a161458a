"""What one agent says at one moment, and how fast that grows. Pure values, no I/O.

Counters are kept as they were scraped: what they mean for a pod is said elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Key = tuple[str, str]
"""Namespace and name of a pod."""
NodePair = tuple[int | None, int | None]
"""NUMA nodes that pages went from and to; None: the kernel did not say."""

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PairCounts:
    """What was counted between two NUMA nodes, or within one.

    Attributes:
        pages: that NUMA balancing moved.
        seconds: spent on it.
        hint_pages: that lay on the first node when a CPU of the second touched them.
    """

    pages: float = 0
    seconds: float = 0
    hint_pages: float = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of one pod; every number only grows. None: it is not counted there.

    Attributes:
        pages: that NUMA balancing moved to another NUMA node.
        cross_pages: of these, to another socket.
        seconds: that the pod's threads spent on it.
        hint_local: pages of hint faults found on the CPU's socket.
        hint_remote: pages of hint faults found on another.
        tasks: threads moved to a CPU of another socket.
        cpu_seconds: CPU time; None where the agent does not say.
        pairs: the same by NUMA nodes; empty from agents that don't tell them apart.
    """

    pages: float | None = 0
    cross_pages: float | None = 0
    seconds: float | None = 0
    hint_local: float | None = 0
    hint_remote: float | None = 0
    tasks: float | None = 0
    cpu_seconds: float | None = None
    pairs: Mapping[NodePair, PairCounts] = field(default_factory=lambda: _NOTHING)

    @property
    def hints(self) -> float | None:
        """Pages of hint faults, wherever they lay."""
        if self.hint_local is None or self.hint_remote is None:
            return None
        return self.hint_local + self.hint_remote


@dataclass(frozen=True, slots=True)
class PodReading:
    """One pod at one moment.

    Attributes:
        counts: None where nothing is counted.
        memory: resident bytes by NUMA node.
        pinned: whether its pin is in force; None without a pin.
        socket: that its pin names.
        threads: of the process with the most memory; None where the agent has not looked.
        confined: sockets that a container is kept on by others than numapin.
    """

    counts: Counts | None = None
    memory: Mapping[int, int] = field(default_factory=lambda: _NOTHING)
    pinned: bool | None = None
    socket: int | None = None
    threads: int | None = None
    confined: tuple[int, ...] = ()

    @property
    def resident(self) -> int:
        """Bytes on all NUMA nodes."""
        return sum(self.memory.values())


@dataclass(frozen=True, slots=True)
class AgentReading:
    """All that one agent says.

    Attributes:
        at: when, in seconds of a monotonic clock.
        pods: of its node.
        alive: whether the kernel counts; None without counters.
        lost: events that were not counted.
        since: Unix time since which counters have no gap; None where the agent does not say.
    """

    at: float
    pods: Mapping[Key, PodReading] = field(default_factory=lambda: _NOTHING)
    alive: bool | None = None
    lost: float = 0
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What all agents said when they were asked.

    Attributes:
        readings: by node.
        problems: node → why there is no reading, and what to do next.
    """

    readings: Mapping[str, AgentReading]
    problems: Mapping[str, str]
