"""What is asked: which probe, of whom, with what; checked before anything is loaded.

Standard library only: the loader child reads it too.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

PROBES: Final[Mapping[str, str]] = {
    "timers": "Slowest timer callbacks by kernel function; known causes with their remedy.",
    "softirqs": "Time in softirqs by vector and CPU; for a pod: what they took from its threads.",
    "hardirqs": "Time in hard interrupts by device and CPU; for a pod: taken from its threads.",
    "function": "Latency of one kernel function; --stacks: who calls it.",
    "run-queue": "How long threads that could run waited for a CPU.",
    "off-cpu": "Where threads wait: flame graph of time off the CPU.",
    "syscalls": "Latency by system call; the slowest with the files and sockets they were about.",
    "numa-moves": "NUMA page migrations: how many, how long, who caused them.",
    "page-faults": "Flame graph of page faults, user and kernel stacks.",
    "netfilter": "Latency of netfilter by hook, family and protocol.",
    "net-rx": "Receive path in stages: interrupt, softirq, stack, read by the process.",
    "memory-wait": "How much CPU time waits for memory: PMU where there is one, PSI, faults.",
    "spike": "Names what overlapped the moments when a pod's system calls were slow.",
}
"""Every probe and what it answers."""

HAVE_PATHS: Final = frozenset({"page-faults", "off-cpu", "numa-moves", "memory-wait", "function"})
"""Tell call paths; ``function`` when asked to."""
TAKES_STACKS: Final = frozenset({"function"})
TAKES_THRESHOLD: Final = frozenset({"timers", "softirqs", "hardirqs", "syscalls", "spike"})
DEFAULT_THRESHOLD: Final = 1_000_000
"""Nanoseconds; a millisecond is long for each of them."""
_FUNCTION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,126}")


class QuestionError(ValueError):
    """What is asked makes no sense."""


@dataclass(frozen=True, slots=True)
class Question:
    """A probe and its arguments.

    Attributes:
        probe: a key of ``PROBES``.
        function: kernel function, for ``function`` alone.
        stacks: whether ``function`` counts its callers, too.
        threshold: nanoseconds from which single events are kept as moments.

    Raises:
        QuestionError: no such probe, or an argument that it lacks or doesn't take.
    """

    probe: str
    function: str | None = None
    stacks: bool = False
    threshold: int = DEFAULT_THRESHOLD

    def __post_init__(self) -> None:
        if self.probe not in PROBES:
            raise QuestionError(f"probe {self.probe!r}: must be one of {', '.join(PROBES)}")
        if (self.probe == "function") != (self.function is not None):
            need = "needs the" if self.probe == "function" else "takes no"
            raise QuestionError(f"probe {self.probe} {need} name of a kernel function")
        if self.function is not None and not _FUNCTION.fullmatch(self.function):
            raise QuestionError(f"function {self.function!r}: must be a symbol of the kernel")
        if self.stacks and self.probe not in TAKES_STACKS:
            raise QuestionError(f"probe {self.probe} takes no --stacks, function does")
        if self.threshold != DEFAULT_THRESHOLD and self.probe not in TAKES_THRESHOLD:
            takers = ", ".join(sorted(TAKES_THRESHOLD))
            raise QuestionError(f"probe {self.probe} takes no threshold; {takers} do")
        if self.threshold < 1:
            raise QuestionError(f"threshold {self.threshold} ns: must be at least 1 ns")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose events count.

    Attributes:
        name: what the answer calls it.
        cgroup: id (inode) of a cgroup v2 directory, 0 for the whole node.
        level: how deep that directory lies below the hierarchy's root.
        directory: that directory; None for the whole node.
    """

    name: str = "node"
    cgroup: int = 0
    level: int = 0
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """All that the loader child is told.

    Attributes:
        question: what is asked.
        scope: of whom.
        btf: path of the kernel's types.
        kprobe_pmu: path of the file with the number of the kprobe PMU.
        machine: as ``uname -m`` says.
        cpus: number of possible CPUs.
        online: CPU numbers, for events that are opened on each.
        map_bytes: most memory for histograms and stacks; all else takes a few MiB.
        store: directory of kept objects, or None.
        numa_nodes: ids of those with memory.
        macros: override those of BTF and of the plan: nobody reads the moments of the always-on
            histograms; tests count events of another kind.
    """

    question: Question
    scope: Scope
    btf: str
    kprobe_pmu: str
    machine: str
    cpus: int
    online: tuple[int, ...]
    map_bytes: int
    store: str | None
    numa_nodes: tuple[int, ...]
    macros: Mapping[str, int]

    def encode(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def decode(cls, message: Mapping[str, Any]) -> "Task":
        """From JSON values."""
        return cls(
            **{
                **message,
                "question": Question(**message["question"]),
                "scope": Scope(**message["scope"]),
                "online": tuple(message["online"]),
                "numa_nodes": tuple(message["numa_nodes"]),
            }
        )
