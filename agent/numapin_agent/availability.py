"""How much memory of a NUMA node can still be had, the way the kernel reckons MemAvailable.

Pure. The kernel says MemAvailable only for the whole machine (mm/show_mem.c
``si_mem_available``); a strict cpuset.mems needs it per NUMA node. The same arithmetic is
done here from the node's meminfo and the zones of ``/proc/zoneinfo``: free pages less the
reserve, plus file cache and reclaimable slab, each less half of it or the low watermarks,
whichever is smaller. It is an estimate, as the kernel's is: dirty or mapped cache may be
slow to give back.

The kernel's own figure believes any cache. A task is killed while plenty of it is there if none
can be reclaimed: what ``memory.min`` protects (``cgroup.protection``) is left out here, and all
of it where the caller knows that the kernel has tried in vain (``guard.free``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"(?:Node\s+\d+\s+)?([A-Za-z0-9_()]+):\s*(\d+)\s*kB", re.ASCII)
_ZONE = re.compile(r"Node (\d+), zone\s+(\S+)", re.ASCII)
_FIELD = re.compile(
    r"\s+(?:pages )?(low|high|managed|protection:?|node_unreclaimable)\s*:?\s*(.+)", re.ASCII
)
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Zones:
    """What the kernel keeps for itself in the zones of one NUMA node, in bytes.

    Attributes:
        low: sum of the low watermarks.
        reserve: the node's share of ``totalreserve_pages``
            (mm/page_alloc.c ``calculate_totalreserve_pages``).
        floor: with no more than so many bytes free kswapd is woken, or has not caught up.
        given_up: kswapd has reclaimed nothing in 16 runs on end (mm/vmstat.c
            ``node_unreclaimable``). It stays so until somebody reclaims a page there.
    """

    low: int
    reserve: int
    floor: int = 0
    given_up: bool = False


NO_ZONES = Zones(low=0, reserve=0)
"""For dumps without zoneinfo: nothing reserved, so the result is a little high."""


def parse_meminfo(text: str) -> Mapping[str, int]:
    """The sizes in a meminfo of the machine or of a NUMA node.

    Args:
        text: the file.

    Returns:
        field name → bytes; counts without a unit (HugePages_*) are left out.

    Raises:
        ValueError: MemFree is missing, so the file is not, or not wholly, a meminfo.
    """
    fields = {
        m[1]: int(m[2]) * _KIB for line in text.splitlines() if (m := _LINE.fullmatch(line.strip()))
    }
    if "MemFree" not in fields:
        raise ValueError("no line 'MemFree: N kB'")
    return fields


def parse_zones(text: str, *, page_bytes: int) -> Mapping[int, Zones]:
    """The watermarks of ``/proc/zoneinfo``, summed per NUMA node.

    Args:
        text: the file; empty if the kernel has none.
        page_bytes: size of a page.
    """
    totals: dict[int, Zones] = {}
    for block in re.split(r"(?m)^(?=Node )", text):
        lines = block.splitlines()
        if not lines or not (m := _ZONE.match(lines[0])):
            continue
        # The per-cpu pagesets that follow have a "high" of their own.
        fields: dict[str, str] = {}
        for line in lines[1:]:
            if field := _FIELD.fullmatch(line):
                fields.setdefault(field[1].rstrip(":"), field[2])
        try:
            low, high, managed = (int(fields[k]) for k in ("low", "high", "managed"))
        except (KeyError, ValueError):
            continue  # an empty zone prints no watermarks on some kernels
        protection = max(map(int, re.findall(r"\d+", fields.get("protection", ""))), default=0)
        node = totals.get(int(m[1]), NO_ZONES)
        totals[int(m[1])] = Zones(
            low=node.low + low * page_bytes,
            reserve=node.reserve + min(protection + high, managed) * page_bytes,
            floor=node.floor + min(protection + low, managed) * page_bytes,
            given_up=node.given_up or fields.get("node_unreclaimable") == "1",
        )
    return totals


def short(memory: Mapping[str, int], zones: Zones) -> bool:
    """Whether so little of a NUMA node is free that kswapd is at work, or should be.

    Where page cache churns that is so for a moment, many times a second, and no bad sign: how
    much is available says more.

    Args:
        memory: its meminfo.
        zones: of it.
    """
    return memory["MemFree"] <= zones.floor


def available(
    memory: Mapping[str, int], zones: Zones, *, protected: int = 0, hopeless: bool = False
) -> int:
    """Bytes of a NUMA node that can be had without swapping.

    Args:
        memory: its meminfo, see ``parse_meminfo``.
        zones: what the kernel keeps for itself there.
        protected: bytes of page cache there that can't be reclaimed.
        hopeless: nothing there can be.
    """
    if hopeless:
        return max(0, memory["MemFree"] - zones.reserve)
    cache = memory.get("Active(file)", 0) + memory.get("Inactive(file)", 0)
    cache = max(0, cache - protected)
    # KReclaimable (4.20) is SReclaimable plus other kernel memory that can be given back.
    slab = memory.get("KReclaimable", memory.get("SReclaimable", 0))
    total = memory["MemFree"] - zones.reserve
    for reclaimable in (cache, slab):
        total += reclaimable - min(reclaimable // 2, zones.low)
    return max(0, total)
