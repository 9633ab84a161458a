"""Kernel counters per cgroup: NUMA migrations, hint faults, task migrations, cpuset moves.

``Counters`` is the whole interface; the rest is how. Names are resolved lazily because the
loader child imports this package with an interpreter that has bcc but need not have the
agent's dependencies.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numapin_agent.bpf.launch import LoadOptions
    from numapin_agent.counters.reader import Counters
    from numapin_agent.counters.signals import CgroupCounters

__all__ = ["CgroupCounters", "Counters", "LoadOptions"]


_HOMES = {
    "CgroupCounters": "numapin_agent.counters.signals",
    "Counters": "numapin_agent.counters.reader",
    "LoadOptions": "numapin_agent.bpf.launch",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
