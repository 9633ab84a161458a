"""What a pin changed for its pod: the counters before it beside those of the last window. Pure.

Says worse as plainly as better. What is not valid, like the locality of samples of a single
thread, or not counted on the node, is left out, and so is CPU time: a pod that does more work is
no worse off.
"""

from collections.abc import Iterator
from typing import Literal

from numapin_agent.counters.signals import FIELDS, counted
from numapin_api.base import Wire
from numapin_api.pin import MIN_HINT_FAULT_PAGES, Counters, Observed
from numapin_operator.checks import Eyes

Direction = Literal["better", "worse", "same"]
SAME_SHARE = 0.1
"""Two windows of the same load differ by that much."""
PAGE_CACHE = "page cache refaults"


def uncounted(seen: Eyes) -> frozenset[str]:
    """Fields of ``Counters`` that are 0 because nothing counts them there.

    Args:
        seen: what can be seen on the node; a signal that it does not name may be counted.
    """
    levels = seen.levels or {}
    told = {field for signal in levels for field in FIELDS.get(signal, ())}
    return frozenset(Counters.model_fields.keys() & told - counted(levels))


class ChangeRow(Wire):
    """One figure before and after the pin."""

    name: str
    before: float
    after: float
    unit: str
    direction: Direction


def changes(
    observed: Observed, local: frozenset[int], *, missing: frozenset[str] = frozenset()
) -> tuple[ChangeRow, ...]:
    """All figures that were had before the pin and are had now.

    Args:
        observed: what the agent reports.
        local: the pin's NUMA nodes.
        missing: see ``uncounted``.
    """
    return tuple(_changes(observed, local, missing))


def _changes(
    observed: Observed, local: frozenset[int], missing: frozenset[str]
) -> Iterator[ChangeRow]:
    before, after = observed.baseline, observed.counters
    if before is not None and after is not None and before.seconds and after.seconds:
        yield from _rates(before, after, missing)
        yield from _refaults(before, after)
        if (observed.threads or 0) > 1 and min(map(_sampled, (before, after))) >= (
            MIN_HINT_FAULT_PAGES
        ):
            yield _share("local hint faults", *map(_locality, (before, after)))
    old = {m.node: m.bytes for m in observed.baseline_memory}
    new = {m.node: m.bytes for m in observed.memory}
    if local and any(old.values()) and any(new.values()):
        yield _share("memory on its socket", *(_on(local, memory) for memory in (old, new)))


def _rates(before: Counters, after: Counters, missing: frozenset[str]) -> Iterator[ChangeRow]:
    for name, unit, field, scale in (
        ("pages between sockets", "pages/s", "cross_socket_migrated_pages", 1.0),
        ("all NUMA migrations", "pages/s", "migrated_pages", 1.0),
        ("time migrating", "ms/s", "migration_nanoseconds", 1e6),
        ("task moves between sockets", "/s", "cross_socket_task_migrations", 1.0),
    ):
        if field in missing:
            continue
        old, new = (getattr(c, field) / scale / c.seconds for c in (before, after))
        yield _row(name, old, new, unit, less_is_better=True, tiny=0.1)


def _refaults(before: Counters, after: Counters) -> Iterator[ChangeRow]:
    old, new = (c.page_cache_refaults_per_second for c in (before, after))
    if old is not None and new is not None:
        yield _row(PAGE_CACHE, old, new, "pages/s", less_is_better=True, tiny=1.0)


def _share(name: str, before: float, after: float) -> ChangeRow:
    return _row(name, before, after, "%", less_is_better=False, tiny=1.0)


def _row(  # noqa: PLR0913 (a row's own columns)
    name: str, before: float, after: float, unit: str, *, less_is_better: bool, tiny: float
) -> ChangeRow:
    change = after - before
    direction: Direction = "same"
    if abs(change) > max(tiny, SAME_SHARE * before if less_is_better else 0.0):
        direction = "better" if (change < 0) == less_is_better else "worse"
    return ChangeRow(
        name=name, before=round(before, 3), after=round(after, 3), unit=unit, direction=direction
    )


def _sampled(counters: Counters) -> int:
    return counters.hint_fault_pages_local + counters.hint_fault_pages_remote


def _locality(counters: Counters) -> float:
    # Rounded down, as in the verdict: 94.96 % is not 95.0 %.
    return counters.hint_fault_pages_local * 1000 // _sampled(counters) / 10


def _on(local: frozenset[int], memory: dict[int, int]) -> float:
    return sum(b for n, b in memory.items() if n in local) * 1000 // sum(memory.values()) / 10
