"""What a check provokes and concludes, with programs that are not there in the programs' place."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.bpf import no_bpf

from numapin_agent.bpf import syscalls
from numapin_agent.counters.checkup import Checkup, far_apart, hop
from numapin_agent.counters.signals import CgroupCounters
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode, Socket, Topology


def machine(*cpus: str) -> Topology:
    """A socket with one NUMA node for each cpulist."""
    sets = [CpuSet.parse(text) for text in cpus]
    return Topology(
        tuple(Socket(i, own, NodeSet([i])) for i, own in enumerate(sets)),
        tuple(NumaNode(i, own, 1 << 30, i) for i, own in enumerate(sets)),
        (),
    )


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 2, 3})


@dataclass
class Programs:
    """Counts what it is told to see."""

    topology: Topology = field(default_factory=lambda: machine("0-1", "2-3"))
    names: tuple[str, ...] = ("hint_fentry", "migrate_end", "migrate_start", "task_migrate")
    hops: int = 0
    lost_hops: int = 0
    pages: int = 0
    seen: dict[int, CgroupCounters] = field(default_factory=dict)

    def attachments(self):
        return dict.fromkeys(self.names, ())

    def signals_of(self, program: str) -> tuple[str, ...]:
        return (f"of {program}",)

    def read(self):
        return {1: CgroupCounters(cross_socket_task_migrations=self.hops), **self.seen}

    def lost(self) -> int:
        return self.lost_hops

    def moved_by_syscalls(self) -> int:
        return self.pages


@dataclass
class Bench:
    """A check whose events the programs see or don't."""

    tmp_path: Path
    programs: Programs = field(default_factory=Programs)
    sees: frozenset[str] = frozenset({"hop", "page"})
    can: frozenset[str] = frozenset({"hop", "page"})
    asked: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.check = Checkup(self.tmp_path / "vmstat", move=self.move, hop=self.hop)
        self.vmstat(0)

    def vmstat(self, faults: int) -> None:
        (self.tmp_path / "vmstat").write_text(f"numa_hint_faults {faults}\n")

    def move(self, nodes: list[int], moved: Callable[[], int]) -> bool | None:
        self.asked.append(nodes)
        if "page" not in self.can:
            return None
        before = moved()
        self.programs.pages += "page" in self.sees
        return moved() > before

    def hop(self, one: int, other: int) -> bool:
        self.asked.append((one, other))
        self.programs.hops += "hop" in self.sees
        return "hop" in self.can

    def found(self) -> dict[str, str]:
        return {f.program: f.why for f in self.check(self.programs)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_programs_that_see_our_events_have_no_fault(bench):
    assert bench.found() == {}
    assert bench.asked == [[0, 1], (1, 2)]


@pytest.mark.parametrize(
    ("blind_to", "program", "why"),
    [
        ("page", "migrate_end", "is blind: a page that the agent moved was not counted"),
        (
            "hop",
            "task_migrate",
            "is blind: a thread that the agent sent from CPU 1 to 2 was not counted",
        ),
    ],
)
def test_a_program_that_misses_our_event_is_named(bench, blind_to, program, why):
    bench.sees -= {blind_to}
    assert bench.found() == {program: why}


def test_what_cannot_be_provoked_here_proves_nothing(bench):
    bench.sees = bench.can = frozenset()
    assert bench.found() == {}


def test_an_event_that_was_lost_and_said_to_be_is_no_blindness(bench):
    bench.sees -= {"hop"}

    def hop_in_vain(one: int, other: int) -> bool:
        bench.programs.lost_hops += 1
        return True

    bench.check.hop = hop_in_vain
    assert bench.found() == {}


def test_programs_that_are_not_there_are_not_provoked(bench):
    bench.programs.names = ("hint_fentry",)
    bench.sees = frozenset()
    assert bench.found() == {}
    assert bench.asked == []


def test_the_kernels_own_books_are_compared_from_the_second_check_on(bench):
    bench.vmstat(10**6)
    assert bench.found() == {}
    bench.vmstat(10**6 + 500)
    assert bench.found() == {"hint_fentry": "is blind: it saw none of 500 NUMA hint faults"}
    bench.vmstat(10**6 + 1000)
    bench.programs.seen[2] = CgroupCounters(hint_fault_pages_local=1)
    assert bench.found() == {}


def test_a_program_that_is_blind_at_a_low_rate_is_found_by_the_next_checks(bench):
    bench.programs.lost_hops = 5  # an old loss explains nothing
    for check in range(3):
        bench.vmstat(90 * check)
        found = bench.found()
    assert found == {"hint_fentry": "is blind: it saw none of 180 NUMA hint faults"}


def test_pmu_events_that_stand_still_are_found_at_the_second_check(bench):
    """No link could be asked about them."""
    bench.programs.names = ("dram_flush", "dram_switch")
    bench.programs.seen[2] = CgroupCounters(dram_enabled_nanoseconds=5)
    assert bench.found() == {}
    assert bench.found().keys() == {"dram_flush", "dram_switch"}
    bench.programs.seen[2] = CgroupCounters(dram_enabled_nanoseconds=6)
    assert bench.found() == {}


def test_a_check_without_vmstat_leaves_the_rest(bench):
    (bench.tmp_path / "vmstat").unlink()
    bench.sees -= {"hop"}
    assert set(bench.found()) == {"task_migrate"}


@pytest.mark.parametrize(
    ("cpus", "allowed", "found"),
    [
        (("0-1", "2-3"), {0, 1, 2, 3}, (0, 2)),
        (("0-1", "2-3"), {1, 3}, (1, 3)),
        (("0-1", "2-3"), {2, 3}, None),
        (("0-3",), {0, 1, 2, 3}, None),
        (("0", "1", "2"), {1, 2}, (1, 2)),
        ((), {0}, None),
    ],
)
def test_cpus_far_apart(cpus, allowed, found):
    assert far_apart(machine(*cpus), allowed) == found


def test_hopping_leaves_no_affinity_behind(monkeypatch):
    monkeypatch.undo()
    before = os.sched_getaffinity(0)
    cpus = sorted(before)
    assert hop(cpus[0], cpus[-1])
    assert os.sched_getaffinity(0) == before
    assert not hop(cpus[0], 1 << 14)


@pytest.mark.skipif(no_bpf() is not None, reason=no_bpf() or "")
def test_what_is_no_link_attaches_nothing():
    program = syscalls.map_create(syscalls.MAP_ARRAY, key_size=4, value_size=8, max_entries=1)
    assert not syscalls.attached(program, program)
    os.close(program)
    assert not syscalls.attached(program, program)
