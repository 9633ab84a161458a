"""Each program run in the kernel with arguments of our own, on machines made up for it.

A program for fentry gets its arguments as one for a raw tracepoint does, so all of them can be
run by BPF_PROG_TEST_RUN, hint faults and moved pages of other machines among them. That the
kernel calls them with these arguments is not shown here: the end-to-end tests show that.
"""

import contextlib
import os
import platform
import struct
from collections.abc import Iterator

import pytest
from support import hierarchies
from support.bpf import compiled, no_bcc, run_once

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.attach import make_maps
from numapin_agent.bpf.btf import Btf
from numapin_agent.bpf.objects import Object
from numapin_agent.counters import pairs
from numapin_agent.counters.layout import NO_SOCKET
from numapin_agent.counters.pairs import PairCounters
from numapin_agent.counters.plan import BTF_NAMES, Plan, facts, plan
from numapin_agent.counters.signals import FIELDS, copies, decode, value_size
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet

pytestmark = [
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.skipif(not HostPaths().btf.exists(), reason="this kernel has no BTF"),
    pytest.mark.timeout(180),
]

POSSIBLE = (HostPaths().cpu_dir / "possible").read_text().strip()
COPIES = 1 + int(POSSIBLE.rpartition("-")[2])
MOVED, LOCAL = 0x01, 0x08
"""TNF_MIGRATED and TNF_FAULT_LOCAL of include/linux/sched/numa_balancing.h."""
NUMA, SYSCALL, MBIND, COMPACTION = 5, 3, 4, 0
"""enum migrate_reason of include/linux/migrate_mode.h."""
NAMES = (
    "migrate_start",
    "migrate_end",
    "hint_fentry",
    "misplaced_fentry",
    "scan_skip",
)
HERE, OTHER = 0, 1
"""NUMA nodes: these tests run on the first, if there are several at all."""


class Machine:
    """The programs, loaded for a made-up machine.

    Args:
        planned: with which macros.
        made: compiled with them.
        sockets: by NUMA node the index of its socket + 1.
        max_pairs: room for pairs.
    """

    def __init__(self, planned: Plan, made: Object, sockets: tuple[int, ...]) -> None:
        self._maps = make_maps(made)
        self._reason = planned.macros["MIGRATE_END_REASON_ARG"]
        fds = list(self._maps.values())
        self._programs = {
            name: syscalls.program_load(
                made.linked(name, fds), name=name, program_type=syscalls.PROG_RAW_TRACEPOINT
            )
            for name in made.programs
        }
        self.fill("node_socket", sockets)
        self.fill("cpu_socket", [sockets[HERE]] * COPIES)
        self.fill("other_node", pairs.other_nodes(range(len(sockets))))

    def fill(self, name: str, numbers) -> None:
        for i, number in enumerate(numbers):
            if name in self._maps:
                syscalls.map_update(
                    self._maps[name], struct.pack("=I", i), struct.pack("=I", number)
                )

    def close(self) -> None:
        for fd in (*self._maps.values(), *self._programs.values()):
            os.close(fd)

    def hint(self, node: int, pages: int, flags: int) -> None:
        """task_numa_fault(last_cpupid, mem_node, pages, flags)."""
        run_once(self._programs["hint_fentry"], 0, node, pages, flags)

    def misplaced(self, node: int) -> None:
        """migrate_misplaced_folio(folio, node), of a folio that can't be read: of node 0."""
        run_once(self._programs["misplaced_fentry"], 0, node, node)

    def migrate(self, pages: int, reason: int = NUMA) -> None:
        run_once(self._programs["migrate_start"], 0, reason)
        words = [0] * (self._reason + 1)
        words[0], words[self._reason] = pages, reason
        run_once(self._programs["migrate_end"], *words)

    def skip(self) -> None:
        run_once(self._programs["scan_skip"], 0, 0)

    def _entries(self, name: str, key_size: int, value_size: int) -> tuple[bytes, bytes]:
        keys, values, _ = syscalls.map_lookup_batch(
            self._maps[name], cursor=None, count=256, key_size=key_size, value_size=value_size
        )
        return keys, values

    def counted(self, signal: str) -> dict[int, tuple[int, ...]]:
        each = copies(signal, COPIES)
        return decode(signal, *self._entries(signal, 8, value_size(signal) * each), cpus=each)

    def pairs(self) -> dict[tuple[int | None, int | None], PairCounters]:
        """Of the one cgroup that this test is in."""
        found = pairs.decode(*self._entries("nodePairs", pairs.KEY.size, pairs.VALUE.size))
        assert len(found) <= 1
        return next(iter(found.values()), {})

    def total(self, index: int) -> int:
        value = syscalls.map_lookup(self._maps["totals"], struct.pack("=I", index), 8 * COPIES)
        assert value is not None
        return sum(struct.unpack(f"={COPIES}Q", value))


