"""What is available on some NUMA nodes, as often as the guard asks.

The same arithmetic as for every other decision (``availability``), from the same files; only
/proc/zoneinfo, which on a large machine takes longer than everything else and changes with
sysctls and hotplug only, is remembered for a while. What else it says, whether kswapd has given
a NUMA node up, matters only while that is short of free memory: then it is read anew.

The kernel takes that word back when it reclaims something, and where memory was freed instead it
has had no need to. So it counts only if it was given while memory was short.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from numapin_agent import availability
from numapin_agent.availability import NO_ZONES, Zones
from numapin_agent.cgroup import protection
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import NodeSet
from numapin_api.errors import TopologyError

ZONES_SECONDS = 60.0
ZONES_LOAD = 100
"""Of what reading them took, at least, before they are read again: a hundredth of a CPU."""


class FreeMemory:
    """Reads meminfo of single NUMA nodes.

    Args:
        paths: where the host's sys, proc and cgroups are.
        clock: monotonic seconds.
    """

    def __init__(self, paths: HostPaths, *, clock: Callable[[], float]) -> None:
        self._paths = paths
        self._clock = clock
        self._zones: Mapping[int, Zones] = {}
        self._protecting: tuple[Path, ...] = ()
        self._read_at = self._again_at = float("-inf")
        self._short = self._stale = NodeSet()

    def short(self) -> bool:
        """Whether a NUMA node of the last call was so short of free memory that kswapd is woken.

        Whether it can reclaim anything is seen within a moment; where it can't, there are only a
        few more.
        """
        return bool(self._short)

    def __call__(self, nodes: NodeSet) -> Mapping[int, int]:
        """Free and reclaimable bytes of each of these NUMA nodes.

        Args:
            nodes: whom to look at.

        Raises:
            TopologyError: a file is missing or not what Linux writes.
        """
        if self._clock() - self._read_at >= ZONES_SECONDS:
            self._read_zones()
        memory = {node: self._meminfo(node) for node in nodes}
        short = NodeSet(n for n in nodes if availability.short(memory[n], self._of(n)))
        # At its first wake kswapd has had no time to fail, and mostly it does not.
        if short & self._short and self._clock() >= self._again_at:
            self._read_zones()
        given_up = NodeSet(n for n, zones in self._zones.items() if zones.given_up)
        self._stale = outdated(self._stale, given_up=given_up, at_ease=NodeSet(nodes - short))
        self._short = short
        protected = protection.protected(self._protecting)
        return {
            n: availability.available(
                memory[n],
                self._of(n),
                protected=protected.get(n, 0),
                hopeless=n in short & given_up - self._stale,
            )
            for n in nodes
        }

    def _of(self, node: int) -> Zones:
        return self._zones.get(node, NO_ZONES)

    def _meminfo(self, node: int) -> Mapping[str, int]:
        file = self._paths.node_dir / f"node{node}" / "meminfo"
        try:
            return availability.parse_meminfo(file.read_text(encoding="ascii"))
        except (OSError, ValueError) as e:
            raise TopologyError(f"{file}: {e}") from e

    def _read_zones(self) -> None:
        begun = self._clock()
        file = self._paths.proc / "zoneinfo"
        try:
            text = file.read_text(encoding="ascii")
        except FileNotFoundError:
            text = ""
        except OSError as e:
            raise TopologyError(f"{file}: {e.strerror}") from e
        self._zones = availability.parse_zones(text, page_bytes=os.sysconf("SC_PAGE_SIZE"))
        self._protecting = protection.with_minimum(self._paths.cgroup)
        self._read_at = self._clock()
        self._again_at = self._read_at + ZONES_LOAD * (self._read_at - begun)


def outdated(before: NodeSet, *, given_up: NodeSet, at_ease: NodeSet) -> NodeSet:
    """The NUMA nodes that kswapd gave up some time ago, which says nothing of their cache today.

    Args:
        before: the same as of the last look.
        given_up: which it has given up, and not been heard otherwise of.
        at_ease: which are not short of free memory now.
    """
    return NodeSet((before | at_ease) & given_up)
