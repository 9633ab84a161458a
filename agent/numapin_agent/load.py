"""How much CPU time each socket's CPUs spend, by whatever runs there, from /proc/stat.

Pure: the shell reads the file and the clock. What comes out is the mean of some minutes, since
it is written to the API server and placement must not follow every burst. Which pod uses the
time is deliberately not asked: other counters say that, and unpinned pods, daemons and the
kernel itself take room on a socket just the same.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from numapin_api.cpulist import CpuSet
from numapin_api.topology import Topology

MEMORY_SECONDS = 300.0
"""Time constant of the mean: what was so long ago weighs 1/e."""
FIRST_SECONDS = 60.0
"""A mean of less time says too little to be told."""
STEP = 0.1
"""Told anew at once only when it moved by this share of the socket."""
CALM_SECONDS = 300.0
"""When nothing was written for so long, a smaller change is told, too: a move that relieves a
socket by a policy's ``minGain`` must show before it is judged."""
CALM_STEP = 0.03
"""What is told then."""

_LINE = re.compile(r"^cpu(\d{1,7}) ([\d ]+)$", re.MULTILINE | re.ASCII)
_BUSY = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq and steal of Documentation/filesystems/proc.rst. user and
nice hold the time of guests already; stolen time is no use of ours, but nobody else can have it."""
_IDLE = (3, 4)
"""idle and iowait. The latter may go backwards."""


class Ticks(NamedTuple):
    """What was counted on one CPU since boot, in USER_HZ.

    Attributes:
        busy: while it was not idle.
        all: idle or not. On a virtual machine whose timer ticks are late or lost this is less
            than the time that has passed, which therefore can't tell what share was busy.
    """

    busy: int
    all: int


def ticks(stat: str) -> Mapping[int, Ticks]:
    """Ticks of each CPU.

    Args:
        stat: text of ``/proc/stat``; offline CPUs have no line in it.
    """
    result = {}
    for cpu, text in _LINE.findall(stat):
        values = [*map(int, text.split()), *[0] * len(_BUSY + _IDLE)]
        busy = sum(values[i] for i in _BUSY)
        result[int(cpu)] = Ticks(busy, busy + sum(values[i] for i in _IDLE))
    return result


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at /proc/stat.

    Attributes:
        at: monotonic seconds.
        ticks: by CPU, see :func:`ticks`.
    """

    at: float
    ticks: Mapping[int, Ticks]


@dataclass(frozen=True, slots=True)
class Load:
    """A running mean of the CPUs in use on each socket; ``Load()`` knows nothing yet.

    Attributes:
        last: the sample before the next.
        cpus: socket → its CPUs when it was looked at last.
        sums: socket → weighted CPU seconds.
        weight: weighted seconds that they were gathered in.
        seconds: how long it has been watched.
    """

    last: Sample | None = None
    cpus: Mapping[int, CpuSet] = field(default_factory=dict)
    sums: Mapping[int, float] = field(default_factory=dict)
    weight: float = 0.0
    seconds: float = 0.0

    def after(self, sample: Sample, topology: Topology) -> "Load":
        """The mean with one more sample.

        Args:
            sample: later than the one before; else it counts for nothing.
            topology: which CPUs are of which socket; another than before begins anew.
        """
        cpus = {s.id: s.cpus for s in topology.sockets}
        elapsed = sample.at - self.last.at if self.last else 0.0
        if self.last is None or cpus != self.cpus:
            return Load(last=sample, cpus=cpus)
        if elapsed <= 0:
            return self
        kept = math.exp(-elapsed / MEMORY_SECONDS)
        before = self.last.ticks
        return Load(
            last=sample,
            cpus=cpus,
            sums={
                socket: kept * self.sums.get(socket, 0.0)
                + sum(
                    _busy_share(before[c], sample.ticks[c]) * elapsed
                    for c in ids
                    if c in sample.ticks and c in before
                )
                for socket, ids in cpus.items()
            },
            weight=kept * self.weight + elapsed,
            seconds=self.seconds + elapsed,
        )

    @property
    def millicores(self) -> Mapping[int, int] | None:
        """Socket → thousandths of a CPU in use, to ten; None until it was watched long enough."""
        if self.seconds < FIRST_SECONDS:
            return None
        return {
            socket: min(round(100 * total / self.weight) * 10, 1000 * len(self.cpus[socket]))
            for socket, total in self.sums.items()
        }


def _busy_share(before: Ticks, now: Ticks) -> float:
    # What a CPU says begins anew when it was offline meanwhile.
    busy, counted = now.busy - before.busy, now.all - before.all
    return min(max(0.0, busy / counted), 1.0) if counted > 0 else 0.0


def moved(
    old: Mapping[int, int], new: Mapping[int, int], topology: Topology, *, calm: bool
) -> bool:
    """Whether CPU use moved so much that it is worth a write.

    Args:
        old: socket → millicores that were written last.
        new: the same now.
        topology: how many CPUs a socket has.
        calm: nothing was written for ``CALM_SECONDS``.
    """
    step = CALM_STEP if calm else STEP
    size = {s.id: 1000 * max(1, len(s.cpus)) for s in topology.sockets}
    return old.keys() != new.keys() or any(
        abs(value - old[socket]) >= step * size.get(socket, 1000) for socket, value in new.items()
    )
