"""Perf events: what programs are attached to where tracepoints won't do, and what counts alone.

Thin, as ``syscalls``: which events there are is their users'. Layout: uapi/linux/perf_event.h,
64-bit.
"""

import ctypes
import fcntl
import os
import struct
from typing import Final

from numapin_agent.bpf import syscalls

ATTR_SIZE: Final = 112
"""Of struct perf_event_attr as of version 5, which every supported kernel knows."""
_SET_BPF, _ENABLE = 0x40042408, 0x2400
_CLOEXEC, _PID_CGROUP = 8, 4


def event_open(
    attr: bytes, *, cpu: int, leader: int = -1, pid: int = -1, cgroup: bool = False
) -> int:
    """Open an event that counts on a CPU (perf_event_open(2)).

    Args:
        attr: a struct perf_event_attr; zeros that are missing at its end are added.
        cpu: number of the CPU.
        leader: descriptor of the event that this one is always counted together with.
        pid: whose; -1 for all, or a descriptor of a cgroup's directory with ``cgroup``.
        cgroup: whether ``pid`` is a cgroup.

    Raises:
        OSError: no such event here, or no right.
    """
    padded = attr.ljust(ATTR_SIZE, b"\0")
    return syscalls.system_call(
        "perf_event_open",
        ctypes.create_string_buffer(padded, len(padded)),
        ctypes.c_int(pid),
        ctypes.c_int(cpu),
        ctypes.c_int(leader),
        ctypes.c_ulong(_CLOEXEC | (_PID_CGROUP if cgroup else 0)),
    )


def event_attach(event: int, program: int) -> None:
    """Have a program run at each overflow of an event, and start the event."""
    fcntl.ioctl(event, _SET_BPF, program)
    fcntl.ioctl(event, _ENABLE, 0)


def kprobe_open(program: int, function: str, pmu_type: int, *, returns: bool = False) -> int:
    """Attach a kprobe program through a perf event of its own.

    Nothing is left in tracefs and none is needed; the probe goes when the last copy of the
    descriptor is closed.

    Args:
        program: descriptor of a loaded PROG_KPROBE.
        function: kernel symbol.
        pmu_type: number in /sys/bus/event_source/devices/kprobe/type.
        returns: whether to run at the function's return (kretprobe).
    """
    symbol = ctypes.create_string_buffer(function.encode())
    attr = struct.pack("=IIQ", pmu_type, ATTR_SIZE, int(returns)) + bytes(32)
    attr += struct.pack("=IIQQ", 0, 0, ctypes.addressof(symbol), 0)
    fd = event_open(attr, cpu=0)
    try:
        event_attach(fd, program)
    except OSError:
        os.close(fd)
        raise
    return fd
