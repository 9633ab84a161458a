"""Ctrl-C ends a trace with what it has; a second one ends the program."""

import signal

import pytest

from numapin_cli.commands.trace import _stopped_by_signals


def test_the_second_signal_does_what_it_always_does():
    with _stopped_by_signals() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
