"""Reads from /proc and /sys what ``select`` needs. Nothing is opened or counted here."""

from contextlib import suppress
from pathlib import Path

from numapin_agent.counters.pmu.select import Pmu, Processor, processor
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CpuListError


def read_processor(paths: HostPaths) -> Processor:
    """The first CPU; one that nothing is known of when the file can't be read."""
    try:
        return processor(paths.cpuinfo.read_text())
    except OSError:
        return Processor()


def read_pmus(paths: HostPaths) -> tuple[Pmu, ...]:
    """All PMUs that the kernel has; those that can't be read are left out.

    From this container's own sysfs where the host's is not mounted: the kernel is the same.
    """
    found: list[Pmu] = []
    host, own = paths.event_sources, HostPaths().event_sources
    try:
        devices = sorted((host if host.exists() else own).iterdir())
    except OSError:
        return ()
    for device in devices:
        with suppress(OSError, ValueError, CpuListError):
            found.append(
                Pmu(
                    name=device.name,
                    kind=int((device / "type").read_text()),
                    cpus=_cpus(device / "cpus"),
                    events=_names(device / "events"),
                    formats=_names(device / "format"),
                )
            )
    return tuple(found)


def _cpus(file: Path) -> CpuSet | None:
    return CpuSet.parse(file.read_text()) if file.is_file() else None


def _names(directory: Path) -> frozenset[str]:
    return frozenset(p.name for p in directory.iterdir()) if directory.is_dir() else frozenset()