KINDS = {
    "two": ((1, 2), True, 2),
    "v1": ((1, 2), True, 1),
    "cluster": ((1, 1, 2, 2), False, 2),
    "four": ((1, 2, 3, 4), True, 2),
    "tight": ((1, 2), True, 2),
    "tiers": ((1, 2, NO_SOCKET), False, 2),
    "one and far": ((1, NO_SOCKET), False, 2),
}
"""Sockets by NUMA node, whether every move leaves its socket, cgroup version."""


@pytest.fixture(autouse=True)
def on_the_first_node() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    own = HostPaths().node_dir / f"node{HERE}/cpulist"
    inside = before & CpuSet.parse(own.read_text()) if own.exists() else before
    if not inside:
        pytest.skip("no CPU of the first NUMA node may be used")
    os.sched_setaffinity(0, inside)
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def objects() -> dict[str, tuple[Plan, Object]]:
    kernel = facts(Btf(HostPaths().btf.read_bytes(), BTF_NAMES), platform.machine())
    if "sched_skip_cpuset_numa" not in kernel.tracepoints:
        pytest.skip("this kernel has no tracepoint sched_skip_cpuset_numa")
    made = {}
    for kind, (sockets, crosses, version) in KINDS.items():
        planned = plan(kernel, always_crosses=crosses, nodes=len(sockets), cgroup_version=version)
        there = {p.name for s in planned.signals for a in s.attempts for p in a.programs}
        sizes = {"MAX_CPUS": COPIES, "MAX_CGROUPS": 64, "MAX_PAIRS": 1 if kind == "tight" else 256}
        made[kind] = planned, compiled({**planned.macros, **sizes}, there & {*NAMES})
    return made


@contextlib.contextmanager
def running(objects: dict[str, tuple[Plan, Object]], kind: str) -> Iterator[Machine]:
    machine = Machine(*objects[kind], KINDS[kind][0])
    try:
        yield machine
    finally:
        machine.close()


def test_every_fault_and_its_pair_on_two_nodes(objects):
    with running(objects, "two") as machine:
        machine.hint(HERE, 3, LOCAL)
        machine.hint(OTHER, 5, 0)  # stayed there
        machine.hint(HERE, 512, MOVED)  # a huge page that came here from the other node
        (faults,) = machine.counted("hintFaults").values()
        assert faults == (3, 517)
        assert {p: c.hint_fault_pages for p, c in machine.pairs().items()} == {
            (HERE, HERE): 3,
            (HERE, OTHER): 517,
        }
        assert (machine.total(0), machine.total(2)) == (0, 0)


def test_migrations_on_two_nodes_come_from_the_other_one(objects):
    with running(objects, "two") as machine:
        for pages in (1, 512, 0):  # the last one failed
            machine.migrate(pages)
        ((times, pages, crossed, took),) = machine.counted("numaMigrations").values()
        assert (times, pages, crossed) == (2, 513, 513)
        assert took > 0
        assert machine.pairs() == {(OTHER, HERE): PairCounters(2, 513, took, 0)}


def test_moves_within_a_socket_do_not_leave_it(objects):
    """Nodes 0 and 1 are one socket, 2 and 3 another; pages that can't be read are of node 0."""
    with running(objects, "cluster") as machine:
        for node in (1, 2):
            machine.misplaced(node)
            machine.migrate(10 * node)
            machine.hint(node, 10 * node, MOVED)
        ((_, pages, crossed, _),) = machine.counted("numaMigrations").values()
        assert (pages, crossed) == (30, 20)
        found = machine.pairs()
        assert {p: c.migrated_pages for p, c in found.items() if c.migrations} == {
            (0, 1): 10,
            (0, 2): 20,
        }
        assert {p: c.hint_fault_pages for p, c in found.items() if c.hint_fault_pages} == {
            (HERE, 0): 30
        }
        # The CPU is of the first socket, as is node 0.
        assert machine.counted("hintFaults") == {next(iter(machine.counted("hintFaults"))): (30, 0)}


