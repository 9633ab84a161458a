"""Opens PMU events and switch events of a CPU with perf_event_open(2).

Thin: which events is ``select``'s, what becomes of them ``held``'s. Layout: struct
perf_event_attr in uapi/linux/perf_event.h.
"""

import errno
import os
import struct
from typing import Final

from numapin_agent.bpf.perf import ATTR_SIZE, event_open
from numapin_agent.counters.pmu.events import Event
from numapin_agent.counters.pmu.select import Candidate

SOFTWARE: Final = 1
CGROUP_SWITCHES: Final = 11
"""PERF_COUNT_SW_CGROUP_SWITCHES, 5.13 and later."""

_EXCLUDE_KERNEL, _EXCLUDE_HV = 1 << 5, 1 << 6
_TIMES: Final = 1 | 2
"""PERF_FORMAT_TOTAL_TIME_ENABLED and _RUNNING: how long it was meant to count, and did."""


def attr(kind: int, event: Event, *, flags: int = 0, period: int = 0) -> bytes:
    """The beginning of a struct perf_event_attr, up to config1.

    Args:
        kind: type of the PMU.
        event: what to count.
        flags: the bits behind read_format.
        period: events between overflows; 0 only counts.
    """
    return struct.pack(
        "=IIQQQQQIIQ",
        kind,
        ATTR_SIZE,
        event.config,
        period,
        0,
        _TIMES,
        flags,
        0,
        0,
        event.config1,
    )


def open_pair(candidate: Candidate, cpu: int) -> tuple[int, int]:
    """Open both events of a CPU as a group, so that they count at the same times.

    In user mode only: what the kernel reads for a pod (slab, page tables, network buffers) and
    what interrupts read in its time no cpuset can bring to its socket.

    Returns:
        Descriptors of the first and the remote event.

    Raises:
        OSError: the kernel opened them not; names event and CPU.
    """
    pair, pmu = candidate.pair, candidate.pmu_of(cpu)
    if pmu is None:
        raise OSError(errno.ENODEV, f"no PMU counts on CPU {cpu}")
    user = _EXCLUDE_KERNEL | _EXCLUDE_HV
    try:
        first = event_open(attr(pmu.kind, pair.local, flags=user), cpu=cpu)
        try:
            other = attr(pmu.kind, pair.remote, flags=user)
            return first, event_open(other, cpu=cpu, leader=first)
        except OSError:
            os.close(first)
            raise
    except OSError as error:
        raise OSError(error.errno, f"{pair.name} on CPU {cpu}: {_why(error)}") from error


def open_switch(cpu: int) -> int:
    """Open the event that overflows each time the CPU goes from one cgroup to another.

    Raises:
        OSError: the kernel has it not, or no CONFIG_CGROUP_PERF.
    """
    try:
        return event_open(attr(SOFTWARE, Event(CGROUP_SWITCHES), period=1), cpu=cpu)
    except OSError as error:
        why = f"software event cgroup-switches on CPU {cpu}: {_why(error)}"
        raise OSError(error.errno, why) from error


def try_pair(candidate: Candidate, cpus: frozenset[int]) -> str | None:
    """Open the events on one CPU of each PMU and close them again.

    Returns:
        None when the kernel takes them, else why not.
    """
    firsts = {pmu: cpu for cpu in sorted(cpus, reverse=True) if (pmu := candidate.pmu_of(cpu))}
    if not firsts:
        return f"{candidate.pair.name}: no PMU counts on any CPU"
    for cpu in firsts.values():
        try:
            for fd in open_pair(candidate, cpu):
                os.close(fd)
        except OSError as error:
            return str(error.strerror)
    return None


def _why(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return (
            f"{error.strerror} (needs the capability PERFMON, or SYS_ADMIN where "
            "kernel.perf_event_paranoid is above 2)"
        )
    return str(error.strerror)
