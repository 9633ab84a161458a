"""Kernel counters per cgroup: NUMA migrations, hint faults, task migrations, cpuset moves.

``Counters`` is the whole interface; the rest is how. Names are resolved lazily because the
loader child imports this package with an interpreter that has bcc but need not have the
agent's dependencies.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numapin_agent.counters.reader import Counters
    from numapin_agent.counters.signals import CgroupCounters

__all__ = ["CgroupCounters", "Counters"]


def __getattr__(name: str) -> object:
    if name == "Counters":
        from numapin_agent.counters.reader import Counters  # noqa: PLC0415

        return Counters
    if name == "CgroupCounters":
        from numapin_agent.counters.signals import CgroupCounters  # noqa: PLC0415

        return CgroupCounters
    raise AttributeError(name)
