"""How much CPU time waits for memory, from what the kernel and the CPUs count anyway.

Cycles, instructions and stalled cycles by PMU where there is one; pressure (PSI), CPU time and
page faults from the cgroup's or the node's own files. Attaches nothing.
"""

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace import kernel
from numapin_agent.trace.result import Figure
from numapin_api.errors import CgroupError

_HARDWARE: Final = 0
_RAW: Final = 4
_BACKEND: Final = "cycles stalled in the backend"
_LOADS: Final = "cycles stalled by loads that miss L1"
_EVENTS: Final = {"cycles": 0, "instructions": 1, _BACKEND: 8}
"""PERF_COUNT_HW_*, uapi/linux/perf_event.h."""
_STALLS_L1D_MISS: Final = 0x0C000CA3
"""CYCLE_ACTIVITY.STALLS_L1D_MISS of Intel's servers: event A3, umask 0C, at least 12. For these the
kernel has no event of stalled cycles by a general name."""
_INTEL_SERVERS: Final = frozenset({0x55, 0x6A, 0x6C, 0x8F, 0xCF, 0xAD, 0xAE})
"""Models of family 6 that have it, from Skylake-SP to Granite Rapids."""
_WAITS: Final = {
    _BACKEND: "cycles that wait in the backend",
    _LOADS: "cycles that wait for loads that miss L1",
}


def pressure(text: str) -> dict[str, int]:
    """Microseconds of ``some`` and ``full`` since boot, from a PSI file."""
    found = {}
    for line in text.splitlines():
        kind, *fields = line.split()
        totals = [one.removeprefix("total=") for one in fields if one.startswith("total=")]
        if totals and totals[0].isdigit():
            found[kind] = int(totals[0])
    return found


def flat(text: str) -> dict[str, int]:
    """A file of lines ``name number``; other lines are left out."""
    parts = (line.split() for line in text.splitlines())
    return {part[0]: int(part[1]) for part in parts if len(part) == 2 and part[1].isdigit()}


def scaled(value: bytes) -> int | None:
    """A counter that shared its hardware, as if it had had it always; None if it never had it.

    Args:
        value: what read(2) gives: count, time enabled, time running.
    """
    count, enabled, ran = struct.unpack("=QQQ", value)
    if not ran:
        return None if enabled else 0
    return int(count * enabled // ran)


def pmu_figures(counts: dict[str, int]) -> list[Figure]:
    """What cycles and instructions say together."""
    found = [Figure(name=name, value=value, unit="") for name, value in counts.items()]
    cycles, instructions = counts.get("cycles", 0), counts.get("instructions", 0)
    if cycles and instructions:
        per_cycle = round(instructions / cycles, 2)
        found.append(Figure(name="instructions per cycle", value=per_cycle, unit=""))
    for event, called in _WAITS.items():
        if cycles and event in counts:
            share = round(100 * counts[event] / cycles, 1)
            found.append(Figure(name=called, value=share, unit="%"))
    return found


def intel_server(cpuinfo: str) -> bool:
    """Whether a /proc/cpuinfo is of an Intel server that tells of stalls by loads."""
    first = cpuinfo.partition("\n\n")[0].splitlines()
    said = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in first)}
    model = said.get("model", "")
    return (
        (said.get("vendor_id"), said.get("cpu family")) == ("GenuineIntel", "6")
        and model.isdigit()
        and int(model) in _INTEL_SERVERS
    )


def uncounted(name: str, error: OSError) -> str:
    """Why there is no figure of a PMU's event, in words."""
    if isinstance(error, PermissionError):
        return (
            f"{name}: not counted: {error.strerror}: needs the capability PERFMON, where "
            "kernel.perf_event_paranoid is above 2 SYS_ADMIN; or sysctl -w "
            "kernel.perf_event_paranoid=0"
        )
    return f"{name}: not counted by this CPU's PMU: {error.strerror}"


