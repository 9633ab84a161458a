"""The ids of all cgroups of the host, to tell which of those that were counted are gone.

Reads directories only; whose a cgroup is does not matter here.
"""

import os
from pathlib import Path


def ids_below(top: Path) -> frozenset[int]:
    """Ids of a cgroup and all below it: their inode numbers, on v2 and 64-bit kernels from 5.5.

    Args:
        top: root of the cgroup file system.
    """
    found = set()
    for path, _, _ in os.walk(top):
        try:
            found.add(os.stat(path).st_ino)  # noqa: PTH116 -- a Path costs more than the call
        except FileNotFoundError:
            continue
    return frozenset(found)
