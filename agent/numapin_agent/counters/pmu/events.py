"""Which PMU events tell local from remote DRAM, by processor. Tables only.

Codes are those of the vendors' event lists (Intel's perfmon repository; Linux
tools/perf/pmu-events/arch/x86/amdzen2 … amdzen6 and arch/arm64). None of them was ever run on
the hardware by this project: an event counts only after the kernel has opened it, and a share
only where the counts make sense (``numapin_operator.checks.dram_fills``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Event:
    """What perf_event_open(2) is asked for.

    Attributes:
        config: event select and unit mask, as umask << 8 | event.
        config1: value of the off-core response register, 0 for events without one.
    """

    config: int
    config1: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two events, counted together, that tell local from remote.

    Attributes:
        name: of the events, for people.
        local: counts fills from local DRAM or, where ``whole``, all fills.
        remote: counts fills from the other sockets.
        counts: what is counted, where that is less or more than all reads of DRAM.
        whole: whether the first event counts the remote fills, too.
        by_socket: whether remote means another socket even where a socket holds several NUMA
            nodes (SNC, NPS); else it means another NUMA node.
    """

    name: str
    local: Event
    remote: Event
    counts: str | None = None
    whole: bool = False
    by_socket: bool = True


def _intel(event: int, *registers: int) -> tuple[Event, Event]:
    local, remote = registers
    return Event(0x0100 | event, local), Event(0x0100 | event, remote)


_DEMAND: Final = "demand data reads only, without prefetches"

_L3_MISS: Final = Pair(
    "MEM_LOAD_L3_MISS_RETIRED.LOCAL_DRAM and .REMOTE_DRAM",
    Event(0x01D3),
    Event(0x02D3),
    counts="retired loads only, without prefetches",
    by_socket=False,
)
_ICELAKE: Final = Pair(
    "OCR.READS_TO_CORE.LOCAL_SOCKET_DRAM and .REMOTE_DRAM",
    *_intel(0xB7, 0x70C000477, 0x730000477),
)
_SAPPHIRE: Final = Pair(
    "OCR.READS_TO_CORE.LOCAL_SOCKET_DRAM and .REMOTE_DRAM",
    *_intel(0x2A, 0x70C004477, 0x730004477),
)
_SIERRA: Final = Pair(
    "OCR.DEMAND_DATA_RD.LOCAL_DRAM and .REMOTE_DRAM",
    *_intel(0xB7, 0x184000001, 0x730000001),
    counts=_DEMAND,
)
_CLEARWATER: Final = Pair(
    "OCR.DEMAND_DATA_RD.LOCAL_DRAM and .REMOTE_DRAM",
    *_intel(0xB7, 0x784000001, 0x730000001),
    counts=_DEMAND,
)

INTEL_FAMILY_6: Final[Mapping[int, tuple[Pair, ...]]] = {
    0x55: (_L3_MISS,),  # Skylake-SP, Cascade Lake, Cooper Lake
    0x6A: (_ICELAKE, _L3_MISS),  # Ice Lake-SP
    0x6C: (_ICELAKE, _L3_MISS),  # Ice Lake-D
    0x8F: (_SAPPHIRE, _L3_MISS),  # Sapphire Rapids
    0xCF: (_SAPPHIRE, _L3_MISS),  # Emerald Rapids
    0xAD: (_SAPPHIRE, _L3_MISS),  # Granite Rapids
    0xAE: (_SAPPHIRE, _L3_MISS),  # Granite Rapids-D
    0xAF: (_SIERRA,),  # Sierra Forest
    0xDD: (_CLEARWATER,),  # Clearwater Forest
}
"""By model, best first. The off-core response events count prefetches, too, but need a register
of their own that hypervisors seldom have."""

_ZEN2: Final = Pair(
    "ls_refills_from_sys.ls_mabresp_lcl_dram and .ls_mabresp_rmt_dram",
    Event(0x0843),
    Event(0x4043),
    counts="demand fills of the data cache only, reads of devices among them",
    by_socket=False,
)
_ZEN_ANY: Final = Pair(
    "ls_any_fills_from_sys.dram_io_near and .dram_io_far",
    Event(0x0844),
    Event(0x4044),
    counts="reads of devices among them",
    by_socket=False,
)
_ZEN_DEMAND: Final = Pair(
    "ls_dmnd_fills_from_sys.dram_io_near and .dram_io_far",
    Event(0x0843),
    Event(0x4043),
    counts="demand fills of the data cache only, reads of devices among them",
    by_socket=False,
)
ZEN2_FIRST_MODEL: Final = 0x30
"""Models of family 17h below are Zen and Zen+ (mapfile.csv of tools/perf/pmu-events)."""

AMD: Final[Mapping[int, tuple[Pair, ...]]] = {
    0x17: (_ZEN2,),
    0x19: (_ZEN_ANY, _ZEN_DEMAND),  # Zen 3 and 4; Zen 3 calls them mem_io_local and _remote
    0x1A: (_ZEN_ANY, _ZEN_DEMAND),  # Zen 5 and 6
}
"""By family, best first."""

ARM: Final = Pair(
    "ll_cache_miss_rd and remote_access",
    Event(0x37),
    Event(0x31),
    counts="what comes from another socket's caches counts as remote, too",
    whole=True,
)
"""REMOTE_ACCESS: the response says that the data came from another chip's mesh. LL_CACHE_MISS_RD
counts all reads that the last-level cache could not serve. The kernel lists the events that the
CPU says it has (PMCEID) by these names."""
ARM_EVENTS: Final = ("ll_cache_miss_rd", "remote_access")
