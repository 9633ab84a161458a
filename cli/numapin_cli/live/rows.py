"""What each pod and each pair of sockets does per second, as data, and in which order. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

from numapin_api.base import Wire
from numapin_api.pin import NodeBytes
from numapin_api.topology import Topology
from numapin_cli.live.rates import Rates, local_percent
from numapin_cli.live.values import AgentReading, Counts, Key, PairCounts

Sort = Literal["time", "cross", "pages", "tasks", "remote", "local", "cpu", "memory", "name"]
SORTS: Final[tuple[Sort, ...]] = (
    "time", "cross", "pages", "tasks", "remote", "local", "cpu", "memory", "name",
)  # fmt: skip


class PodPair(Wire):
    """What a pod does between two NUMA nodes; null: the kernel does not say which."""

    from_numa_node: int | None
    to_numa_node: int | None
    migrated_pages_per_second: float | None
    migration_ms_per_second: float | None
    hint_fault_pages_per_second: float | None


class PodRow(Wire):
    """A pod and what it does per second.

    Null where it has not been counted for two readings, or can't be counted on its node.
    """

    namespace: str
    name: str
    node: str
    pinned: bool | None
    """Whether its pin is in force; null without a pin."""
    socket: int | None
    seconds: float | None
    """Length of the window."""
    migrated_pages_per_second: float | None = None
    cross_socket_pages_per_second: float | None = None
    migration_ms_per_second: float | None = None
    cross_socket_task_migrations_per_second: float | None = None
    hint_fault_pages_per_second: float | None = None
    remote_hint_fault_pages_per_second: float | None = None
    local_percent: float | None = None
    """Of hint faults, where that share means something."""
    cpu_percent: float | None = None
    """Of one CPU."""
    threads: int | None
    memory_bytes: int
    memory: list[NodeBytes]
    pairs: tuple[PodPair, ...] = ()


class PairRow(Wire):
    """What all pods of a node do between two sockets.

    From agents that don't tell pairs apart only the sums are known: ``from`` and ``to`` are
    null and ``kind`` says the rest: ``unknown`` where the agent does not know either whether
    pages changed socket. Amounts are null where they are not counted, or stand in another row.
    """

    node: str
    kind: Literal["cross", "within", "unknown"]
    from_socket: int | None
    to_socket: int | None
    migrated_pages_per_second: float | None
    migration_ms_per_second: float | None
    hint_fault_pages_per_second: float | None


def pod_rows(
    node: str, reading: AgentReading, rates: Mapping[Key, Rates], namespace: str | None
) -> list[PodRow]:
    """A row for each pod of a node.

    Args:
        node: its name.
        reading: its agent's newest.
        rates: since the one before.
        namespace: whose pods are meant; None for all.
    """
    return [
        _pod(node, key, reading, rates.get(key))
        for key in reading.pods
        if namespace in (None, key[0])
    ]


def _pod(node: str, key: Key, reading: AgentReading, rates: Rates | None) -> PodRow:
    pod = reading.pods[key]
    row = PodRow(
        namespace=key[0],
        name=key[1],
        node=node,
        pinned=pod.pinned,
        socket=pod.socket,
        seconds=None if rates is None else round(rates.seconds, 6),
        threads=pod.threads,
        memory_bytes=pod.resident,
        memory=[NodeBytes(node=n, bytes=b) for n, b in sorted(pod.memory.items())],
    )
    if rates is None:
        return row
    c, each = rates.counts, rates.per_second
    return row.model_copy(
        update={
            "migrated_pages_per_second": each(c.pages),
            "cross_socket_pages_per_second": each(c.cross_pages),
            "migration_ms_per_second": rates.migration_ms,
            "cross_socket_task_migrations_per_second": each(c.tasks),
            "hint_fault_pages_per_second": each(c.hints),
            "remote_hint_fault_pages_per_second": each(c.hint_remote),
            "local_percent": local_percent(c, pod.threads),
            "cpu_percent": None if c.cpu_seconds is None else 100 * each(c.cpu_seconds),
            "pairs": tuple(
                PodPair(
                    from_numa_node=one,
                    to_numa_node=other,
                    migrated_pages_per_second=None if c.cross_pages is None else each(p.pages),
                    migration_ms_per_second=None
                    if c.cross_pages is None
                    else 1000 * each(p.seconds),
                    hint_fault_pages_per_second=None if c.hints is None else each(p.hint_pages),
                )
                for (one, other), p in sorted(c.pairs.items(), key=lambda item: _order(*item[0]))
            ),
        }
    )


def _order(*ids: int | None) -> tuple[float, ...]:
    """Unknown ones last."""
    return tuple(float("inf") if i is None else i for i in ids)


def pair_rows(node: str, topology: Topology | None, rates: Iterable[Rates]) -> list[PairRow]:
    """What moved between and within the sockets of a node, all its pods together.

    Args:
        node: its name.
        topology: which NUMA node belongs to which socket; None when not known.
        rates: of its pods.
    """
    found = [r for r in rates if r.seconds > 0]
    if topology is None or not any(r.counts.pairs for r in found):
        return _sums(node, found)
    total: dict[tuple[int | None, int | None], PairCounts] = {}
    for r in found:
        for (one, other), counts in r.counts.pairs.items():
            sockets = _socket(topology, one), _socket(topology, other)
            each = r.per_second
            old = total.get(sockets, PairCounts())
            total[sockets] = PairCounts(
                old.pages + each(counts.pages),
                old.seconds + each(counts.seconds),
                old.hint_pages + each(counts.hint_pages),
            )
    moves, faults = _told(found)
    undirected = [] if moves else [row for row in _sums(node, found) if row.kind == "unknown"]
    return [
        PairRow(
            node=node,
            kind="unknown" if None in pair else "within" if pair[0] == pair[1] else "cross",
            from_socket=pair[0],
            to_socket=pair[1],
            migrated_pages_per_second=total[pair].pages if moves else None,
            migration_ms_per_second=1000 * total[pair].seconds if moves else None,
            hint_fault_pages_per_second=total[pair].hint_pages if faults else None,
        )
        for pair in sorted(total, key=lambda pair: _order(*pair))
    ] + undirected


def _socket(topology: Topology, numa_node: int | None) -> int | None:
    return None if numa_node is None else topology.socket_of_node(numa_node)


def _told(rates: Sequence[Rates]) -> tuple[bool, bool]:
    """Whether the agent tells which pages changed socket, and where hint faults found theirs."""
    return (
        any(r.counts.cross_pages is not None for r in rates),
        any(r.counts.hints is not None for r in rates),
    )


def _sums(node: str, rates: Sequence[Rates]) -> list[PairRow]:
    def total(part: Callable[[Counts], float | None]) -> float:
        return sum(r.per_second(part(r.counts)) or 0.0 for r in rates)

    if not rates:
        return []
    moves, faults = _told(rates)
    cross, every = total(lambda c: c.cross_pages), total(lambda c: c.pages)
    remote, local = total(lambda c: c.hint_remote), total(lambda c: c.hint_local)
    counted = any(r.counts.pages is not None for r in rates)
    return [
        PairRow(
            node=node,
            kind=kind,
            from_socket=None,
            to_socket=None,
            migrated_pages_per_second=pages,
            migration_ms_per_second=None,
            hint_fault_pages_per_second=hints,
        )
        for kind, pages, hints in (
            ("cross", cross if moves else None, remote if faults else None),
            ("within", every - cross if moves else None, local if faults else None),
            ("unknown", every if counted and not moves else None, None),
        )
        if pages is not None or hints is not None
    ]


_AMOUNTS: Final[Mapping[Sort, Callable[[PodRow], float | None]]] = {
    "time": lambda r: r.migration_ms_per_second,
    "cross": lambda r: r.cross_socket_pages_per_second,
    "pages": lambda r: r.migrated_pages_per_second,
    "tasks": lambda r: r.cross_socket_task_migrations_per_second,
    "remote": lambda r: r.remote_hint_fault_pages_per_second,
    # The least local first: it is what one looks for.
    "local": lambda r: None if r.local_percent is None else -r.local_percent,
    "cpu": lambda r: r.cpu_percent,
    "memory": lambda r: r.memory_bytes,
}


def ordered(rows: Iterable[PodRow], sort: Sort, *, reverse: bool = False) -> list[PodRow]:
    """The rows in order: what one looks for first, unknown amounts last in any case.

    Args:
        rows: any.
        sort: by what; equal ones by name.
        reverse: the other way round.
    """
    by_name = sorted(rows, key=lambda r: (r.namespace, r.name, r.node))
    if sort == "name":
        return by_name[::-1] if reverse else by_name
    amount = _AMOUNTS[sort]
    known = [(a, r) for r in by_name if (a := amount(r)) is not None]
    known.sort(key=lambda pair: pair[0] if reverse else -pair[0])
    return [r for _, r in known] + [r for r in by_name if amount(r) is None]
