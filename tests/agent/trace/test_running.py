"""A probe while it runs: it ends in time, and looks at few of many events."""

import struct
import time

import pytest

from numapin_agent.bpf.syscalls import ProgramInfo
from numapin_agent.trace import records, running
from numapin_agent.trace.kept import Kept, Slowest
from numapin_agent.trace.launch import Held
from numapin_agent.trace.plan import MOMENTS
from numapin_agent.trace.records import Event
from numapin_agent.trace.running import Running

READ, OPENAT = 0, 257


class Machine:
    """Descriptors are other files each time that they are looked at."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.looks = 0
        self.met: list[int] = []

    def meet(self, tgid: int, *, last: bool = False) -> None:
        self.met.append(tgid)
        time.sleep(self.seconds)

    meet_with_code = meet

    def descriptor(self, tgid: int, fd: int) -> str:
        self.looks += 1
        return f"peer {self.looks} of {tgid}:{fd}"


def data(length: int = 1, *, number: int = READ, text: bytes = b"") -> bytes:
    numbers = (0, length, number, 8, records.SYSCALL, 0, 7, 7)
    return struct.pack("=QQQQIIII64s", *numbers, text)


def probe(machine: Machine, kept: Kept | None = None, **maps: int) -> Running:
    held = Held(maps={"moments": 3, **maps}, calls={READ: "read", OPENAT: "openat"})
    return Running(held, machine, 1, False, True, kept or Slowest())  # type: ignore[arg-type]


def test_a_queue_that_never_ends_does_not_hold_a_round_up(monkeypatch):
    monkeypatch.setattr(running.kernel, "queue_pop", lambda *_: data())
    one = probe(Machine())
    began = time.monotonic()
    one.drain(0.05)
    assert time.monotonic() - began < 2
    taken: list[Event] = []

    class Taking(Slowest):
        def add(self, event, named):
            taken.append(event)

    probe(Machine(), Taking()).drain(600)
    assert len(taken) == MOMENTS


def test_slow_looks_at_processes_do_not_hold_a_round_up(monkeypatch):
    monkeypatch.setattr(running.kernel, "queue_pop", lambda *_: data())
    machine = Machine(seconds=0.02)
    probe(machine).drain(0.05)
    assert 1 <= len(machine.met) <= 3


def test_what_nobody_had_time_for_is_lost(monkeypatch):
    queue = [data() for _ in range(100)]
    monkeypatch.setattr(running, "LAST", 0.0)
    monkeypatch.setattr(running.kernel, "queue_pop", lambda *_: queue.pop() if queue else None)
    one = probe(Machine())
    one.drain_rest()
    assert one.lost() == 100


def test_processes_that_are_not_met_in_time_have_their_turn_later(monkeypatch):
    keys = [struct.pack("=QII", tgid, records.QUEUED, 0) for tgid in range(1, 100)]

    def following(_, key, __):
        at = 0 if key is None else keys.index(key) + 1
        return keys[at] if at < len(keys) else None

    monkeypatch.setattr(running.syscalls, "map_next_key", following)
    slow, quick = Machine(seconds=0.02), Machine()
    probe(slow, hists=4).meet(0.05)
    assert 1 <= len(slow.met) <= 3
    probe(quick, hists=4).meet(5)
    assert quick.met == list(range(1, 100))


def test_each_slow_call_is_about_what_its_descriptor_was_then(monkeypatch):
    """A server's connections have the same descriptor one after the other."""
    queue = [data(1), data(2), data(3, number=OPENAT, text=b"/etc/x")]
    monkeypatch.setattr(running.kernel, "queue_pop", lambda *_: queue.pop(0) if queue else None)
    kept = Slowest()
    probe(Machine(), kept).drain(5)
    told = {event.length: event.text for event in kept.events()}
    assert told == {1: "peer 1 of 7:8", 2: "peer 2 of 7:8", 3: "/etc/x"}


@pytest.mark.parametrize("maps", [{}, {"lost": 5}])
def test_events_without_room_are_counted(monkeypatch, maps):
    monkeypatch.setattr(running, "per_cpu_sum", lambda *_, **__: 17)
    assert probe(Machine(), **maps).lost() == (17 if maps else 0)


def test_runs_that_the_kernel_left_out_are_counted(monkeypatch):
    monkeypatch.setattr(running.syscalls, "program_info", lambda fd: ProgramInfo(0, 0, fd))
    one = probe(Machine())
    one.held.programs.update(a=3, b=4)
    assert one.skipped() == 7
