"""Other programs that write cpusets, by the names that they run and are installed under.

Names only: what such a program does to one pod is for the agent to see (it stands back with
``Conflict``). A renamed program is not recognised, so "none found" is no proof.
"""

from collections.abc import Iterable, Mapping
from typing import Final

TOOLS: Final[Mapping[str, str]] = {
    "nri-resource-policy-topology-aware": "nri-plugins topology-aware",
    "nri-resource-policy-balloons": "nri-plugins balloons",
    "nri-resource-policy-template": "nri-plugins template policy",
    "nri-memory-policy": "nri-plugins memory-policy",
    "nri-memtierd": "nri-plugins memtierd",
    "cri-resmgr": "CRI Resource Manager",
    "cri-resmgr-agent": "CRI Resource Manager",
    "cmk": "CPU Manager for Kubernetes (CMK)",
    "cpusetter": "CPU-Pooler",
    "cpu-device-plugin": "CPU-Pooler",
    "koordlet": "Koordinator",
    "katalyst-agent": "Katalyst",
    "dracpu": "dra-driver-cpu",
    "crane-agent": "Crane",
    "numad": "numad",
}
"""Name of the program, which is also that of its DaemonSet or image → whose it is."""

SOCKETS: Final[Mapping[str, str]] = {
    "run/cri-resmgr/cri-resmgr.sock": "CRI Resource Manager",
    "run/koordlet/koordlet.sock": "Koordinator",
}
"""Unix socket below the host's root → who listens there."""


def running(commands: Iterable[str]) -> tuple[str, ...]:
    """Tools among the processes of a machine.

    Args:
        commands: the first argument of each process; a path or a name.
    """
    names = {c.rpartition("/")[2] for c in commands}
    return tuple(sorted({TOOLS[n] for n in names if n in TOOLS}))


def workload(name: str, images: Iterable[str]) -> str | None:
    """The tool that a DaemonSet runs, None if it is none that is known.

    Args:
        name: of the DaemonSet; charts put it behind the release's name.
        images: of its containers, with registry and tag.
    """
    bases = {i.partition("@")[0].rpartition("/")[2].partition(":")[0] for i in images}
    for known, tool in TOOLS.items():
        if name == known or name.endswith(f"-{known}") or known in bases:
            return tool
    return None
