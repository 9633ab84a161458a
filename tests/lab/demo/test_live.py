"""What people see while a demo runs."""

import io

from rich.console import Console

from numapin_lab.demo.live import LiveView
from numapin_lab.demo.series import PodCounters, Rates

RATES = Rates(
    time=5,
    seconds=1,
    counted=PodCounters(
        migrated_pages=13373,
        migration_nanoseconds=52_000_000,
        hint_fault_pages_local=3,
        hint_fault_pages_remote=1,
    ),
)


def shown(*, terminal, rates):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with LiveView(console, ("hopper", "redis")) as view:
        view.second("before 3/60 s", rates)
        view.second("before 4/60 s", rates)
    return console.file.getvalue()


def test_a_log_gets_one_line_a_second_and_pod():
    lines = shown(terminal=False, rates={"hopper": RATES, "redis": None}).splitlines()
    assert len(lines) == 4
    words = [" ".join(line.split()) for line in lines]
    assert words[0] == "before 3/60 s hopper 13,373 migrations/s 52.0 ms/s local 75.0 %"
    assert words[1] == "before 3/60 s redis - migrations/s - ms/s local -"


def test_a_terminal_gets_a_table():
    text = shown(terminal=True, rates={"hopper": RATES, "redis": RATES})
    assert "hopper: migrations/s" in text
    assert "13,373" in text
