"""How much page cache memory.min keeps from being reclaimed: the kubelet's MemoryQoS sets it.

A cgroup below its memory.min is passed over by all reclaim that is not its own
(mm/vmscan.c ``shrink_node_memcgs``), until the OOM killer comes. Only cgroups at the top of the
hierarchy are looked at: what is set further down counts as far as those above have it, too, and
with the mount option memory_recursiveprot, systemd's since 247, what the top has counts for all
below. Without that option some more can be reclaimed than is said here.

What can't be read protects nothing: then the kernel's own arithmetic is left, which knows of none.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from numapin_agent.cgroup import files
from numapin_api.errors import CgroupError

_LISTS = ("inactive_file", "active_file")
"""As Inactive(file) and Active(file) of a NUMA node's meminfo: without tmpfs."""
_MAX = 1 << 63


def with_minimum(mount: Path) -> tuple[Path, ...]:
    """The cgroups at the top that have a memory.min; mostly none where MemoryQoS is off.

    Args:
        mount: the host's /sys/fs/cgroup; nothing is found on v1.
    """
    try:
        with os.scandir(mount) as entries:
            tops = sorted(e.path for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return ()
    return tuple(Path(top) for top in tops if _minimum(top))


def protected(cgroups: Iterable[Path]) -> Mapping[int, int]:
    """Bytes of page cache per NUMA node that nobody but the cgroups themselves can reclaim.

    Args:
        cgroups: as of ``with_minimum``.
    """
    found: dict[int, int] = {}
    for cgroup in cgroups:
        with contextlib.suppress(CgroupError):
            spare = max(0, _size(f"{cgroup}/memory.current") - _minimum(cgroup))
            stat = files.read(f"{cgroup}/memory.numa_stat") or ""
            for node, size in kept(cache_by_node(stat), spare=spare).items():
                found[node] = found.get(node, 0) + size
    return found


def cache_by_node(numa_stat: str) -> Mapping[int, int]:
    """Bytes of page cache per NUMA node.

    Args:
        numa_stat: the text of memory.numa_stat.

    Raises:
        CgroupError: a field is not ``N<node>=<bytes>``.
    """
    cache: dict[int, int] = {}
    for line in numa_stat.splitlines():
        name, _, rest = line.partition(" ")
        for text in rest.split() if name in _LISTS else ():
            node, _, size = text.partition("=")
            if not (node[1:].isdecimal() and size.isdecimal()):
                raise CgroupError(f"memory.numa_stat: {text!r} is not N<node>=<bytes>")
            cache[int(node[1:])] = cache.get(int(node[1:]), 0) + int(size)
    return cache


def kept(cache: Mapping[int, int], *, spare: int) -> Mapping[int, int]:
    """What stays of a cgroup's page cache when it is reclaimed down to its memory.min.

    Args:
        cache: bytes per NUMA node.
        spare: bytes, of whatever kind, that it has beyond its memory.min: on each NUMA node so
            much cache may still be had.
    """
    return {node: max(0, size - spare) for node, size in cache.items()}


def _minimum(cgroup: Path | str) -> int:
    """Its memory.min; 0 without one, and where it can't be read."""
    try:
        return _size(f"{cgroup}/memory.min")
    except CgroupError:
        return 0


def _size(file: str) -> int:
    text = (files.read(file) or "0").strip()
    if text == "max":
        return _MAX
    if not text.isdecimal():
        raise CgroupError(f"{file}: {text!r} is not a number of bytes")
    return int(text)
