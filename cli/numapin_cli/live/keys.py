"""The keyboard while a table is shown live: one key at a time, without Enter."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_LONGEST: Final = 8
"""Bytes of a key: an arrow sends three."""


class Wait(Protocol):
    """Waits for a key, no longer than some seconds."""

    def __call__(self, seconds: float) -> str | None:
        """The key, None if none was pressed in time."""


@contextmanager
def keyboard(descriptor: int | None = None) -> Iterator[Wait]:
    """Take keys as they are pressed; the terminal is as it was before when the block ends.

    Args:
        descriptor: of the terminal; that of stdin by default.
    """
    fd = sys.stdin.fileno() if descriptor is None else descriptor
    before = termios.tcgetattr(fd)

    def wait(seconds: float) -> str | None:
        ready, _, _ = select.select([fd], [], [], max(0.0, seconds))
        if not ready:
            return None
        # Nothing at all: the terminal is gone.
        return os.read(fd, _LONGEST).decode(errors="replace") or "q"

    try:
        tty.setcbreak(fd)
        yield wait
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
