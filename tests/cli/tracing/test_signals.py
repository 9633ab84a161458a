"""Ctrl-C ends a trace with what it has; a second one ends the program."""

import signal
from collections.abc import Iterator

import pytest

from numapin_cli.commands.trace import _stopped_by_signals


@pytest.fixture
def at_a_terminal() -> Iterator[None]:
    """What Ctrl-C does there, however the tests were started: a shell has its jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("at_a_terminal")
def test_the_second_signal_does_what_it_always_does():
    with _stopped_by_signals() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
