"""Reads of the host's sysfs and procfs, below a relocatable root.

Only reads: which files there are, and what they say, as text. What it means is decided in
``numapin_agent.topology`` and ``numapin_agent.availability``. Some kernels and dump tools
end files in NUL bytes; those are dropped here, nothing else is changed.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from numapin_agent import availability, hugepages
from numapin_agent.cgroup import protection
from numapin_agent.hostpaths import HostPaths
from numapin_agent.topology import RawCpu, RawMachine, RawNode, build
from numapin_api.errors import TopologyError
from numapin_api.topology import Topology

_CPU = re.compile(r"cpu(\d{1,7})", re.ASCII)
_NODE = re.compile(r"node(\d{1,7})", re.ASCII)
_POOL = re.compile(r"hugepages-(\d{1,9})kB", re.ASCII)
_ABSENT = (FileNotFoundError, NotADirectoryError)


def read_topology(
    paths: HostPaths, *, read: Callable[[HostPaths], RawMachine] | None = None
) -> Topology:
    """The machine's sockets, NUMA nodes and distances.

    Args:
        paths: where the host's sys and proc are.
        read: how to read the files; ``read_machine`` by default.

    Raises:
        TopologyError: sysfs is missing, unreadable, truncated or contradicts itself.
    """
    read = read or read_machine
    try:
        return build(read(paths))
    except TopologyError:
        # a CPU that is plugged or unplugged between two reads looks like a contradiction
        return build(read(paths))


def read_machine(paths: HostPaths) -> RawMachine:
    """All files that the topology is made of, as found.

    Args:
        paths: where the host's sys and proc are.

    Raises:
        TopologyError: there is no cpu directory, or a file can't be read.
    """
    cpu_ids = sorted(i for i, _ in _numbered(paths.cpu_dir, _CPU))
    if not cpu_ids:
        raise TopologyError(
            f"{paths.cpu_dir} has no cpuN directory: {paths.root} must hold the host's sys and proc"
        )
    cpus = tuple(_cpu(f"{paths.cpu_dir}/cpu{i}", i) for i in cpu_ids)
    if any(_names_package(c) for c in cpus) and not all(_names_package(c) for c in cpus):
        cpus = tuple(_with_siblings(f"{paths.cpu_dir}/cpu{c.id}", c) for c in cpus)
    return RawMachine(
        cpu_dir=str(paths.cpu_dir),
        node_dir=str(paths.node_dir),
        meminfo_path=str(paths.meminfo),
        online=_text(f"{paths.cpu_dir}/online"),
        cpus=cpus,
        possible_nodes=_text(f"{paths.node_dir}/possible"),
        nodes=tuple(
            _node(f"{paths.node_dir}/node{i}", i)
            for i, _ in sorted(_numbered(paths.node_dir, _NODE))
        ),
        meminfo=_text(str(paths.meminfo)),
    )


def available_memory(paths: HostPaths, *, page_bytes: int | None = None) -> Mapping[int, int]:
    """Memory of each NUMA node that can be had without swapping, in bytes.

    Args:
        paths: where the host's sys, proc and cgroups are.
        page_bytes: size of a page, for ``/proc/zoneinfo``; that of this machine if absent.

    Returns:
        NUMA node id → bytes, see ``numapin_agent.availability``. Kernels without NUMA
        have node 0.

    Raises:
        TopologyError: a meminfo is missing or not what Linux writes.
    """
    page_bytes = os.sysconf("SC_PAGE_SIZE") if page_bytes is None else page_bytes
    zones = availability.parse_zones(
        _text(str(paths.proc / "zoneinfo")) or "", page_bytes=page_bytes
    )
    files = {i: f"{path}/meminfo" for i, path in _numbered(paths.node_dir, _NODE)}
    protected = protection.protected(protection.with_minimum(paths.cgroup))
    result = {}
    for node, file in sorted((files or {0: str(paths.meminfo)}).items()):
        text = _text(file)
        if text is None:
            raise TopologyError(f"{file} is missing; each NUMA node has one")
        try:
            memory = availability.parse_meminfo(text)
        except ValueError as e:
            raise TopologyError(f"{file}: {e}") from e
        result[node] = availability.available(
            memory, zones.get(node, availability.NO_ZONES), protected=protected.get(node, 0)
        )
    return result


def huge_pages(paths: HostPaths) -> tuple[hugepages.Pool, ...]:
    """The pools of huge pages of all NUMA nodes, also empty ones.

    Args:
        paths: where the host's sys is. Kernels without NUMA keep them elsewhere and have none here.

    Raises:
        TopologyError: a file is there and can't be read.
    """
    found = []
    for node, path in sorted(_numbered(paths.node_dir, _NODE)):
        for kib, pool in sorted(_numbered(Path(path, "hugepages"), _POOL)):
            size = hugepages.size_of(f"hugepages-{kib}kB")
            if size is not None:
                pages, free = (
                    hugepages.count(_text(f"{pool}/{name}") or "")
                    for name in ("nr_hugepages", "free_hugepages")
                )
                found.append(hugepages.Pool(node=node, size=size, pages=pages, free=free))
    return tuple(found)


def cpu_stat(paths: HostPaths) -> str:
    """Text of ``/proc/stat``; empty if there is none.

    Args:
        paths: where the host's proc is.

    Raises:
        TopologyError: the file is there and can't be read.
    """
    return _text(str(paths.proc / "stat")) or ""


def numa_balancing(paths: HostPaths) -> bool:
    """Whether the kernel's NUMA balancing is on.

    Bit 0 of the sysctl (NUMA_BALANCING_NORMAL); bit 1 alone is memory tiering, which
    moves pages between memory tiers and not towards the CPUs that use them.

    Args:
        paths: where the host's proc is.

    Raises:
        TopologyError: the sysctl is there but not a number.
    """
    text = _text(str(paths.numa_balancing))
    if text is None:
        return False
    try:
        return bool(int(text) & 1)
    except ValueError as e:
        raise TopologyError(f"{paths.numa_balancing} is {text!r}; allowed is a number") from e


def kernel_release(paths: HostPaths) -> str:
    """What ``uname -r`` prints on the host.

    Args:
        paths: where the host's proc is.

    Raises:
        TopologyError: the file is missing or empty.
    """
    text = (_text(str(paths.kernel_release)) or "").strip()
    if not text:
        raise TopologyError(f"{paths.kernel_release} is missing or empty")
    return text


def _numbered(directory: Path, pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """(N, path) of the directories (or links to them) that are named like cpuN."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if (m := pattern.fullmatch(entry.name)) and entry.is_dir():
                    yield int(m[1]), entry.path
    except _ABSENT:
        return
    except OSError as e:
        raise TopologyError(f"{directory} can't be read: {e.strerror}") from e


