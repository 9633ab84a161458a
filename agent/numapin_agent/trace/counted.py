"""What a trace left behind, and who can name what is in it.

Values and one interface only: ``running`` reads the counts, ``machine`` knows the names, the
modules that make an answer of them know neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.kept import LeftOut
from numapin_agent.trace.records import Event, Hooked, Key, Path, UnderWay, Weight


class Names(Protocol):
    """Names of the machine; ``machine.Machine`` is one such."""

    def process(self, tgid: int) -> str:
        """A process' name."""

    def alive(self, thread: int) -> bool:
        """Whether a thread is still there."""

    def descriptor(self, tgid: int, fd: int) -> str:
        """What a descriptor stands for."""

    def interrupts(self) -> Mapping[int, str]:
        """Devices by interrupt number."""

    def numa_node(self, node: int) -> str:
        """A NUMA node and its socket."""

    def kernel_name(self, address: int) -> str:
        """A kernel function."""

    def user_name(self, tgid: int, address: int) -> str:
        """A function of a process."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a trace left behind.

    Attributes:
        began: CLOCK_MONOTONIC nanoseconds.
        seconds: how long it ran.
        histograms: by what they are of.
        events: single long ones.
        left_out: of those.
        paths: weights of call paths.
        user: addresses of user stacks by number.
        kernel: the same of kernel stacks.
        calls: system calls by number.
        hooked: what netfilter's hooks call.
        under_way: system calls that had not returned.
    """

    began: int = 0
    seconds: float = 0.0
    histograms: Mapping[Key, Histogram] = field(default_factory=dict)
    events: Sequence[Event] = ()
    left_out: LeftOut = field(default_factory=LeftOut)
    paths: Mapping[Path, Weight] = field(default_factory=dict)
    user: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    kernel: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    calls: Mapping[int, str] = field(default_factory=dict)
    hooked: Sequence[Hooked] = ()
    under_way: Sequence[UnderWay] = ()
