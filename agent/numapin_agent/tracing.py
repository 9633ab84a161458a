"""Loads the kernel programs, watches over them and loads them anew when they no longer count.

So it does when loading them broke off. One thread for the agent's life. Pins never wait for it.
What its findings mean is decided in ``trust``; here they are acted on and handed to the census and
the NumaNode.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Set
from typing import Final, Protocol

from numapin_agent.census import Census, Tracer
from numapin_agent.counters.pairs import PAIRS
from numapin_agent.counters.pulse import Fault
from numapin_agent.trust import STALL_SECONDS, Trust
from numapin_api.errors import CounterError, NumapinError, TopologyError

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 2.0
"""Between two heartbeats, by which a process that stood still is found out."""
CHECK_SECONDS: Final = 30.0
"""Between two checks of the programs, so that a dead one is found within a minute."""
NAMED_SECONDS: Final = 10.0
"""A dead program that was not loaded anew by then is told of while that goes on, which may take
minutes. Mostly it takes two seconds: verdicts need not change for these."""
SWEEP_SECONDS: Final = 600.0
"""Between two looks for cgroups that are gone, so that the tables have room."""


class Loaded(Tracer, Protocol):
    """A tracer that can be closed; ``numapin_agent.counters.Counters`` is one such."""

    @property
    def broke_off(self) -> bool:
        """Whether loading did not get to its end, so that another try may give more."""

    def roster(self) -> tuple[tuple[str, str], ...]:
        """Signal and program, of all that are attached."""

    def close(self) -> None:
        """Detach everything."""


class Reporter(Protocol):
    """Who publishes what was found; ``NodeReporter`` is one such."""

    def attach(self, tracer: Tracer) -> None:
        """There is a tracer, or another one."""

    def counters_failed(self, error: CounterError) -> None:
        """There are none; a tracer that comes later all the same is attached."""

    def trusted(self, trust: Trust) -> None:
        """What the last check found."""


class Tracing:
    """Owns the tracer.

    Args:
        load: compiles, attaches and takes over.
        census: counts by it.
        reporter: publishes.
        existing: ids of all cgroups of the host.
        failed: told of each error.
        interrupted: told after a gap in the counting, when no running window counts any more.
        clock: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 -- all by keyword
        self,
        *,
        load: Callable[[], Loaded],
        census: Census,
        reporter: Reporter,
        existing: Callable[[], Set[int]],
        failed: Callable[[Exception], None],
        interrupted: Callable[[], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._load = load
        self._census = census
        self._reporter = reporter
        self._existing = existing
        self._failed = failed
        self._interrupted = interrupted
        self._clock = clock
        self._wall = wall
        self._tracer: Loaded | None = None
        self._trust = Trust()
        self._stopped = threading.Event()
        self._settled = threading.Event()
        self._lost_before = self._lost_pairs_before = 0
        self._next_check = self._next_sweep = float("-inf")
        self.since: float | None = None
        """Since when the kernel counts without a gap, in seconds since 1970."""
        self.reloads = 0
        """How often programs that no longer counted were loaded anew."""
        self.stalled_seconds = 0.0
        """How long the process stood still, in all."""

    @property
    def trust(self) -> Trust:
        """As of the last check."""
        return self._trust

    def programs(self) -> tuple[tuple[str, str, bool], ...]:
        """Signal, program and whether it counts, of all that are attached."""
        dead = {fault.program for fault in self._trust.faults}
        there = self._tracer.roster() if self._tracer else ()
        return tuple((signal, name, name not in dead) for signal, name in there)

    def lost(self) -> int | None:
        """Events lost since the agent was started; None when that can't be told."""
        try:
            return self._lost_before + (self._tracer.lost() if self._tracer else 0)
        except CounterError:
            return None

    def lost_pairs(self) -> int | None:
        """The same of events that were counted, but not for their pair of NUMA nodes."""
        try:
            return self._lost_pairs_before + (self._tracer.lost_pairs() if self._tracer else 0)
        except CounterError:
            return None

    def run(self) -> None:
        """Load, then watch until stopped; the body of the thread."""
        try:
            self.start()
        finally:
            self._settled.set()
        due = self._clock() + BEAT_SECONDS
        while not self._stopped.wait(max(0.0, due - self._clock())):
            self.beat(late=self._clock() - due)
            due = self._clock() + BEAT_SECONDS

    def settled(self, seconds: float) -> bool:
        """Whether the first loading is over, for better or worse; waits for it that long."""
        return self._settled.wait(seconds)

    def stop(self) -> None:
        """End the watch; the programs go on until the process ends."""
        self._stopped.set()

    def start(self) -> bool:
        """Load for the first time, or once more after nothing came of it.

        Returns:
            Whether any program counts.
        """
        try:
            tracer = self._load()
        except (CounterError, TopologyError) as error:
            log.warning("no counters: %s", error)
            self._failed(error)
            self._trust = self._trust.loaded(broke_off=True)
            self._census.give_up()
            self._reporter.counters_failed(CounterError(str(error)))
            return False
        finally:
            self._next_check = self._clock() + CHECK_SECONDS
        self._tracer = tracer
        self._trust = self._trust.loaded(broke_off=tracer.broke_off)
        self._census.attach(tracer)
        for signal in tracer.levels():
            log.info("signal %s: %s %s", signal.name, signal.level, signal.reason or "")
        self._reporter.attach(tracer)
        self._next_sweep = self._clock() + SWEEP_SECONDS
        if not tracer.roster():
            return False
        self.since = self._wall()
        return True

    def beat(self, *, late: float) -> None:
        """One heartbeat.

        Args:
            late: seconds after it was due.
        """
        if late >= STALL_SECONDS:
            log.warning("the agent stood still for %.1f s", late)
            self.stalled_seconds += late
            self._trust = self._trust.beat(self._clock(), late=late)
            self._reporter.trusted(self._trust)
        if self._clock() >= self._next_check:
            self._next_check = self._clock() + CHECK_SECONDS
            try:
                self.check()
            except Exception as error:  # the thread's edge: a surprise must not end the watch
                log.exception("the programs in the kernel can't be checked")
                self._failed(error)

    def check(self) -> None:
        """Look whether everything counts; load anew what does not, or what broke off."""
        if self._tracer is None:
            if self._trust.reload_due(self._clock()):
                self.start()
                self._trust = self._trust.reloaded(self._clock(), anew=False)
            return
        self._sweep()
        before = self._trust.faults
        self._trust = self._examined(self._tracer)
        for fault in self._trust.faults:
            if fault not in before:
                log.error("%s", fault)
        if self._trust.reload_due(self._clock()):
            self._reload(self._tracer)
        elif before and not self._trust.faults:
            log.info("all programs count again")
            self._gap(self._tracer)
        self._reporter.trusted(self._trust)

    def _examined(self, tracer: Loaded) -> Trust:
        try:
            faults, lost, full = tracer.faults(), tracer.lost(), tracer.full()
            pairs = tracer.lost_pairs()
        except CounterError as error:
            self._failed(error)
            faults = _all(tracer, f"can't be asked: {error}")
            lost, full, pairs = self._trust.total, (), self._trust.total_pairs
        if full:
            self._next_sweep = self._clock()  # the next check makes room
        signals = tuple(name for name in full if name != PAIRS)
        return self._trust.checked(
            self._clock(), faults=faults, lost=lost, full=signals, lost_pairs=pairs
        )

    def _reload(self, old: Loaded) -> None:
        """Put new programs in the place of those that don't count, if they are no fewer."""
        log.warning("loading the programs anew")
        if self._trust.faults:
            self.reloads += 1
        try:
            with self._told_meanwhile():
                new = self._load()
        except (CounterError, TopologyError) as error:
            self._again(error)
            return
        dead = {fault.program for fault in self._trust.faults}
        broken = {signal for signal, name in old.roster() if name in dead}
        working = {signal for signal, _ in old.roster()} - broken
        if not working < {signal for signal, _ in new.roster()}:
            new.close()
            why = "; ".join(s.reason or s.name for s in new.levels() if s.level == "none")
            self._again(CounterError(f"new programs count no more than the old ones: {why}"))
            return
        with contextlib.suppress(CounterError):
            self._lost_before += old.lost()
        with contextlib.suppress(CounterError):
            self._lost_pairs_before += old.lost_pairs()
        self._tracer = new
        self._trust = self._trust.reloaded(self._clock(), anew=True).loaded(broke_off=new.broke_off)
        self._gap(new, dead=broken)
        old.close()
        self._reporter.attach(new)
        self._trust = self._examined(new)

    @contextlib.contextmanager
    def _told_meanwhile(self) -> Iterator[None]:
        """Have the trust that there is now published unless the block has ended soon."""
        timer = threading.Timer(NAMED_SECONDS, self._reporter.trusted, (self._trust,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # else it could have the last word

    def _again(self, error: NumapinError) -> None:
        log.warning("the programs can't be loaded anew: %s", error)
        self._failed(error)
        self._trust = self._trust.reloaded(self._clock(), anew=False)

    def _gap(self, tracer: Loaded, *, dead: Set[str] = frozenset()) -> None:
        self._census.interrupted(tracer, dead=dead)
        self.since = self._wall()
        self._interrupted()

    def _sweep(self) -> None:
        if self._clock() < self._next_sweep:
            return
        self._next_sweep = self._clock() + SWEEP_SECONDS
        with contextlib.suppress(CounterError):
            gone = self._census.sweep(self._existing)
            log.debug("%d cgroups are gone and were forgotten", gone)


def _all(tracer: Loaded, why: str) -> tuple[Fault, ...]:
    signals: dict[str, list[str]] = {}
    for signal, program in tracer.roster():
        signals.setdefault(program, []).append(signal)
    return tuple(Fault(name, tuple(of), why) for name, of in sorted(signals.items()))
