"""Says that an agent is at work on this node, to whoever else might write cpusets there.

A shared lock on a file beside the checkpoint: the kernel drops it when the process ends,
however that happens, and it holds across containers and PID namespaces because the file is
the same inode. It deliberately keeps nobody from starting: an agent that can't have the
lock works without it.
"""

import fcntl
import logging
import os
from pathlib import Path

from numapin_api.errors import StateError

log = logging.getLogger(__name__)

_FILE = "agent.lock"


def claim(state_dir: Path) -> int | None:
    """Hold the lock until this process ends.

    Args:
        state_dir: the agent's own directory; made if it is not there.

    Returns:
        The descriptor that holds it; None when it can't be had, which is logged.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(state_dir / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Shared: during a rolling update two agents may overlap.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as e:
        log.warning("%s: %s; `numapin restore` can't tell that an agent runs", state_dir, e)
        return None
    return fd


def claimed(state_dir: Path) -> bool:
    """Whether an agent holds the lock now.

    Raises:
        StateError: the file is there but can't be opened.
    """
    path = state_dir / _FILE
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as e:
        raise StateError(f"{path}: {e.strerror}") from e
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
