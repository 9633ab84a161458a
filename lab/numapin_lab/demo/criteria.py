"""What a demo has to show before it may call itself a success.

Each criterion is named with its number and its limit, met or not. Reads no cluster.
"""

from dataclasses import dataclass

from numapin_api.cpulist import NodeSet
from numapin_lab.demo.report import NodeMemory

MIN_WORST_CASE_PAGES_PER_SECOND = 200
"""Below this the worst case did not show the problem: nothing would be proved."""
MAX_CROSS_SOCKET_PAGES_PER_SECOND = 10
MIN_MEMORY_PERCENT = 95


@dataclass(frozen=True, slots=True)
class PodResult:
    """What the criteria need to know of a pod.

    Attributes:
        name: of the pod.
        worst_case: whether it must migrate much before it is pinned.
        pages_per_second_before: moved by NUMA balancing.
        cross_socket_pages_per_second_after: moved by NUMA balancing to another socket.
        memory_after: resident bytes by NUMA node.
        mems: the NUMA nodes it was pinned to; None if it was not.
        verdict: of the operator; None without one.
    """

    name: str
    worst_case: bool
    pages_per_second_before: float
    cross_socket_pages_per_second_after: float
    memory_after: tuple[NodeMemory, ...]
    mems: NodeSet | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that was asked of the demo.

    Attributes:
        met: whether it holds.
        text: what was asked and what was found.
    """

    met: bool
    text: str


def memory_percent(memory: tuple[NodeMemory, ...], mems: NodeSet) -> float | None:
    """Share of resident memory on these NUMA nodes; None without any memory."""
    total = sum(m.bytes for m in memory)
    return 100 * sum(m.bytes for m in memory if m.node in mems) / total if total else None


def check(pod: PodResult) -> tuple[Criterion, ...]:
    """All criteria of one pod, in the order in which they are shown."""
    criteria = []
    if pod.worst_case:
        criteria.append(
            Criterion(
                pod.pages_per_second_before >= MIN_WORST_CASE_PAGES_PER_SECOND,
                f"{pod.name} migrated {pod.pages_per_second_before:,.0f} pages/s before "
                f"(at least {MIN_WORST_CASE_PAGES_PER_SECOND})",
            )
        )
    criteria.append(
        Criterion(
            pod.cross_socket_pages_per_second_after <= MAX_CROSS_SOCKET_PAGES_PER_SECOND,
            f"{pod.name} migrated {pod.cross_socket_pages_per_second_after:,.1f} pages/s between "
            f"sockets after (at most {MAX_CROSS_SOCKET_PAGES_PER_SECOND})",
        )
    )
    share = memory_percent(pod.memory_after, pod.mems) if pod.mems is not None else None
    found = "an unknown share" if share is None else f"{share:.1f} %"
    where = "it was not pinned" if pod.mems is None else f"NUMA node {pod.mems}"
    criteria.append(
        Criterion(
            share is not None and share >= MIN_MEMORY_PERCENT,
            f"{pod.name} has {found} of its memory on its socket after "
            f"({where}; at least {MIN_MEMORY_PERCENT} %)",
        )
    )
    criteria.append(
        Criterion(
            pod.verdict == "Verified",
            f"{pod.name} has verdict {pod.verdict or 'none'} (Verified)",
        )
    )
    return tuple(criteria)
