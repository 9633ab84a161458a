"""The alarm's program in the kernel of this machine, and what is said where there is none."""

import mmap
import select

import pytest
from support.bpf import no_bpf, run_once

from numapin_agent.bpf import syscalls
from numapin_agent.guard.kswapd import KswapdAlarm, open_alarm, program
from numapin_api.errors import CounterError

ROOM = mmap.PAGESIZE // 16 - 1
"""Alarms that a ring of one page holds: 16 bytes each, and the kernel never fills the last byte."""

needs_bpf = pytest.mark.skipif(no_bpf() is not None, reason=no_bpf() or "")


@needs_bpf
def test_kswapds_tracepoint_is_there_and_takes_the_program():
    alarm = KswapdAlarm()
    assert alarm.fd >= 0
    alarm.close()


@pytest.fixture
def alarm():
    """The real one, in a ring of one page; somebody listens."""
    made = KswapdAlarm(size=mmap.PAGESIZE)
    made.listen(on=True)
    yield made
    made.close()


def wakes(alarm: KswapdAlarm, node: int, *, times: int = 1) -> None:
    """Run the program as the tracepoint does; kswapd itself is left asleep."""
    for _ in range(times):
        run_once(alarm.program, node)


@needs_bpf
def test_the_first_argument_arrives():
    """softirq_raise(unsigned int vec_nr) fires all the time, with numbers from 0 to 9."""
    alarm = KswapdAlarm("softirq_raise")
    alarm.listen(on=True)
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
def test_alarms_that_find_no_room_are_counted_and_later_ones_arrive_again(alarm):
    wakes(alarm, 3, times=ROOM)
    assert alarm.lost() == 0
    wakes(alarm, 5, times=40)
    assert alarm.lost() == 40
    assert alarm.take() == {3}
    wakes(alarm, 5)
    assert alarm.take() == {5}
    assert alarm.lost() == 40


@needs_bpf
def test_while_nobody_listens_nothing_is_told_and_nothing_lost(alarm):
    alarm.listen(on=False)
    wakes(alarm, 1, times=2 * ROOM)
    assert (alarm.take(), alarm.lost()) == (set(), 0)
    alarm.listen(on=True)
    wakes(alarm, 1)
    assert (alarm.take(), alarm.lost()) == ({1}, 0)


@needs_bpf
def test_whether_somebody_listens_leaves_the_losses_as_they_are(alarm):
    wakes(alarm, 1, times=ROOM + 7)
    alarm.listen(on=False)
    alarm.listen(on=True)
    assert alarm.lost() == 7


@needs_bpf
def test_a_ring_that_nobody_emptied_for_long_is_emptied_at_once():
    alarm = KswapdAlarm("sys_enter", size=mmap.PAGESIZE)  # hundreds of events in no time
    alarm.listen(on=True)
    for _ in range(2000):
        select.select([], [], [], 0)
    assert alarm.lost() >= 2000 - ROOM
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


def test_the_program_has_its_maps_in_it():
    code = program(77, 88)
    assert len(code) == 24 * 8
    assert code[28:32] == (88).to_bytes(4, "little")
    assert code[100:104] == (77).to_bytes(4, "little")
