"""System calls that only traces need: events, statistics, queues. Thin, as ``bpf.syscalls``.

Layouts: uapi/linux/bpf.h and uapi/linux/perf_event.h, 64-bit.
"""

import ctypes
import os
import struct
from typing import Final

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.perf import ATTR_SIZE, event_attach, event_open

_LOOKUP_AND_DELETE, _OBJ_INFO, _ENABLE_STATS = 21, 15, 32
_SOFTWARE, _PAGE_FAULTS = 1, 2
_INFO_SIZE, _XLATED_AT = 216, 20

_OPENAT2: Final = 437
_RESOLVE_IN_ROOT: Final = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def perf_open(  # noqa: PLR0913 — as the system call has them
    kind: int, config: int, *, pid: int, cpu: int, period: int = 0, cgroup: bool = False
) -> int:
    """An event of one CPU (perf_event_open(2)).

    Args:
        kind: PERF_TYPE_*.
        config: of the event.
        pid: -1 for all, or a descriptor of a cgroup's directory with ``cgroup``.
        cpu: its number.
        period: sample each so many; 0 to count only.
        cgroup: whether ``pid`` is a cgroup.

    Raises:
        OSError: no such event here, or no right.
    """
    # read_format: time enabled and running, so that shared counters can be scaled
    attr = struct.pack("=IIQQQQ", kind, ATTR_SIZE, config, period, 0, 3)
    return event_open(attr, cpu=cpu, pid=pid, cgroup=cgroup)


def page_fault_event(program: int, cpu: int) -> int:
    """Run a program at each page fault of a CPU."""
    fd = perf_open(_SOFTWARE, _PAGE_FAULTS, pid=-1, cpu=cpu, period=1)
    try:
        event_attach(fd, program)
    except OSError:
        os.close(fd)
        raise
    return fd


def enable_statistics() -> int | None:
    """Have the kernel time programs while this descriptor is open (5.8+); None if refused."""
    try:
        return syscalls.bpf(_ENABLE_STATS, syscalls.attribute("=I", 0))
    except OSError:
        return None


def instructions(program: int) -> int:
    """How many a program has after the verifier's rewriting (CAP_BPF; else 0)."""
    info = ctypes.create_string_buffer(_INFO_SIZE)
    syscalls.bpf(_OBJ_INFO, syscalls.attribute("=IIQ", program, len(info), ctypes.addressof(info)))
    (size,) = struct.unpack_from("=I", info.raw, _XLATED_AT)
    return int(size) // 8


def queue_pop(fd: int, value_size: int) -> bytes | None:
    """Take the oldest out of a queue map; None when it is empty."""
    value = ctypes.create_string_buffer(value_size)
    attr = syscalls.attribute("=IIQQQ", fd, 0, 0, ctypes.addressof(value), 0)
    try:
        syscalls.bpf(_LOOKUP_AND_DELETE, attr)
    except FileNotFoundError:
        return None
    return value.raw


def open_in_root(root: int, path: str) -> int:
    """Open a file to read as a process with that root would find it (openat2(2), 5.6+).

    Symbolic links stay below that root, so that a container can't have a file of the node
    read in place of its own; a pipe doesn't block.

    Args:
        root: descriptor of the root directory.
        path: absolute, as that process sees it.

    Raises:
        OSError: it can't be opened.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    how = struct.pack("=QQQ", flags, 0, _RESOLVE_IN_ROOT)
    buffer = ctypes.create_string_buffer(how, len(how))
    fd = _libc.syscall(
        ctypes.c_long(_OPENAT2), ctypes.c_int(root), name, buffer, ctypes.c_size_t(len(how))
    )
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{path}: {os.strerror(code)}")
    return int(fd)
