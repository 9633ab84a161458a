"""Reads the node and keeps its NumaNode up to date.

The shell around ``numapin_agent.status``: it reads sysfs, the cgroup host and the counters,
asks the pure part whether that is worth a write, and hands the write to the publisher.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from numapin_agent import neighbours, signs
from numapin_agent import status as pure
from numapin_agent.census import Tracer
from numapin_agent.cgroup import CgroupHost
from numapin_agent.hostpaths import HostPaths
from numapin_agent.hugepages import Pool
from numapin_agent.kube import Api
from numapin_agent.kubelet.resources import UNASKED, Resources
from numapin_agent.load import CALM_SECONDS, Load, Sample, ticks
from numapin_agent.pods import PodView
from numapin_agent.publisher import Publisher
from numapin_agent.status import CpuManager, Reason
from numapin_agent.sysfs import (
    available_memory,
    cpu_stat,
    huge_pages,
    kernel_release,
    numa_balancing,
    read_topology,
)
from numapin_agent.trust import Trust, without_dead
from numapin_agent.usage import Use
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CounterError, TopologyError
from numapin_api.node import Capabilities, NumaNodeStatus, Signal
from numapin_api.topology import Topology

log = logging.getLogger(__name__)

SLOW_SECONDS = 60.0
"""How often what seldom changes is read: topology, the kubelet's files."""


@dataclass(frozen=True, slots=True)
class _Slow:
    """What is read once a minute."""

    at: float
    topology: Topology | None
    pools: tuple[Pool, ...]
    reserved_cpus: CpuSet
    cpu_manager: CpuManager
    signals: tuple[Signal, ...]
    online: str
    reasons: tuple[Reason, ...]


