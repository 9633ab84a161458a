"""What a demo leaves behind when it is interrupted: a lab that it started itself ends with it."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

from rich.console import Console

from numapin_lab.lab import Lab

INTERRUPTED: Final = 130


def ended_on_interrupt(lab: Lab, console: Console, demo: Callable[[], bool]) -> int:
    """Run a demo.

    Args:
        lab: ended again on Ctrl-C or SIGTERM if it was not up.
        console: to say so.
        demo: whether all its criteria are met.

    Returns:
        Exit status: 0, 1 when a criterion is not met, 130 when interrupted.
    """
    # A terminated demo tidies up as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
    was_up = lab.is_up()
    try:
        return 0 if demo() else 1
    except KeyboardInterrupt:
        if was_up:
            console.print("\ninterrupted: the lab was up before and stays up")
        else:
            console.print("\ninterrupted: ending the lab that this demo started")
            lab.down()
        return INTERRUPTED


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
