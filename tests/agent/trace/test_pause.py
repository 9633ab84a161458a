"""How long work rests after it was done."""

from contextlib import suppress

import pytest

from numapin_agent.trace.pause import PART, Pause


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("took", "least", "rests"),
    [(0.0, 0.0, 0.0), (0.5, 0.0, PART * 0.5), (0.001, 0.1, 0.1), (0.5, 0.1, PART * 0.5)],
)
def test_a_pause_is_as_long_as_the_work_asks_for(took, least, rests):
    clock = Clock()
    pause = Pause(clock, least)
    assert pause.over
    with pause.after():
        clock.now += took
    assert pause.over is (rests == 0)
    clock.now += rests + 1e-9
    assert pause.over


def test_work_that_failed_rests_as_well():
    clock = Clock()
    pause = Pause(clock)
    with suppress(OSError), pause.after():
        clock.now += 1
        raise OSError("gone")
    assert not pause.over