class NodeReporter:
    """Publishes NumaNode.status when it changed.

    Args:
        paths: the host's files.
        cgroups: as discovered.
        api: where it is written.
        publisher: by whom.
        problems: what else is wrong, for the conditions.
        resources: what the kubelet said of devices last.
        pods: of this node.
        agent_version: this package's.
        clock: monotonic seconds.
        now: wall clock.
    """

    def __init__(  # noqa: PLR0913 -- all by keyword
        self,
        *,
        paths: HostPaths,
        cgroups: CgroupHost,
        api: Api,
        publisher: Publisher,
        problems: Callable[[], tuple[Reason, ...]],
        resources: Callable[[], Resources] = lambda: UNASKED,
        pods: Callable[[], Iterable[PodView]] = lambda: (),
        agent_version: str,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._paths = paths
        self._cgroups = cgroups
        self._api = api
        self._publisher = publisher
        self._problems = problems
        self._resources = resources
        self._pods = pods
        self._load = Load()
        self._neighbours: neighbours.Known = {}
        self._version = agent_version
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._tracer: Tracer | None = None
        self._tracer_error: CounterError | None = None
        self._trust = Trust()
        self._followed: Topology | None = None
        self._slow: _Slow | None = None
        self._submitted: NumaNodeStatus | None = None
        self._submitted_at = 0.0
        self._written = threading.Event()

    @property
    def written(self) -> bool:
        """Whether the NumaNode was written at least once."""
        return self._written.is_set()

    @property
    def signals(self) -> tuple[Signal, ...]:
        """How each signal is had, as of the last look."""
        return without_dead(self._slow.signals, self._trust.faults) if self._slow else ()

    @property
    def topology(self) -> Topology | None:
        """As of the last look; None while it can't be read."""
        return self._slow.topology if self._slow else None

    @property
    def tracer_alive(self) -> bool | None:
        """Whether all programs counted at the last check; None where none is attached."""
        slow = self._slow
        if slow is None or all(s.level in ("none", "cgroup") for s in slow.signals):
            return None
        return not self._trust.faults

    def attach(self, tracer: Tracer) -> None:
        """Counters are there, or new ones: publish what they can do at once."""
        with self._lock:
            self._tracer, self._tracer_error = tracer, None
            self._followed = None
            self._slow = None
        self.refresh()

    def counters_failed(self, error: CounterError) -> None:
        """Counters can't be had at all, unless another try gives some."""
        with self._lock:
            self._tracer_error = error
            self._slow = None
        self.refresh()

    def trusted(self, trust: Trust) -> None:
        """The programs were checked: publish what that found."""
        with self._lock:
            self._trust = trust
        self.refresh()

    def refresh(self) -> None:
        """Look, and publish if it is worth it."""
        with self._lock:
            online = _text(self._paths.cpu_dir / "online")
            slow = self._slow
            if (
                slow is None
                or self._clock() - slow.at >= SLOW_SECONDS
                # Events on a CPU that the programs were not told of are lost.
                or online != slow.online
            ):
                slow = self._slow = self._look(online)
                self._neighbours = self._look_around(slow)
            signals = without_dead(slow.signals, self._trust.faults)
            new = pure.node_status(
                topology=slow.topology,
                use=self._use(slow.topology, slow.pools) if slow.topology else Use(),
                reserved_cpus=slow.reserved_cpus,
                exclusive_cpus=slow.cpu_manager.exclusive,
                resources=self._resources(),
                neighbours=[n for _, n in self._neighbours.values()],
                capabilities=self._capabilities(signals),
                agent_version=self._version,
                reasons=(*slow.reasons, *self._trust.reasons(), *self._problems()),
                previous=self._submitted,
                now=self._now(),
            )
            if new == self._submitted:
                return
            self._submitted, self._submitted_at = new, self._clock()
        self._publisher.submit("node", self._write)

    def _write(self) -> None:
        """Write what was submitted last, if need be with what the predecessor knew.

        Also into what was looked at while the API server was asked, which lacks it as well.
        """
        held = None if self.written else self._api.numa_node()
        with self._lock:
            status = self._submitted
            if status is None:
                return
            if not self.written:
                status = self._submitted = pure.take_over(status, held.status if held else None)
        self._api.apply_numa_node(status)
        self._written.set()

    def _capabilities(self, signals: tuple[Signal, ...]) -> Capabilities:
        return Capabilities(
            kernel=kernel_release(self._paths),
            cgroup_version=self._cgroups.version,
            cgroup_driver=self._cgroups.driver,
            numa_balancing=numa_balancing(self._paths),
            signals=list(signals),
        )

    def _look(self, online: str) -> _Slow:
        reasons: list[Reason] = []
        if self._cgroups.problem:
            reasons.append(Reason("Unsupported", self._cgroups.problem, fatal=True))
        topology = None
        try:
            topology = read_topology(self._paths)
        except TopologyError as e:
            reasons.append(pure.of_error(e, fatal=True))
        pools: tuple[Pool, ...] = ()
        try:
            pools = huge_pages(self._paths)
        except TopologyError as e:
            reasons.append(pure.of_error(e))
        signals: tuple[Signal, ...] = ()
        if self._tracer_error:
            reasons.append(pure.of_error(self._tracer_error))
            signals = pure.no_signals(self._tracer_error)
        elif self._tracer:
            if topology is not None:
                reasons += self._follow(self._tracer, topology)
            signals = self._tracer.levels()
            reasons += pure.signal_reasons(signals)
        return _Slow(
            at=self._clock(),
            topology=topology,
            pools=pools,
            reserved_cpus=pure.reserved_from_config(_text(self._paths.kubelet_dir / "config.yaml")),
            cpu_manager=pure.cpu_manager(_text(self._paths.kubelet_dir / "cpu_manager_state")),
            signals=signals,
            online=online,
            reasons=tuple(reasons),
        )

    def _follow(self, tracer: Tracer, topology: Topology) -> list[Reason]:
        """Tell the kernel programs of CPUs that came or went since they were told last."""
        if topology == self._followed:
            return []
        try:
            tracer.follow(topology)
        except CounterError as e:
            return [pure.of_error(e)]
        self._followed = topology
        return []

    def _use(self, topology: Topology, pools: tuple[Pool, ...]) -> Use:
        """What is in use now; each call counts for the mean of CPU time."""
        sample = Sample(self._clock(), ticks(cpu_stat(self._paths)))
        self._load = self._load.after(sample, topology)
        return Use(
            available=available_memory(self._paths),
            millicores=self._load.millicores,
            pools=pools,
            calm=self._clock() - self._submitted_at >= CALM_SECONDS,
        )

    def _look_around(self, slow: _Slow) -> neighbours.Known:
        found = neighbours.Signs(
            static_cpu_manager=slow.cpu_manager.static,
            exclusive=bool(slow.cpu_manager.exclusive or self._resources().exclusive),
            pods=signs.pod_signs(self._pods()),
            registered=signs.registered(self._paths.plugin_registry),
        )
        return neighbours.remember(self._neighbours, neighbours.seen(found), now=slow.at)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
