"""Reading and writing single cgroup files without ever leaving the tree.

The agent writes as root on the host, so a path is walked component by component with
O_NOFOLLOW from the kubepods root: a symbolic link or ``..`` in it is an error, not a detour.
"""

import errno
import os
from pathlib import Path

from numapin_api.errors import CgroupError


def read(path: Path | str) -> str | None:
    """The content of a cgroup file.

    Returns:
        None when the file or its cgroup is gone (ENODEV is what kernfs says when the
        cgroup was removed while the file was open).

    Raises:
        CgroupError: it is there but can't be read.
    """
    # Bare system calls: hundreds of these files are read each tick, and io.open with its
    # buffer and decoder costs several times what the kernel does.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(fd, 1 << 16):
                parts.append(part)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None
    except OSError as e:
        if e.errno in (errno.ENODEV, errno.ENOTDIR):
            return None
        raise CgroupError(f"{path}: {e.strerror}") from e
    return b"".join(parts).decode("ascii")


def write(root: Path, path: Path, text: str) -> None:
    """Put a text into a cgroup file in one system call, as the kernel wants it.

    Args:
        root: the kubepods root; nothing outside it is ever opened.
        path: the file.
        text: what to write.

    Raises:
        CgroupError: the path leaves the root, holds a symbolic link, or the kernel
            refuses; the message carries the file, the text and the kernel's reason.
    """
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts:
        raise CgroupError(f"{path} is not below {root}: refusing to write there")
    try:
        at = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                child = os.open(part, flags, dir_fd=at)
                os.close(at)
                at = child
            flags = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(parts[-1], flags, dir_fd=at)
        finally:
            os.close(at)
        try:
            os.write(fd, f"{text}\n".encode("ascii"))
        finally:
            os.close(fd)
    except OSError as e:
        raise CgroupError(f"writing {text!r} to {path}: {e.strerror}") from e
