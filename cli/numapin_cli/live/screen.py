"""``numapin top`` on a terminal: draws over and over, and does what the keys say."""

import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from numapin_cli.live.frame import Frame, Look
from numapin_cli.live.keys import Wait, keyboard
from numapin_cli.views.top import body, headline


class Screen:
    """What is on the screen.

    Args:
        live: draws.
        look: how the user wants to see it.
        key: waits for a key.
        interval: seconds between two readings.
        namespaces: whether to show them.
        clock: monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 (all of it is the user's word)
        self,
        live: Live,
        look: Look,
        *,
        key: Wait,
        interval: float,
        namespaces: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._look = look
        self._key = key
        self._interval = interval
        self._namespaces = namespaces
        self._clock = clock
        self._frame: Frame | None = None

    def draw(self, found: Frame | None = None) -> None:
        """Draw anew: a frame, or the last one as it is wanted now."""
        self._frame = found or self._frame
        if self._frame is None:
            self._live.update(Text("reading the counters of each node twice"), refresh=True)
            return
        size = self._live.console.size
        shown = body(
            self._frame,
            self._look,
            namespaces=self._namespaces,
            width=size.width,
            height=size.height - 1,
        )
        head = headline(self._frame, self._look, interval=self._interval)
        self._live.update(Group(head, shown), refresh=True)

    def wait(self, seconds: float) -> bool:
        """Wait so long, and do what keys say meanwhile; whether the user wants to end."""
        until = self._clock() + seconds
        while not self._look.ended and (left := until - self._clock()) > 0:
            key = self._key(left)
            if key is not None:
                self._look = self._look.pressed(key)
                self.draw()
        return self._look.ended


def show(
    frames: Callable[[Callable[[float], bool]], Iterator[Frame]],
    look: Look,
    *,
    interval: float,
    namespaces: bool,
) -> Frame | None:
    """Show frames until the user ends it.

    Args:
        frames: makes them, given a function that waits and says whether to end.
        look: how the user wants to see them at first.
        interval: seconds between two readings.
        namespaces: whether to show them.

    Returns:
        The last one, None if it ended before there was one.
    """
    last: Frame | None = None
    console = Console(highlight=False)
    with keyboard() as key, Live(console=console, screen=True, auto_refresh=False) as live:
        screen = Screen(live, look, key=key, interval=interval, namespaces=namespaces)
        screen.draw()
        for last in frames(screen.wait):
            screen.draw(last)
    return last
