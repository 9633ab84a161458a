"""Puts the agent together, starts its threads in the right order and ends them.

Pins first: the reconcile loop and the watch on cgroups run before anything slow. Counters
are compiled beside them and are attached when they are ready. It deliberately holds no
logic of its own.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lightkube import Client
from prometheus_client import CollectorRegistry

from numapin_agent import kube
from numapin_agent.borrowing import Borrowing
from numapin_agent.census import Census
from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.hugetlb import pools
from numapin_agent.cgroup.ids import ids_below
from numapin_agent.cgroup.watch import CgroupWatch
from numapin_agent.cluster import Cluster
from numapin_agent.config import AgentConfig
from numapin_agent.counters import Counters, LoadOptions
from numapin_agent.counters.hosts import always_crosses
from numapin_agent.counters.pmu.choose import choose
from numapin_agent.figures import (
    memory_figures,
    numa_moves,
    pages_counted,
    pages_migrated,
    pod_figures,
)
from numapin_agent.glance import Glances
from numapin_agent.guard.free import FreeMemory
from numapin_agent.guard.kswapd import open_alarm
from numapin_agent.guard.watch import Guard
from numapin_agent.health import HealthServer
from numapin_agent.hostpaths import HostPaths
from numapin_agent.kubelet.asker import Asker
from numapin_agent.loop import Loop
from numapin_agent.metrics import Figures, Meters
from numapin_agent.node import NodeReporter
from numapin_agent.pin.look import Eyes
from numapin_agent.pin.pinner import Pinner
from numapin_agent.ports import Key, Surroundings
from numapin_agent.publisher import Publisher
from numapin_agent.remembered import Remembered
from numapin_agent.scraped import NodeFigures, PodFigures
from numapin_agent.status import Reason
from numapin_agent.sysfs import available_memory, read_topology
from numapin_agent.traces.runner import Limits, Traces
from numapin_agent.traces.statuses import Statuses
from numapin_agent.tracing import Tracing
from numapin_api.errors import NumapinError, TopologyError, UnsupportedError

if TYPE_CHECKING:
    from numapin_agent.latency.held import Latency

log = logging.getLogger(__name__)

STUCK_SECONDS = 60.0
"""A loop that has been silent for so long is stuck: the longest single step is one D-Bus
call or one memory read, and both give up earlier."""


SWITCHED_OFF = "counters are switched off (--no-counters)"
POOLS_SECONDS = 60.0
"""How soon huge pages are seen that an administrator reserves while the agent runs."""
AVAILABLE_SECONDS = 1.0
"""How old the figures of free memory may be that a pin is decided on: one tick asks for them
once for each pod, and the kernel's answer takes longer to parse than all the rest."""


class PinnerMaker(Protocol):
    """Makes a pinner; ``Pinner.on_this_host`` is one such."""

    def __call__(  # noqa: PLR0913 -- most by keyword
        self,
        paths: HostPaths,
        host: CgroupHost,
        *,
        eyes: Eyes,
        moved: Callable[[str], None],
        exposure_changed: Callable[[], None],
        state_dir: Path,
    ) -> Pinner:
        """See ``Pinner.on_this_host``."""


