"""What is available on some NUMA nodes, as often as the guard asks.

The same arithmetic as for every other decision (``availability``), from the same files; only
/proc/zoneinfo, which on a large machine takes longer than everything else and changes with
sysctls and hotplug only, is remembered for a while.
"""

import os
from collections.abc import Callable, Mapping

from numapin_agent import availability
from numapin_agent.availability import Zones
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import NodeSet
from numapin_api.errors import TopologyError

ZONES_SECONDS = 60.0


class FreeMemory:
    """Reads meminfo of single NUMA nodes.

    Args:
        paths: where the host's sys and proc are.
        clock: monotonic seconds.
    """

    def __init__(self, paths: HostPaths, *, clock: Callable[[], float]) -> None:
        self._paths = paths
        self._clock = clock
        self._zones: tuple[float, Mapping[int, Zones]] | None = None

    def __call__(self, nodes: NodeSet) -> Mapping[int, int]:
        """Free and reclaimable bytes of each of these NUMA nodes.

        Args:
            nodes: whom to look at.

        Raises:
            TopologyError: a file is missing or not what Linux writes.
        """
        zones = self._of_zones()
        found = {}
        for node in nodes:
            file = self._paths.node_dir / f"node{node}" / "meminfo"
            try:
                memory = availability.parse_meminfo(file.read_text(encoding="ascii"))
            except (OSError, ValueError) as e:
                raise TopologyError(f"{file}: {e}") from e
            found[node] = availability.available(memory, zones.get(node, availability.NO_ZONES))
        return found

    def _of_zones(self) -> Mapping[int, Zones]:
        now = self._clock()
        if self._zones is None or now - self._zones[0] >= ZONES_SECONDS:
            file = self._paths.proc / "zoneinfo"
            try:
                text = file.read_text(encoding="ascii")
            except FileNotFoundError:
                text = ""
            except OSError as e:
                raise TopologyError(f"{file}: {e.strerror}") from e
            page = os.sysconf("SC_PAGE_SIZE")
            self._zones = now, availability.parse_zones(text, page_bytes=page)
        return self._zones[1]
