"""Which figures say nothing because the node counts nothing there: a table."""

import pytest

from numapin_agent.counters.signals import FIELDS
from numapin_api.node import SIGNALS, Level
from numapin_api.pin import Counters
from numapin_cli.views.effect import uncounted
from numapin_operator.checks import Eyes

MIGRATIONS = {"migrated_pages", "cross_socket_migrated_pages", "migration_nanoseconds"}
HINT_FAULTS = {"hint_fault_pages_local", "hint_fault_pages_remote"}


@pytest.mark.parametrize(
    ("levels", "fields"),
    [
        ({}, set()),
        ({"numaMigrations": "fentry", "hintFaults": "rawTracepoint"}, set()),
        ({"numaMigrations": "none"}, MIGRATIONS),
        # memory.stat tells neither where to nor how long.
        ({"numaMigrations": "cgroup"}, MIGRATIONS - {"migrated_pages"}),
        ({"hintFaults": "cgroup", "numaMigrations": "kprobe"}, HINT_FAULTS),
        ({"taskMigrations": "none"}, {"cross_socket_task_migrations"}),
        (
            {"syscallMoves": "none", "scannerSkips": "none"},
            {"syscall_moved_pages", "scanner_skips"},
        ),
        ({"remoteDram": "none"}, {"dram_fills_local", "dram_fills_remote"}),
        # The mover's own count is had without: this is no field by that name alone.
        ({"pinMoves": "none"}, set()),
        # Of a later agent.
        ({"laterSignal": "none"}, set()),
    ],
)
def test_what_is_not_counted(levels: dict[str, Level], fields: set[str]):
    assert uncounted(Eyes(levels=levels)) == fields
    # What is not told of may be counted.
    assert uncounted(Eyes()) == frozenset()


def test_every_figure_of_a_signal_is_told_of():
    """A signal whose counters have other names than the NumaPin's would be shown as 0."""
    known = {signal: Counters.model_fields.keys() & FIELDS[signal] for signal in SIGNALS}
    assert [signal for signal, fields in known.items() if not fields] == ["pinMoves"]
