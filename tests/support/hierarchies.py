"""This host's cgroup hierarchies, and the one that counters go by."""

from pathlib import Path

from numapin_agent.counters.hosts import counted_version
from numapin_agent.hostpaths import HostPaths


def mount(controller: str) -> Path | None:
    """Where a v1 controller's hierarchy is mounted, or the v2 one for an empty name."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == ("cgroup" if controller else "cgroup2") and (
            not controller or controller in options.split(",")
        ):
            return Path(where)
    return None


def counted() -> Path | None:
    """The hierarchy whose cgroups counters are kept for on this host."""
    return mount("" if counted_version(HostPaths()) == 2 else "memory")


def own(controller: str) -> Path | None:
    """This process's cgroup in a hierarchy; None when it can't be seen from here."""
    lines = [x.split(":", 2) for x in Path("/proc/self/cgroup").read_text().splitlines()]
    inside = next((path for _, names, path in lines if controller in names.split(",")), None)
    top = mount(controller)
    if inside is None or top is None:
        return None
    found = Path(f"{top}{inside}")
    return found if found.is_dir() else None
