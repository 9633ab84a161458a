"""The alarm's program in the kernel of this machine, and what is said where there is none."""

import select

import pytest
from support.bpf import no_bpf

from numapin_agent.bpf import syscalls
from numapin_agent.guard.kswapd import KswapdAlarm, open_alarm, program
from numapin_api.errors import CounterError

needs_bpf = pytest.mark.skipif(no_bpf() is not None, reason=no_bpf() or "")


@needs_bpf
def test_kswapds_tracepoint_is_there_and_takes_the_program():
    alarm = KswapdAlarm()
    assert alarm.fd >= 0
    alarm.close()


@needs_bpf
def test_the_first_argument_arrives():
    """softirq_raise(unsigned int vec_nr) fires all the time, with numbers from 0 to 9."""
    alarm = KswapdAlarm("softirq_raise")
    poll = select.poll()
    poll.register(alarm.fd, select.POLLIN)
    try:
        for _ in range(3):
            assert poll.poll(10_000)
            taken = alarm.take()
            assert taken
            assert taken <= set(range(10))
    finally:
        alarm.close()


@needs_bpf
def test_a_ring_that_nobody_emptied_for_long_is_emptied_at_once():
    alarm = KswapdAlarm("sys_enter")  # hundreds of events in no time, more than there is room for
    for _ in range(2000):
        select.select([], [], [], 0)
    alarm.take()
    for _ in range(100):
        select.select([], [], [], 0)
    poll = select.poll()
    poll.register(alarm.fd, select.POLLIN)
    assert poll.poll(10_000)
    alarm.close()


@needs_bpf
def test_a_tracepoint_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(CounterError, match="tracepoint no_such_thing"):
        KswapdAlarm("no_such_thing")


def test_without_the_right_to_it_that_is_said(monkeypatch, caplog):
    def refuse(*_args, **_more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(syscalls, "map_create", refuse)
    with pytest.raises(CounterError, match="Operation not permitted"):
        KswapdAlarm()
    assert open_alarm() is None
    assert "by the clock only" in caplog.text


def test_the_program_is_eleven_instructions_with_the_map_in_it():
    code = program(77)
    assert len(code) == 11 * 8
    assert code[20:24] == (77).to_bytes(4, "little")
