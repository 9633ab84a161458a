"""The thread that watches over pods which may use only a part of the node's memory.

It sleeps while there are none. Otherwise it looks at what is available on their NUMA nodes,
as often as the fastest allocator makes necessary and at once when the kernel wakes kswapd,
and has those widened that run low. It waits for nobody: neither for the reconcile loop, which
may hang in a call to PID 1, nor for the API server. What it did is found and told by the
loop, which it has look at the pod next.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from numapin_agent.guard import rules
from numapin_agent.guard.missed import Missed
from numapin_agent.guard.rules import Exposed
from numapin_agent.status import Reason
from numapin_api.cpulist import NodeSet
from numapin_api.errors import NumapinError

log = logging.getLogger(__name__)

NEVER = float("inf")


class Alarm(Protocol):
    """Says that a NUMA node runs low; ``KswapdAlarm`` is one such."""

    @property
    def fd(self) -> int:
        """Readable when there is something to take."""

    def take(self) -> NodeSet:
        """The NUMA nodes that were told of since the last call."""

    def listen(self, *, on: bool) -> None:
        """Whether alarms are wanted from now on."""

    def lost(self) -> int:
        """Alarms that nobody will be told of since they found no room, in all."""


class Pins(Protocol):
    """Who is bound, and can be widened; ``numapin_agent.pin.Pinner`` is one such."""

    def exposed(self) -> tuple[Exposed, ...]:
        """The pods that may use only a part of the node's memory."""

    def widen(self, uid: str) -> bool:
        """Let a pod use all NUMA nodes, at once; whether that was done.

        Raises:
            NumapinError: the kernel refuses, or it can't be put on file.
        """


class Memory(Protocol):
    """What is available; ``FreeMemory`` is one such."""

    def __call__(self, nodes: NodeSet) -> Mapping[int, int]:
        """Free and reclaimable bytes of some NUMA nodes, as they are now."""

    def short(self) -> bool:
        """Whether one of those was short of free memory just then, whatever is available."""


class Guard:
    """Watches until closed.

    Args:
        pins: who is bound.
        memory: what is available.
        widened: called from the thread with the UID of each pod that was.
        failed: called from the thread with each error.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pins: Pins,
        *,
        memory: Memory,
        widened: Callable[[str], None],
        failed: Callable[[Exception], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pins = pins
        self._memory = memory
        self._widened = widened
        self._failed = failed
        self._clock = clock
        self._alarm: Alarm | None = None
        self._missed = Missed()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-guard", daemon=True)

    def start(self, alarm: Alarm | None) -> None:
        """Begin to watch.

        Args:
            alarm: None where the kernel gives none; then the clock alone counts.
        """
        self._alarm = alarm
        self._thread.start()

    def changed(self) -> None:
        """Other pods are exposed now; called from any thread."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Stop; what was widened stays so."""
        self._stopped.set()
        self.changed()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def lost(self) -> int | None:
        """Alarms that were lost, in all; None without an alarm."""
        return None if self._alarm is None else self._alarm.lost()

    def problems(self) -> tuple[Reason, ...]:
        """What is wrong with the guard, for the node's conditions; one thread at a time asks."""
        lost, before = self.lost(), self._missed
        if lost is None:
            return ()
        self._missed = before.seen(lost, at=self._clock())
        if self._missed.total > before.total:
            log.warning("%d alarms of kswapd were lost", self._missed.total - before.total)
        return self._missed.reasons()

    def look(self) -> tuple[float, float]:
        """Look once and widen who runs low.

        Returns:
            Seconds until the next look, ``NEVER`` without pods, and for how long alarms are
            not worth one.

        Raises:
            TopologyError: memory can't be read.
        """
        pods = self._pins.exposed()
        if not pods:
            return NEVER, rules.DEAF_LONGEST_SECONDS
        available = self._memory(rules.nodes_of(pods))
        wait, deaf = rules.pause(pods, available), rules.deaf(pods, available)
        if self._memory.short():
            wait = deaf = rules.DEAF_SECONDS
        for pod in rules.pressed(pods, available):
            if self._widen(pod):
                log.warning(
                    "pod %s: NUMA nodes %s have %d bytes available, fewer than %d: widened",
                    pod.uid,
                    pod.mems,
                    pod.least + pod.spare(available),
                    pod.least,
                )
                self._widened(pod.uid)
            else:
                wait = rules.DEAF_SECONDS
        return wait, deaf

    def _widen(self, pod: Exposed) -> bool:
        """Widen one pod; what is refused there must not keep the others from it."""
        try:
            return self._pins.widen(pod.uid)
        except NumapinError as e:
            log.warning("pod %s can't be widened: %s", pod.uid, e)
            self._failed(e)
            return False

    def _run(self) -> None:
        wait, deaf, heard, hot = 0.0, 0.0, False, 0.0
        while not self._stopped.is_set():
            if heard:
                rung, _ = self._listen(deaf, alarm=False)
                wait = 0.0 if rung else max(0.0, wait - deaf)
            _, heard = self._listen(wait, alarm=wait != NEVER)
            if heard:
                hot = self._clock() + rules.HOT_SECONDS
            if self._stopped.is_set():
                return
            # Before the look: what is not told of must have been there to be seen.
            self._hear(on=True)
            try:
                wait, deaf = self.look()
                if self._clock() < hot:
                    wait = min(wait, deaf)
            except Exception as e:  # the thread's edge: without it no pod would be guarded
                if not isinstance(e, NumapinError):
                    log.exception("the memory guard")
                self._failed(e)
                wait = deaf = rules.DEAF_LONGEST_SECONDS
            # With nobody to guard the alarm is no news.
            self._hear(on=wait != NEVER)

    def _hear(self, *, on: bool) -> None:
        if self._alarm is not None:
            self._alarm.listen(on=on)

    def _listen(self, seconds: float, *, alarm: bool) -> tuple[bool, bool]:
        """Wait so long, or until the bell (another pod) or the alarm rings; which of them did."""
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if self._alarm is not None and alarm:
            poll.register(self._alarm.fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(None if seconds == NEVER else seconds * 1000)}
        rung = self._bell in ready
        if rung:
            os.eventfd_read(self._bell)
        heard = self._alarm is not None and self._alarm.fd in ready
        if heard and self._alarm is not None:
            self._alarm.take()
        return rung, heard
