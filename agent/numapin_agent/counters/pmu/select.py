"""Chooses the PMU events to try on a machine, or says why none can work.

Pure: what the machine is made of comes from ``machine``. Whether the kernel really opens an
event is found out by opening it: virtual machines often have a PMU with few events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from numapin_agent.counters.pmu.events import (
    AMD,
    ARM,
    ARM_EVENTS,
    INTEL_FAMILY_6,
    ZEN2_FIRST_MODEL,
    Pair,
)
from numapin_api.cpulist import CpuSet

_X86: Final = "cpu"
_HYBRID: Final = frozenset({"cpu_core", "cpu_atom", "cpu_lowpower"})
_ARM: Final = "armv8_"
_OFFCORE: Final = "offcore_rsp"


@dataclass(frozen=True, slots=True)
class Processor:
    """What /proc/cpuinfo says of the first CPU.

    Attributes:
        vendor: such as ``GenuineIntel``; empty on Arm.
        family: CPU family; 0 on Arm.
        model: CPU model; 0 on Arm.
        name: for people.
        virtual: whether this is a virtual machine that says so.
    """

    vendor: str = ""
    family: int = 0
    model: int = 0
    name: str = "this CPU"
    virtual: bool = False


@dataclass(frozen=True, slots=True)
class Pmu:
    """A device in /sys/bus/event_source/devices.

    Attributes:
        name: of its directory.
        kind: number that perf_event_open(2) takes as type.
        cpus: that it counts on; None means all.
        events: names that the kernel lists.
        formats: names of the fields that its events have.
    """

    name: str
    kind: int
    cpus: CpuSet | None = None
    events: frozenset[str] = field(default_factory=frozenset)
    formats: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Events to try.

    Attributes:
        pair: the events.
        pmus: that have them; together they cover every CPU.
        caveat: what these counts lack, or None.
    """

    pair: Pair
    pmus: tuple[Pmu, ...]
    caveat: str | None = None

    def pmu_of(self, cpu: int) -> Pmu | None:
        """The PMU that counts on a CPU."""
        return next((p for p in self.pmus if p.cpus is None or cpu in p.cpus), None)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to try.

    Attributes:
        candidates: best first; empty when nothing can work.
        reason: why nothing can; None when something may.
    """

    candidates: tuple[Candidate, ...] = ()
    reason: str | None = None


def processor(cpuinfo: str) -> Processor:
    """Read the first CPU of a /proc/cpuinfo."""
    first = cpuinfo.strip().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    said = {name.strip(): value.strip() for name, _, value in pairs}
    named = said.get("model name")
    if named is None and "CPU part" in said:
        named = f"Arm implementer {said.get('CPU implementer', '?')} part {said['CPU part']}"
    return Processor(
        vendor=said.get("vendor_id", ""),
        family=_number(said, "cpu family"),
        model=_number(said, "model"),
        name=named or "this CPU",
        virtual="hypervisor" in said.get("flags", "").split(),
    )


def _number(said: Mapping[str, str], name: str) -> int:
    text = said.get(name, "")
    return int(text) if text.isdecimal() else 0


def select(
    cpu: Processor, pmus: Sequence[Pmu], *, sockets: int, one_node_per_socket: bool
) -> Selection:
    """Which events to try on this machine.

    Args:
        cpu: from ``processor``.
        pmus: all that the kernel has.
        sockets: how many there are.
        one_node_per_socket: whether each socket is one NUMA node.
    """
    if sockets < 2:
        return Selection(reason="one socket: there is no remote DRAM")
    found = _arm(cpu, pmus) if not cpu.vendor else _x86(cpu, pmus)
    if isinstance(found, str):
        return Selection(reason=found)
    usable = tuple(c for c in found if one_node_per_socket or c.pair.by_socket)
    if not usable:
        return Selection(
            reason=f"{found[0].pair.name} tell NUMA nodes apart, not sockets, and a socket here "
            "holds several (sub-NUMA clustering, NPS)"
        )
    if cpu.virtual:
        virtual = "a virtual machine: the counts are as good as the hypervisor makes them"
        usable = tuple(
            replace(c, caveat="; ".join(filter(None, (c.caveat, virtual)))) for c in usable
        )
    return Selection(usable)


def _x86(cpu: Processor, pmus: Sequence[Pmu]) -> tuple[Candidate, ...] | str:
    pairs: tuple[Pair, ...] = ()
    if cpu.vendor == "GenuineIntel" and cpu.family == 6:
        pairs = INTEL_FAMILY_6.get(cpu.model, ())
    elif cpu.vendor == "AuthenticAMD" and (cpu.family > 0x17 or cpu.model >= ZEN2_FIRST_MODEL):
        pairs = AMD.get(cpu.family, ())
    if not pairs:
        return (
            f"no events known that tell local from remote DRAM on {cpu.name} "
            f"({cpu.vendor} family {cpu.family} model {cpu.model})"
        )
    pmu = next((p for p in pmus if p.name == _X86), None)
    if pmu is None:
        if {p.name for p in pmus} & _HYBRID:
            return f"{cpu.name} has CPUs of several kinds: no events known for these"
        return _no_pmu(cpu)
    found = tuple(
        Candidate(pair, (pmu,), pair.counts)
        for pair in pairs
        if not pair.remote.config1 or _OFFCORE in pmu.formats
    )
    return found or f"{pairs[0].name} need the PMU's field {_OFFCORE}, which it lacks here"


def _arm(cpu: Processor, pmus: Sequence[Pmu]) -> tuple[Candidate, ...] | str:
    """By what the kernel lists, which is what the CPUs say they have (PMCEID)."""
    ours = tuple(p for p in pmus if p.name.startswith(_ARM))
    if not ours:
        return _no_pmu(cpu)
    for pmu in ours:
        lacking = [name for name in ARM_EVENTS if name not in pmu.events]
        if lacking:
            return f"{cpu.name}: its PMU {pmu.name} has no event {' nor '.join(lacking)}"
    return (Candidate(ARM, ours, ARM.counts),)


def _no_pmu(cpu: Processor) -> str:
    why = ", as in most virtual machines" if cpu.virtual else ""
    return f"the kernel has no PMU for {cpu.name}{why}"
