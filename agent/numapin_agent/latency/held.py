"""Keeps the latency programs attached for the agent's life, and reads them when asked.

The edge. Loads after the pins' counters, one probe after the other, so that never two compilers
run at once. A probe that this kernel lacks is told in the log and in
``numapin_agent_latency_probe_up``, and never delays a pin or ends the agent. Programs that count
nothing any more where a kernel always has something to count (another tool may have detached
them) are given up and attached anew; their counters begin at zero, which Prometheus knows.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.bpf.maps import per_cpu_sum
from numapin_agent.hostpaths import HostPaths
from numapin_agent.latency.series import (
    Counts,
    Names,
    device,
    events,
    families,
    function_names,
    is_slow,
    probe_up,
    silent,
)
from numapin_agent.trace import records
from numapin_agent.trace.histogram import VALUE_SIZE
from numapin_agent.trace.launch import Held, hold, task_of
from numapin_agent.trace.machine import Machine
from numapin_agent.trace.question import TAKES_THRESHOLD, Question, Scope
from numapin_agent.trace.read import histograms
from numapin_api.cpulist import CpuSet
from numapin_api.errors import TraceError

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 600.0
"""Until a probe that could not be attached is tried again."""
CHECK_SECONDS: Final = 60.0
"""Between two looks at whether anything was counted."""
_KEYS: Final = 320
"""Histograms of a probe, each with a value for each CPU: a kernel has some 200 timer functions."""
_NEVER: Final = 1 << 62
"""Nanoseconds: no single event is kept as such."""
_MACROS: Final = {"MAX_MOMENTS": 1, "BY_HOOK": 1}
"""BY_HOOK: what else tells packets apart is their senders' choice, and would fill the table."""


class Latency(Collector):
    """The always-on histograms of one node.

    Args:
        probes: of ``probes.PROBES``, in the order in which they are attached.
        paths: of the host.
        options: how the loader child is run.
        after: waits until it is our turn to compile, at most so many seconds; true when it is.
        failed: told of each error.
        check_seconds: between two looks at whether anything was counted.
    """

    def __init__(  # noqa: PLR0913 -- all but one by keyword
        self,
        probes: Sequence[str],
        *,
        paths: HostPaths,
        options: LoadOptions,
        after: Callable[[float], bool] = lambda _: True,
        failed: Callable[[Exception], None],
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._probes = tuple(probes)
        self._paths = paths
        self._options = options
        self._after = after
        self._failed = failed
        self._check_seconds = check_seconds
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._devices, self._functions = Names(), Names()
        self._cpus = len(CpuSet.parse((paths.cpu_dir / "possible").read_text()))
        self._thread = threading.Thread(target=self._run, name="latency", daemon=True)

    def start(self) -> None:
        """Begin to attach, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Detach everything."""
        self._stopped.set()
        with self._lock:
            for held in self._held.values():
                held.close()
            self._held.clear()

    def missing(self) -> tuple[str, ...]:
        """Probes that are not attached."""
        return tuple(probe for probe in self._probes if probe not in self._held)

    def programs(self, probe: str) -> tuple[int, ...]:
        """Descriptors of the programs of a probe, for whoever measures them."""
        held = self._held.get(probe)
        return tuple(held.programs.values()) if held is not None else ()

    def _run(self) -> None:
        while not self._after(1.0):
            if self._stopped.is_set():
                return
        tried: dict[str, float] = {}
        counted: Mapping[str, int] = {}
        while not self._stopped.is_set():
            for probe in self.missing():
                if time.monotonic() - tried.get(probe, float("-inf")) < AGAIN_SECONDS:
                    continue
                tried[probe] = time.monotonic()
                try:
                    self._attach(probe)
                except Exception as error:  # the thread's edge: the other probes must not go too
                    log.exception("unexpected error in the latency histograms of %s", probe)
                    self._failed(error)
            self._stopped.wait(self._check_seconds)
            before, counted = counted, {p: events(c) for p, c in self.read().items()}
            for probe in silent(before, counted):
                self._give_up(probe)
                tried.pop(probe, None)

    def _give_up(self, probe: str) -> None:
        """Detach programs that count nothing any more."""
        with self._lock:
            held = self._held.pop(probe, None)
            if held is not None:
                held.close()
        said = f"counted nothing for {self._check_seconds:.0f} s: detached by somebody else?"
        log.warning("latency histograms of %s: %s They are attached anew", probe, said)
        self._failed(TraceError(f"latency histograms of {probe} {said}"))

    def _attach(self, probe: str) -> None:
        question = (
            Question(probe, threshold=_NEVER) if probe in TAKES_THRESHOLD else Question(probe)
        )
        task = task_of(
            question,
            Scope(),
            paths=self._paths,
            store=self._options.store,
            map_bytes=2 * _KEYS * VALUE_SIZE * self._cpus,
            macros=_MACROS,
        )
        try:
            held = hold(task, self._options, self._stopped.is_set)
        except TraceError as error:
            if not self._stopped.is_set():
                log.warning("no latency histograms of %s: %s", probe, error)
                self._failed(error)
            return
        with self._lock:
            if self._stopped.is_set():
                held.close()
                return
            self._held[probe] = held
        held.open()
        notes = f" ({'; '.join(held.notes)})" if held.notes else ""
        log.info("latency histograms of %s are counted%s", probe, notes)

    def describe(self) -> Iterable[Metric]:
        """No sample is needed to register."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, from one reading."""
        counts = self.read()
        self._name(counts.values())
        yield from families(counts, self._devices, self._functions)
        yield probe_up(self._probes, counts)

    def read(self) -> dict[str, Counts]:
        """What was counted so far, by probe; of those that can be read."""
        found = {}
        with self._lock:
            for probe, held in self._held.items():
                try:
                    found[probe] = self._counts(held)
                except OSError as error:
                    log.warning("histograms of %s can't be read: %s", probe, error)
                    self._failed(error)
        return found

    def _counts(self, held: Held) -> Counts:
        return Counts(
            histograms=histograms(held.maps, cpus=self._cpus),
            lost=per_cpu_sum(held.maps["lost"], 0, cpus=self._cpus)
            + sum(syscalls.program_info(fd).misses for fd in held.programs.values()),
            runs=sum(
                per_cpu_sum(held.maps["ran"], program.place, cpus=self._cpus)
                for program in held.attached
            ),
        )

    def _name(self, counts: Iterable[Counts]) -> None:
        """Look up what has no name yet: rare, as names stay."""
        every = {key: one for each in counts for key, one in each.histograms.items()}
        irqs = self._devices.missing(key.id for key in every if key.kind == records.HARDIRQ)
        if irqs:
            known = Machine(self._paths.proc).interrupts()
            self._devices.give({irq: device(known.get(irq) or str(irq)) for irq in irqs})
        slow = self._functions.missing(key.id for key, one in every.items() if is_slow(key, one))
        if slow:
            self._functions.give(self._function_names(slow))

    def _function_names(self, addresses: Sequence[int]) -> dict[int, str]:
        # Line by line: all symbols at once would take more memory than the rest of the agent.
        found: dict[int, str] = {}
        with suppress(OSError), Path(self._paths.proc, "kallsyms").open() as lines:
            found = function_names(lines, addresses)
        return {address: found.get(address, "unknown") for address in addresses}
