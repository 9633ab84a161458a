"""move_pages(2) by ctypes: where pages of another process lie, and moving them.

glibc has no wrapper for it and libnuma would be one more shared library for one call.
The GIL is released during the call. Knows nothing of pods or pacing.
"""

# array.array can't be subscripted at run time before Python 3.12.
from __future__ import annotations

import ctypes
import errno
import os
import platform
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

from numapin_api.errors import MoveError

_NUMBERS: Final = {
    "x86_64": 279,
    "aarch64": 239,
    "riscv64": 239,
    "loongarch64": 239,
    "ppc64le": 301,
    "s390x": 310,
}
"""Per arch/*/entry/syscalls and include/uapi/asm-generic/unistd.h."""
MOVE: Final = 1 << 1
"""MPOL_MF_MOVE: pages that only this process maps."""
MOVE_ALL: Final = 1 << 2
"""MPOL_MF_MOVE_ALL: shared pages too; needs CAP_SYS_NICE."""
UNTOUCHED: Final = -4095
"""Status of a page that the call never came to: no errno is that."""


class MoveResult(NamedTuple):
    """Result of one call.

    Attributes:
        status: per page the NUMA node it is on now, a negative errno, or ``UNTOUCHED``.
        failed: pages that were not moved (the call stops early at the first failure).
    """

    status: array[int]
    failed: int


class MovePages:
    """The system call of this machine's architecture.

    Raises:
        MoveError: this architecture's number is not known.
    """

    def __init__(self) -> None:
        machine = platform.machine()
        if machine not in _NUMBERS:
            raise MoveError(f"move_pages(2) is not known for {machine}")
        self._number = _NUMBERS[machine]
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long

    def query(self, pid: int, addresses: array[int]) -> array[int]:
        """Where pages lie.

        Args:
            pid: the process, in the caller's PID namespace.
            addresses: of the pages; type code ``Q``.

        Returns:
            Per page its NUMA node, or a negative errno (-ENOENT: not in memory).

        Raises:
            ProcessLookupError: the process is gone.
            PermissionError: CAP_SYS_PTRACE is lacking.
            OSError: anything else.
        """
        return self._call(pid, addresses, None, 0).status

    def move(self, pid: int, addresses: array[int], node: int, *, flags: int) -> MoveResult:
        """Move pages to a NUMA node.

        Args:
            pid: the process, in the caller's PID namespace.
            addresses: of the pages; one address moves a whole huge page.
            node: must be in the process's cpuset.
            flags: ``MOVE`` or ``MOVE_ALL``.

        Raises:
            ProcessLookupError: the process is gone.
            PermissionError: CAP_SYS_PTRACE is lacking, CAP_SYS_NICE for ``MOVE_ALL``, or
                (EACCES) the node is outside of the process's cpuset.
            OSError: anything else.
        """
        nodes = array("i", [node]) * len(addresses)
        return self._call(pid, addresses, nodes, flags)

    def _call(
        self, pid: int, addresses: array[int], nodes: array[int] | None, flags: int
    ) -> MoveResult:
        status = array("i", [UNTOUCHED]) * len(addresses)
        result = self._syscall(
            ctypes.c_long(self._number),
            ctypes.c_long(pid),
            ctypes.c_ulong(len(addresses)),
            ctypes.c_void_p(addresses.buffer_info()[0]),
            ctypes.c_void_p(nodes.buffer_info()[0] if nodes is not None else None),
            ctypes.c_void_p(status.buffer_info()[0]),
            ctypes.c_long(flags),
        )
        if result < 0:
            code = ctypes.get_errno()
            if code == errno.ENOENT:
                # Before Linux 4.17: every page is on its node already, or not there at all.
                return MoveResult(status, 0)
            raise OSError(code, os.strerror(code), f"move_pages({pid})")
        return MoveResult(status, result)


def pages(addresses: Sequence[int]) -> array[int]:
    """Addresses as the system call takes them."""
    return array("Q", addresses)