class Agent:
    """All parts of one agent.

    Args:
        config: what it was told.
        make_pinner: makes what writes cpusets.

    Raises:
        ApiError: there is no way to an API server at all.
        MoveError: the kernel's page moves are not known for this architecture.
        OSError: the metrics port is taken.
    """

    def __init__(
        self, config: AgentConfig, *, make_pinner: PinnerMaker = Pinner.on_this_host
    ) -> None:
        self._config = config
        clock = time.monotonic
        self._registry = CollectorRegistry(auto_describe=False)
        self._meters = Meters(self._registry)
        client = kube.connect(config.kubeconfig)
        api = kube.Api(client, config.node_name)
        self._publisher = Publisher(failed=self._failed)
        self._cluster = Cluster(
            kube.pins_of(client, config.node_name),
            kube.pods_of(client, config.node_name),
            changed=self._changed,
            pods_changed=self._pods_changed,
            failed=self._failed,
        )
        cgroups = replace(
            CgroupHost.discover(config.paths),
            hugetlb=Remembered(lambda: pools(config.paths), seconds=POOLS_SECONDS, clock=clock),
        )
        self._kubelet = Asker(
            config.paths.pod_resources_socket,
            answered=self._answered,
            failed=self._failed,
            clock=clock,
            uids=lambda: {
                (pod.metadata.namespace, pod.metadata.name): pod.uid
                for pod in self._cluster.pods().values()
            },
        )
        self._available = Remembered(
            lambda: available_memory(config.paths), seconds=AVAILABLE_SECONDS, clock=clock
        )
        self._pinner = make_pinner(
            config.paths,
            cgroups,
            eyes=Eyes(
                proc=config.paths.proc,
                available=self._available,
                capacity=_capacity(config.paths),
            ),
            moved=self._turned,
            exposure_changed=self._exposure_changed,
            state_dir=config.state_dir,
        )
        self._guard = Guard(
            self._pinner,
            memory=FreeMemory(config.paths, clock=clock),
            widened=self._widened,
            failed=self._failed,
        )
        self._census = Census(clock=clock)
        self._node = NodeReporter(
            paths=config.paths,
            cgroups=cgroups,
            api=api,
            publisher=self._publisher,
            problems=self._problems,
            resources=lambda: self._kubelet.latest,
            pods=lambda: self._cluster.pods().values(),
            agent_version=version("numapin"),
            clock=clock,
        )
        self._glances = Glances(topology=lambda: self._node.topology, clock=clock)
        self._borrowing = Borrowing.on_this_host(
            config.paths,
            cgroups=cgroups,
            pods=self._cluster.pods,
            changed=self._turned,
            failed=self._failed,
        )
        self._loop = Loop(
            Surroundings(
                node_name=config.node_name,
                interval_seconds=config.interval_seconds,
                objects=self._cluster,
                cgroups=cgroups,
                pinner=self._pinner,
                census=self._census,
                lenders=self._borrowing,
                topology=lambda: self._node.topology,
                writes=api,
                publisher=self._publisher,
                recorder=self._meters,
                on_tick=self._tick,
                clock=clock,
                wall=time.time,
                uniform=random.uniform,
            )
        )
        self._tracing = Tracing(
            load=self._load,
            census=self._census,
            reporter=self._node,
            existing=lambda: ids_below(cgroups.memory or config.paths.cgroup),
            failed=self._failed,
            interrupted=lambda: self._loop.dirty(self._cluster.pins()),
            clock=clock,
            wall=time.time,
        )
        self._traces = self._make_traces(client, api, cgroups) if config.traces else None
        self._latency = self._make_latency() if config.latency else None
        self._watch = _watch(cgroups)
        self._registry.register(Figures(pods=self._pods, node=self._node_figures))
        self._http = HealthServer(
            config.metrics_address,
            config.metrics_port,
            registry=self._registry,
            healthy=self.unhealthy,
            ready=self.unready,
        )
        self._loop_thread = threading.Thread(target=self._loop.run, name="reconcile", daemon=True)

    @property
    def port(self) -> int:
        """The port that /metrics is on."""
        return self._http.port

    def start(self) -> None:
        """Start everything and return at once."""
        self._http.start()
        # Before the loop: its own looks say more, and are to have the last word.
        self._pinner.arm()
        self._loop_thread.start()
        self._guard.start(open_alarm() if self._config.counters else None)
        if self._watch is not None:
            self._watch.start(self._loop.appeared, self._loop.vanished)
        self._cluster.start()
        self._kubelet.start()
        self._publisher.start()
        if self._traces is not None:
            self._traces.start()
        threading.Thread(target=self._tracing.run, name="counters", daemon=True).start()
        if self._latency is not None:
            self._latency.start()
        log.info("node %s: agent runs, metrics on port %d", self._config.node_name, self.port)

    def stop(self) -> None:
        """End everything that writes, within a second; pins stay as they are.

        The pages are served until the process ends: waiting for their thread would be the
        longest part.
        """
        self._loop.stop()
        if self._traces is not None:
            self._traces.stop()
        if self._latency is not None:
            self._latency.stop()
        self._tracing.stop()
        self._publisher.stop()
        self._cluster.stop()
        self._kubelet.stop()
        self._loop_thread.join(0.5)
        self._borrowing.close()
        self._guard.close()
        self._pinner.close()

    def unhealthy(self) -> str | None:
        """Why the agent should be started anew; None when it need not be."""
        silent = self._loop.silent_seconds()
        if silent > STUCK_SECONDS + self._config.interval_seconds:
            return f"the reconcile loop has been silent for {silent:.0f} s"
        if not self._loop_thread.is_alive():
            return "the reconcile loop has ended"
        if not self._guard.alive():
            return "the memory guard has ended"
        if not self._cluster.alive:
            return "a watch on the API server has ended"
        return None

    def unready(self) -> str | None:
        """What the agent still waits for; None when it does its work."""
        if not self._cluster.listed:
            return "NumaPins and pods of this node have not been listed yet"
        if not self._node.written:
            return "the NumaNode has not been written yet"
        return self.unhealthy()

    # The parts know each other in a circle; these close it.

    def _changed(self, keys: Iterable[Key]) -> None:
        self._loop.dirty(keys)

    def _pods_changed(self) -> None:
        self._kubelet.changed()

    def _answered(self) -> None:
        self._node.refresh()

    def _tick(self) -> None:
        self._kubelet.look()
        self._node.refresh()

    def _turned(self, uid: str) -> None:
        self._loop.turned(uid)

    def _widened(self, uid: str) -> None:
        self._loop.widened(uid)

    def _exposure_changed(self) -> None:
        self._guard.changed()

    def _problems(self) -> tuple[Reason, ...]:
        return (*self._loop.problems(), *self._guard.problems(), *self._borrowing.problems())

    def _failed(self, error: Exception) -> None:
        self._meters.error(error.reason if isinstance(error, NumapinError) else "InternalError")

    def _make_traces(self, client: Client, api: kube.Api, cgroups: CgroupHost) -> Traces:
        config = self._config
        return Traces(
            source=kube.traces_of(client, config.node_name),
            pods=self._cluster.pods,
            find=lambda uid: found.path if (found := cgroups.find_pod(uid)) else None,
            paths=config.paths,
            store=config.state_dir / "bpf",
            node=config.node_name,
            limits=Limits(config.traces, config.traces_namespace),
            statuses=Statuses(self._publisher, api.apply_trace),
            ended=self._meters.trace_ended,
            failed=self._failed,
            clock=time.monotonic,
        )

    def _make_latency(self) -> "Latency":
        from numapin_agent.latency.held import Latency  # noqa: PLC0415 -- 1 MB, and off mostly

        made = Latency(
            self._config.latency,
            paths=self._config.paths,
            options=LoadOptions(store=self._config.state_dir / "bpf"),
            after=self._tracing.settled,
            failed=self._failed,
        )
        self._registry.register(made)
        return made

    def _load(self) -> Counters:
        options = LoadOptions(
            store=self._config.state_dir / "bpf",
            forbidden=None if self._config.counters else SWITCHED_OFF,
        )
        topology = read_topology(self._config.paths)
        dram = choose(
            self._config.paths,
            topology,
            asked=self._config.counters and self._config.dram_counters,
            one_node_per_socket=always_crosses(topology),
        )
        return Counters.start(self._config.paths, topology, options=options, dram=dram)

    def _pods(self) -> Iterator[PodFigures]:
        return pod_figures(self._census, self._cluster, self._loop.reports(), self._glances)

    def _node_figures(self) -> NodeFigures:
        return NodeFigures(
            pages_migrated=pages_migrated(self._config.paths.vmstat),
            pages_counted=pages_counted(self._census),
            signals=self._node.signals,
            lost=self._tracing.lost(),
            tracer_alive=self._node.tracer_alive,
            programs=self._tracing.programs(),
            counting_since=self._tracing.since,
            reloads=self._tracing.reloads,
            stalled_seconds=self._tracing.stalled_seconds,
            memory=memory_figures(self._node.topology, self._available),
            loop_silent_seconds=self._loop.silent_seconds(),
            writes_pending=self._publisher.pending(),
            lost_pairs=self._tracing.lost_pairs(),
            lost_alarms=self._guard.lost(),
            compatibility=numa_moves(self._census) if self._config.compatibility_metrics else None,
        )


def _capacity(paths: HostPaths) -> Mapping[int, int]:
    """Bytes per NUMA node; empty when the topology can't be read, as the NumaNode then says."""
    try:
        return {node.id: node.memory_bytes for node in read_topology(paths).nodes}
    except TopologyError as e:
        log.error("%s", e)  # noqa: TRY400 -- the message says it all
        return {}


def _watch(cgroups: CgroupHost) -> CgroupWatch | None:
    try:
        return CgroupWatch(cgroups)
    except UnsupportedError:
        return None  # the NumaNode says so
    except OSError as e:
        log.warning("no inotify, so new pods are seen at the next tick only: %s", e)
        return None