def test_memory_without_cpus_is_another_sockets_from_no_socket(objects):
    """Node 0 is of the first socket, node 1 of the second, node 2 is memory only (CXL)."""
    with running(objects, "tiers") as machine:
        machine.misplaced(2)  # demoted, from node 0
        machine.migrate(10)
        ((_, pages, crossed, _),) = machine.counted("numaMigrations").values()
        assert (pages, crossed) == (10, 0)
        machine.misplaced(OTHER)
        machine.migrate(7)
        ((_, pages, crossed, _),) = machine.counted("numaMigrations").values()
        assert (pages, crossed) == (17, 7)
        assert {p: c.migrated_pages for p, c in machine.pairs().items()} == {(0, 2): 10, (0, 1): 7}
    with running(objects, "one and far") as machine:
        machine.migrate(5)  # promoted, from the only other node
        ((_, pages, crossed, _),) = machine.counted("numaMigrations").values()
        assert (pages, crossed) == (5, 0)
        assert {p: c.migrated_pages for p, c in machine.pairs().items()} == {(1, 0): 5}


def test_a_fault_on_a_cpu_that_has_just_come_is_lost_not_remote(objects):
    with running(objects, "cluster") as machine:
        machine.fill("cpu_socket", [0] * COPIES)
        machine.hint(HERE, 3, LOCAL)
        assert machine.counted("hintFaults") == {}
        assert (machine.pairs(), machine.total(0)) == ({}, 1)
        machine.fill("cpu_socket", [1] * COPIES)
        machine.hint(HERE, 3, LOCAL)
        assert list(machine.counted("hintFaults").values()) == [(3, 0)]


def test_source_that_nothing_tells_is_unknown_and_counts_as_another_socket(objects):
    with running(objects, "four") as machine:
        machine.migrate(7)
        machine.hint(2, 4, MOVED)
        ((_, pages, crossed, took),) = machine.counted("numaMigrations").values()
        assert (pages, crossed) == (7, 7)
        assert machine.pairs() == {
            (None, HERE): PairCounters(1, 7, took, 0),
            (HERE, None): PairCounters(hint_fault_pages=4),
        }
        machine.misplaced(3)
        machine.hint(2, 4, MOVED)  # of another move than the one that was seen
        assert machine.pairs()[HERE, None].hint_fault_pages == 8


def test_a_pair_without_room_is_lost_for_pairs_only(objects):
    with running(objects, "tight") as machine:
        machine.hint(HERE, 1, LOCAL)
        machine.hint(OTHER, 2, 0)
        (faults,) = machine.counted("hintFaults").values()
        assert faults == (1, 2)
        assert machine.pairs() == {(HERE, HERE): PairCounters(hint_fault_pages=1)}
        assert (machine.total(0), machine.total(2)) == (0, 1)


def test_system_calls_are_counted_apart_for_their_caller(objects):
    with running(objects, "two") as machine:
        machine.migrate(100, SYSCALL)
        machine.migrate(20, MBIND)
        machine.migrate(0, SYSCALL)
        machine.migrate(3, COMPACTION)
        assert list(machine.counted("syscallMoves").values()) == [(120,)]
        assert machine.total(1) == 120
        assert machine.counted("numaMigrations") == {}
        assert machine.pairs() == {}


def test_scanner_skips_are_counted(objects):
    with running(objects, "two") as machine:
        for _ in range(3):
            machine.skip()
        assert list(machine.counted("scannerSkips").values()) == [(3,)]


@pytest.mark.parametrize(("kind", "controller"), [("two", ""), ("v1", "memory")])
def test_each_hierarchy_names_this_process_by_its_own_cgroup(objects, kind, controller):
    own = hierarchies.own(controller)
    if own is None:
        pytest.skip(f"no {controller or 'v2'} hierarchy here")
    with running(objects, kind) as machine:
        machine.hint(HERE, 1, LOCAL)
        machine.migrate(1)
        machine.migrate(1, SYSCALL)
        machine.skip()
        identity = own.stat().st_ino
        for signal in FIELDS.keys() - {"taskMigrations", "pinMoves", "remoteDram"}:
            assert machine.counted(signal).keys() == {identity}, signal
        assert pairs.decode(
            *machine._entries("nodePairs", pairs.KEY.size, pairs.VALUE.size)
        ).keys() == {identity}
