"""What is known of system calls by name: what they are about, and which wait by design.

Pure. Numbers differ between machines and come from bcc's table.
"""

from collections.abc import Mapping
from typing import Final

DESCRIPTOR, PATH0, PATH1, WAITS = 1, 2, 3, 16
"""As in ``bpf/syscalls.c``."""

_DESCRIPTOR: Final = frozenset({
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "fsync",
    "fdatasync", "close", "fstat", "ftruncate", "fallocate", "lseek", "ioctl", "connect",
    "accept", "accept4", "getdents64", "fcntl", "sendfile", "splice", "epoll_ctl", "shutdown",
    "flock", "copy_file_range", "sync_file_range", "syncfs", "readahead", "fadvise64", "fchmod",
    "fchown", "fgetxattr", "fsetxattr", "flistxattr", "fstatfs", "fchdir", "vmsplice", "tee",
    "bind", "listen", "getsockopt", "setsockopt", "getsockname", "getpeername", "dup", "dup2",
    "dup3", "inotify_add_watch",
})  # fmt: skip
_PATH0: Final = frozenset({
    "open", "stat", "lstat", "access", "truncate", "mkdir", "rmdir", "unlink", "chmod", "rename",
    "execve", "readlink", "statfs", "chdir", "creat", "link", "symlink", "chown", "lchown",
    "utime", "utimes", "mknod", "umount2", "getxattr", "lgetxattr", "setxattr", "listxattr",
})  # fmt: skip
_PATH1: Final = frozenset({
    "openat", "openat2", "newfstatat", "statx", "faccessat", "faccessat2", "mkdirat", "unlinkat",
    "readlinkat", "renameat", "renameat2", "linkat", "execveat", "fchmodat", "fchmodat2",
    "fchownat", "mknodat", "utimensat", "name_to_handle_at",
})  # fmt: skip
WAITING: Final = frozenset({
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "futex",
    "futex_waitv", "nanosleep", "clock_nanosleep", "pause", "rt_sigsuspend", "rt_sigtimedwait",
    "wait4", "waitid", "accept", "accept4", "restart_syscall", "io_getevents", "io_pgetevents",
    "io_uring_enter", "sched_yield", "msgrcv", "semtimedop", "mq_timedreceive", "exit",
    "exit_group",
})  # fmt: skip
"""Return when something else happens: their length says nothing about the kernel."""


def about(name: str) -> int:
    """What ``bpf/syscalls.c`` is to know of a system call."""
    kind = 0
    if name in _DESCRIPTOR:
        kind = DESCRIPTOR
    elif name in _PATH0:
        kind = PATH0
    elif name in _PATH1:
        kind = PATH1
    return kind | (WAITS if name in WAITING else 0)


def table(names: Mapping[int, str]) -> dict[int, int]:
    """``about`` by number, of those of which something is known."""
    return {number: known for number, name in names.items() if (known := about(name))}
