"""Running a program as a container runtime would: root with few capabilities, and no way back.

Run as a program this drops all but the named ones from the bounding set, so that root's
next exec gets just these, and becomes the command behind them.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NUMBERS: Final = {"BPF": 39, "PERFMON": 38, "SYS_PTRACE": 19, "SYS_NICE": 23}
"""What the chart gives the agent, by the numbers of include/uapi/linux/capability.h."""
SETPCAP: Final = 8
_PR_CAPBSET_DROP: Final = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_CAPABILITY_VERSION_3: Final = 0x20080522

NEEDS: Final[Mapping[str, frozenset[str]]] = {
    "set cpusets, in cgroup files and by D-Bus": frozenset(),
    "count pages migrated by NUMA balancing (numaMigrations)": frozenset({"BPF", "PERFMON"}),
    "count NUMA hint faults (hintFaults)": frozenset({"BPF", "PERFMON"}),
    "count threads moved to another socket (taskMigrations)": frozenset({"BPF", "PERFMON"}),
    "count pages moved by cpuset writes (pinMoves)": frozenset({"BPF", "PERFMON"}),
    "count pages moved by system calls (syscallMoves)": frozenset({"BPF", "PERFMON"}),
    "count threads that the NUMA scanner leaves alone (scannerSkips)": frozenset(
        {"BPF", "PERFMON"}
    ),
    "count reads of DRAM (remoteDram)": frozenset({"BPF", "PERFMON"}),
    "hear at once that a socket runs out of memory": frozenset({"BPF", "PERFMON"}),
    "see where the pages of other users' processes lie": frozenset({"SYS_PTRACE"}),
    "move pages that one process maps": frozenset({"SYS_PTRACE"}),
    "move pages that several processes map": frozenset({"SYS_PTRACE", "SYS_NICE"}),
}
"""What the agent does, and which capabilities that takes."""


def under(kept: Iterable[str]) -> list[str]:
    """The beginning of a command that runs with these capabilities alone."""
    return [sys.executable, __file__, ",".join(sorted(kept))]


def why_not() -> str | None:
    """Why capabilities can't be withheld here, or None."""
    held = effective()
    lacking = [name for name, bit in NUMBERS.items() if not held >> bit & 1]
    if os.geteuid() != 0 or not held >> SETPCAP & 1 or lacking:
        return f"needs root with SETPCAP and {', '.join(NUMBERS)}"
    return None


def effective() -> int:
    """This process's effective capabilities."""
    status = Path("/proc/self/status").read_text()
    return int(next(x for x in status.splitlines() if x.startswith("CapEff:")).split()[1], 16)


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """Has files' modes bind this thread, root's too, as they do the agent."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; twice 32 bits

    def call(function: str, data: ctypes.Array[ctypes.c_char]) -> None:
        if getattr(libc, function)(header, data) != 0:
            raise OSError(ctypes.get_errno(), function)

    call("capget", held)
    first, *rest = struct.unpack("=6I", held.raw)
    less = first & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    call("capset", ctypes.create_string_buffer(struct.pack("=6I", less, *rest), 24))
    try:
        yield
    finally:
        call("capset", held)


def table() -> Iterator[str]:
    """The lines of the table in docs/security.md."""
    yield f"| to | {' | '.join(NUMBERS)} |"
    yield f"|---|{'---|' * len(NUMBERS)}"
    for ability, needed in NEEDS.items():
        cells = ("needed" if name in needed else "" for name in NUMBERS)
        yield f"| {ability} | {' | '.join(cells)} |"


def _main() -> None:
    kept = {NUMBERS[name] for name in sys.argv[1].split(",") if name}
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for bit in range(last + 1):
        if bit not in kept and prctl(_PR_CAPBSET_DROP, bit, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"capability {bit} stays")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    _main()
