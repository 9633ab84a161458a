"""What ``numapin advise`` answers, as data: a row for each pod, the best to pin first. Pure."""

from numapin_api.base import Timestamp, Wire
from numapin_cli.advise.commands import keep, label
from numapin_cli.advise.weigh import Advice, Word, cpus_used
from numapin_cli.live.frame import Problem
from numapin_cli.live.rates import local_percent


class AdviceRow(Wire):
    """A pod without the label, and what is advised."""

    rank: int
    namespace: str
    name: str
    node: str
    owner: str | None
    """Kind/name of what makes such pods."""
    advice: Word
    evidence: tuple[str, ...]
    against: tuple[str, ...]
    notes: tuple[str, ...]
    migration_ms_per_second: float | None
    cross_socket_pages_per_second: float | None
    migrated_pages_per_second: float | None
    remote_hint_fault_pages_per_second: float | None
    local_percent: float | None
    """Of hint faults, where that share means something."""
    cross_socket_task_migrations_per_second: float | None
    cpus: float | None
    """Kept busy on average."""
    memory_bytes: int | None
    threads: int | None
    label_command: str | None
    keep_command: str | None


class Ranking(Wire):
    """All that ``numapin advise`` says."""

    time: Timestamp
    seconds: float
    """Length of the window."""
    pods: list[AdviceRow]
    labelled: int
    """Pods that carry the label, and were not asked about."""
    problems: list[Problem]
    """Nodes of which nothing is known."""
    remarks: list[Problem]


def row(rank: int, advice: Advice) -> AdviceRow:
    """What is advised for a pod, as data.

    Args:
        rank: from 1.
        advice: for the pod.
    """
    s = advice.subject
    rates, reading = s.rates, s.reading

    def each(name: str) -> float | None:
        if rates is None:
            return None
        amount: float | None = getattr(rates.counts, name)
        return rates.per_second(amount)

    return AdviceRow(
        rank=rank,
        namespace=s.pod.key.namespace,
        name=s.pod.key.name,
        node=s.node,
        owner=None if s.owner is None else "/".join(s.owner),
        advice=advice.word,
        evidence=advice.evidence,
        against=advice.against,
        notes=advice.notes,
        migration_ms_per_second=None if rates is None else rates.migration_ms,
        cross_socket_pages_per_second=each("cross_pages"),
        migrated_pages_per_second=each("pages"),
        remote_hint_fault_pages_per_second=each("hint_remote"),
        local_percent=local_percent(rates.counts, reading.threads) if rates and reading else None,
        cross_socket_task_migrations_per_second=each("tasks"),
        cpus=cpus_used(s),
        memory_bytes=None if reading is None else reading.resident,
        threads=None if reading is None else reading.threads,
        label_command=label(s),
        keep_command=keep(s),
    )