def _cpu(path: str, cpu: int) -> RawCpu:
    package = _text(f"{path}/topology/physical_package_id")
    return RawCpu(
        id=cpu,
        online=_text(f"{path}/online"),
        has_topology=package is not None or Path(path, "topology").is_dir(),
        package=package,
    )


def _names_package(cpu: RawCpu) -> bool:
    return cpu.package is not None and cpu.package.strip() != "-1"


def _with_siblings(path: str, cpu: RawCpu) -> RawCpu:
    siblings = _text(f"{path}/topology/package_cpus")
    if siblings is None:
        siblings = _text(f"{path}/topology/core_siblings")
    return RawCpu(
        id=cpu.id,
        online=cpu.online,
        has_topology=cpu.has_topology,
        package=cpu.package,
        siblings=siblings,
    )


def _node(path: str, node: int) -> RawNode:
    try:
        with os.scandir(path) as entries:
            names = [e.name for e in entries]
    except OSError as e:
        raise TopologyError(f"{path} can't be read: {e.strerror}") from e
    return RawNode(
        id=node,
        cpulist=_text(f"{path}/cpulist"),
        cpumap=_text(f"{path}/cpumap"),
        # Dumps keep these links without their targets: names are all that counts.
        links=frozenset(int(m[1]) for m in map(_CPU.fullmatch, names) if m),
        meminfo=_text(f"{path}/meminfo"),
        distance=_text(f"{path}/distance"),
    )


def _text(path: str) -> str | None:
    """A file's text, None if there is no such file. sysfs files are one read(2) each."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except _ABSENT:
        return None
    except OSError as e:
        raise TopologyError(f"{path} can't be read: {e.strerror}") from e
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
    except OSError as e:
        raise TopologyError(f"{path} can't be read: {e.strerror}") from e
    finally:
        os.close(fd)
    return b"".join(chunks).rstrip(b"\0").decode("ascii", "backslashreplace")


def or_own(host: Path, own: Path) -> Path:
    """The host's file, or where that is not mounted this container's: the kernel is the same."""
    return own if own.exists() and not host.exists() else host
