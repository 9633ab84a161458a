"""Takes a BPF link away from a running process, as a root who meddles could: run on its machine.

    python3 detach.py PID TRACEPOINT    # closes PID's link to a raw tracepoint
    python3 detach.py PID all           # closes all its links

The process itself closes it: it is stopped (ptrace), made to run close(2) and let go on. x86-64
only; needs nothing but Python.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

ATTACH, DETACH, GETREGS, SETREGS, SINGLESTEP = 16, 17, 12, 13, 9
CLOSE = 3
SYSCALL = 2
"""Bytes of the instruction that a process in a system call has just run."""
NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx"),
    *("rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds"),
    *("es", "fs", "gs"),
)


class Registers(ctypes.Structure):
    """struct user_regs_struct, arch/x86/include/asm/user_64.h."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES]


def links(pid: int, tracepoint: str) -> Iterator[int]:
    """A process' descriptors of links to a raw tracepoint, or of all links."""
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        said = [line.split() for line in info.read_text().splitlines()]
        one = ["tp_name:", tracepoint] in said
        if one or (
            tracepoint == "all" and any(words[0] == "link_type:" for words in said if words)
        ):
            yield int(info.name)


def ptrace(request: int, pid: int, data: object = None) -> None:
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    if call(request, pid, None, data) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace {request}: {os.strerror(code)}")


def close(pid: int, fd: int) -> None:
    """Let a process close one of its descriptors; it must be waiting in a system call."""
    ptrace(ATTACH, pid)
    os.waitpid(pid, 0x40000000)  # __WALL
    try:
        before = Registers()
        ptrace(GETREGS, pid, ctypes.addressof(before))
        wanted = Registers.from_buffer_copy(before)
        wanted.rip, wanted.rax, wanted.rdi = before.rip - SYSCALL, CLOSE, fd
        # No system call to be restarted, so that ours is not taken for one.
        wanted.orig_rax = 2**64 - 1
        ptrace(SETREGS, pid, ctypes.addressof(wanted))
        ptrace(SINGLESTEP, pid)
        os.waitpid(pid, 0x40000000)
        ptrace(SETREGS, pid, ctypes.addressof(before))
    finally:
        ptrace(DETACH, pid)


def main() -> None:
    pid, tracepoint = int(sys.argv[1]), sys.argv[2]
    found = list(links(pid, tracepoint))
    if not found:
        sys.exit(f"process {pid} has no link to {tracepoint}")
    for fd in found:
        close(pid, fd)
    if list(links(pid, tracepoint)):
        sys.exit(f"process {pid} still has its link to {tracepoint}")


if __name__ == "__main__":
    main()