@dataclass(slots=True)
class Watch:
    """Counters read at the begin and at the end.

    Attributes:
        paths: of the host.
        directory: of the cgroup, None for the node.
        online: CPU numbers.
    """

    paths: HostPaths
    directory: Path | None
    online: Iterable[int]
    _before: dict[str, int] = field(default_factory=dict)
    _events: dict[str, list[int]] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Open the CPUs' counters and read the kernel's.

        Raises:
            CgroupError: it has ended.
        """
        target = -1
        if self.directory is not None:
            try:
                target = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise CgroupError(f"{self.directory}: ended meanwhile: {error.strerror}") from error
        try:
            for name, config in _EVENTS.items():
                self._open(name, _HARDWARE, config, target)
            if _BACKEND not in self._events and self._tells_loads():
                self._notes = [one for one in self._notes if not one.startswith(_BACKEND)]
                self._open(_LOADS, _RAW, _STALLS_L1D_MISS, target)
        finally:
            if target >= 0:
                os.close(target)
        self._before = self._read()

    def _tells_loads(self) -> bool:
        try:
            return intel_server((self.paths.proc / "cpuinfo").read_text(errors="replace"))
        except OSError:
            return False

    def _open(self, name: str, kind: int, config: int, target: int) -> None:
        fds: list[int] = []
        try:
            for cpu in self.online:
                fd = kernel.perf_open(kind, config, pid=target, cpu=cpu, cgroup=target >= 0)
                fds.append(fd)
        except OSError as error:
            for fd in fds:
                os.close(fd)
            self._notes.append(uncounted(name, error))
        else:
            self._events[name] = fds

    def end(self, seconds: float) -> tuple[list[Figure], list[str]]:
        """What changed, and what could not be had."""
        now = self._read()
        notes = list(self._notes)
        counts = {}
        for name, fds in self._events.items():
            each = [scaled(os.read(fd, 24)) for fd in fds]
            known = [one for one in each if one is not None]
            if known:
                counts[name] = sum(known)
            if len(known) < len(each):
                notes.append(
                    f"{name}: not counted on {len(each) - len(known)} CPUs, whose counters others "
                    "had all the time"
                )
        found = pmu_figures(counts)
        for name, value in now.items():
            if name in self._before:
                unit = "ms/s" if name.startswith(("waiting", "CPU time")) else "/s"
                scale = 1e3 if unit == "ms/s" else 1
                rate = round((value - self._before[name]) / scale / seconds, 3)
                found.append(Figure(name=name, value=rate, unit=unit))
        if not any(name.startswith("waiting") for name in now):
            notes.append("pressure (PSI) is not kept here: boot with psi=1")
        return found, notes

    def close(self) -> None:
        """Close the CPUs' counters."""
        while self._events:
            for fd in self._events.popitem()[1]:
                os.close(fd)

    def _read(self) -> dict[str, int]:
        found: dict[str, int] = {}
        node = self.directory is None
        files = self.directory or self.paths.proc
        with suppress(OSError):
            text = (files / ("pressure/memory" if node else "memory.pressure")).read_text()
            for kind, total in pressure(text).items():
                found[f"waiting for memory, {kind} tasks"] = total
        with suppress(OSError):
            counted = flat((files / ("vmstat" if node else "memory.stat")).read_text())
            for name, called in (
                ("pgfault", "page faults"),
                ("pgmajfault", "page faults that read from disk"),
                ("numa_hint_faults", "NUMA hint faults"),
            ):
                if name in counted:
                    found[called] = counted[name]
        with suppress(OSError):
            if node:
                fields = (files / "stat").read_text().splitlines()[0].split()
                busy = sum(int(x) for x in (*fields[1:4], *fields[6:8]))
                found["CPU time"] = busy * 1_000_000 // os.sysconf("SC_CLK_TCK")
            else:
                found["CPU time"] = flat((files / "cpu.stat").read_text())["usage_usec"]
        return found
