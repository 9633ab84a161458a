"""When a pin's memory nodes are to be widened, and when to look again. Pure.

A task whose cpuset.mems are full is killed (CONSTRAINT_CPUSET, mm/oom_kill.c) however much
memory other sockets have. Adding nodes to cpuset.mems moves no page, and an allocation that
is in the slow path sees them at its next try (mm/page_alloc.c ``check_retry_cpuset``). So the
guard has until the kernel gives up reclaiming, and has to be early rather than right:
narrowing again is for ``pin.decide``, much later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numapin_api.cpulist import NodeSet

if TYPE_CHECKING:
    # Names of values only: pydantic stays out of the core.
    from numapin_api.policy import MemoryMode

LAST_RESORT_PERCENT = 2
"""Of the pin's NUMA nodes: with less available even a Strict pin is widened. The kernel wakes
kswapd at a few thousandths (mm/page_alloc.c ``__setup_per_zone_wmarks``), and kills when nothing
can be reclaimed below the still lower min watermark."""
LAST_RESORT_BYTES = 64 << 20
"""But at least so much: on small NUMA nodes two hundredths are used up between two looks."""
FILL_BYTES_PER_SECOND = 8 << 30
"""What several threads that fault huge pages in can take of one socket."""
SHORTEST_SECONDS = 0.25
"""A look costs a tenth of a millisecond: four a second are half a thousandth of a CPU."""
LONGEST_SECONDS = 10.0
"""With a terabyte free, too, something else may have gone wrong."""
DEAF_SECONDS = 0.05
"""After each alarm at least. Page cache that churns wakes kswapd hundreds of times a second."""
DEAF_LONGEST_SECONDS = 1.0
HOT_SECONDS = 2.0
"""After an alarm looks are that often, heard or not: kswapd that runs on is not woken again."""


def least_free(memory: MemoryMode, *, headroom_percent: int, capacity: int) -> int:
    """Bytes that must stay available on a pin's NUMA nodes while it is bound to them.

    Args:
        memory: Preferred keeps the headroom; Strict holds out to the last resort.
        headroom_percent: of the policy.
        capacity: bytes of those NUMA nodes.
    """
    percent = max(LAST_RESORT_PERCENT, headroom_percent if memory == "Preferred" else 0)
    return max(capacity * percent // 100, LAST_RESORT_BYTES)


@dataclass(frozen=True, slots=True)
class Exposed:
    """A pod that may only use some of the node's memory.

    Attributes:
        uid: of the pod.
        mems: the NUMA nodes that it is bound to.
        least: bytes that must stay available there.
    """

    uid: str
    mems: NodeSet
    least: int

    def spare(self, available: Mapping[int, int]) -> int:
        """Bytes to go until it is to be widened; negative when it is time."""
        return sum(available.get(n, 0) for n in self.mems) - self.least


def nodes_of(pods: Iterable[Exposed]) -> NodeSet:
    """The NUMA nodes that somebody is bound to."""
    return NodeSet(n for pod in pods for n in pod.mems)


def pressed(pods: Iterable[Exposed], available: Mapping[int, int]) -> tuple[Exposed, ...]:
    """The pods to be widened now, those that lack most first.

    All of them, not only the one that grows: whoever is left on the full socket is killed at
    its own next page.

    Args:
        pods: who is bound.
        available: free and reclaimable bytes per NUMA node.
    """
    low = [pod for pod in pods if pod.spare(available) < 0]
    return tuple(sorted(low, key=lambda pod: pod.spare(available)))


def seconds_to_spare(pods: Iterable[Exposed], available: Mapping[int, int]) -> float:
    """How long the fastest allocator needs until the first pod is to be widened."""
    spare = min((pod.spare(available) for pod in pods), default=0)
    return max(0.0, spare / FILL_BYTES_PER_SECOND)


def pause(pods: Iterable[Exposed], available: Mapping[int, int]) -> float:
    """Seconds until the next look, if nothing is heard before."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, seconds_to_spare(pods, available)))


def deaf(pods: Iterable[Exposed], available: Mapping[int, int]) -> float:
    """Seconds for which alarms after this one are not worth a look."""
    return min(DEAF_LONGEST_SECONDS, max(DEAF_SECONDS, seconds_to_spare(pods, available)))
