"""What a pod's memory went through, as the memory controller counts it: faults, refaults, stalls.

Pure parsers; no BPF is involved. All numbers only grow, for as long as the pod's cgroup lives:
what a container's cgroup counted is its parent's when it is gone.
"""

from dataclasses import dataclass
from typing import Final

from numapin_api.errors import CgroupError


@dataclass(frozen=True, slots=True)
class Activity:
    """One reading; None is what this kernel does not count.

    Attributes:
        page_faults: pgfault of memory.stat, major ones among them.
        major_page_faults: pgmajfault: had to wait for a disk.
        refaulted_anon: pages read back from swap that had been evicted shortly before.
        refaulted_file: the same of files: page cache that would have been needed.
        hint_faults: numa_hint_faults, the kernel's own count of NUMA hint faults (6.12 and
            later): neither which nodes nor local or remote.
        stalled_some: microseconds in which at least one task waited for memory.
        stalled_full: microseconds in which all that could have run waited.
    """

    page_faults: int | None = None
    major_page_faults: int | None = None
    refaulted_anon: int | None = None
    refaulted_file: int | None = None
    hint_faults: int | None = None
    stalled_some: int | None = None
    stalled_full: int | None = None


_KEYS: Final = {
    "pgfault": "page_faults",
    "pgmajfault": "major_page_faults",
    "workingset_refault_anon": "refaulted_anon",
    "workingset_refault_file": "refaulted_file",
    "numa_hint_faults": "hint_faults",
}


def activity(stat: str, pressure: str) -> Activity:
    """From the text of memory.stat and memory.pressure; empty where there is no such file.

    Raises:
        CgroupError: a number is none.
    """
    found: dict[str, int] = {}
    for line in stat.splitlines():
        key, _, number = line.partition(" ")
        if key in _KEYS:
            if not number.isdecimal():
                raise CgroupError(f"memory.stat: {line!r} is not a key and a number")
            found[_KEYS[key]] = int(number)
    return Activity(
        **found,
        stalled_some=parse_stall(pressure, "some"),
        stalled_full=parse_stall(pressure, "full"),
    )


def parse_stall(text: str, kind: str) -> int | None:
    """Microseconds after ``total=`` in a line such as ``some avg10=0.00 … total=1234``.

    Documentation/accounting/psi.rst.

    Args:
        text: of a pressure file.
        kind: ``some`` or ``full``.

    Raises:
        CgroupError: the line has no total, or it is no number.
    """
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == kind:
            _, found, total = rest.partition("total=")
            if not found or not total.isdecimal():
                raise CgroupError(f"memory.pressure: {line!r} has no total=<microseconds>")
            return int(total)
    return None
