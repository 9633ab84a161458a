"""The agent's end: real maps read through it, and what is said when there are none."""

import os

import pytest
from support.bpf import no_bpf, u64
from support.machines import machine

from numapin_agent.bpf import syscalls
from numapin_agent.counters import CgroupCounters, Counters, pairs
from numapin_agent.counters.hosts import always_crosses
from numapin_agent.counters.launch import Loaded, Probed
from numapin_agent.counters.signals import FIELDS, value_size
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet
from numapin_api.errors import CounterError
from numapin_api.node import SIGNALS
from numapin_api.topology import Topology

needs_bpf = pytest.mark.skipif(no_bpf() is not None, reason=no_bpf() or "")


TWO_SOCKETS = machine("S0[N0 0-1 1G] S1[N1 2-3 1G]")
SNC2 = machine("S0[N0 0 1G, N1 1 1G] S1[N2 2 1G, N3 3 1G]")
CXL = machine("S0[N0 0-1 1G] S1[N1 2-3 1G] N2 - 1G")
SPARSE = machine("S36[N0 0-1 1G] S3[N8 4-5 1G]")
ONE_NODE = machine("S0[N0 0-3 1G]")


@pytest.mark.parametrize(
    ("topology", "expected"),
    [(TWO_SOCKETS, True), (SNC2, False), (CXL, True), (SPARSE, True), (ONE_NODE, True)],
)
def test_whether_every_move_between_nodes_leaves_a_socket(topology, expected):
    assert always_crosses(topology) is expected


_HASH = 1
"""BPF_MAP_TYPE_HASH of include/uapi/linux/bpf.h."""
POSSIBLE = CpuSet.parse((HostPaths().cpu_dir / "possible").read_text())
NOTHING = dict.fromkeys(FIELDS, Probed("none", "a reason"))


def counters(*fds: tuple[str, int], fallback: bool = False, topology: Topology = ONE_NODE):
    return Counters(
        Loaded(NOTHING, fds),
        topology=topology,
        possible=POSSIBLE,
        fallback=fallback,
        vmstat=HostPaths().vmstat,
    )


@pytest.mark.parametrize(("fallback", "level"), [(True, "cgroup"), (False, "none")])
def test_without_programs_the_kernels_own_count_is_the_fallback(fallback, level):
    with counters(fallback=fallback) as nothing:
        levels = nothing.levels()
        assert [s.name for s in levels] == list(SIGNALS)
        assert [s.level for s in levels] == [level, level, *["none"] * (len(SIGNALS) - 2)]
        assert {s.reason for s in levels} == {"a reason"}
        assert nothing.read() == {}
        assert nothing.lost() == 0
        assert nothing.faults() == ()
        assert nothing.full() == ()
        assert nothing.cost is None
        nothing.forget([1])


@pytest.fixture
def filled():
    """Real maps of two signals with cgroup 7 in both and 8 in one, the latter on one CPU."""
    cpus = len(POSSIBLE)
    fds = []
    for name in ("hintFaults", "taskMigrations"):
        fd = syscalls.map_create(
            syscalls.MAP_PERCPU_HASH, key_size=8, value_size=value_size(name), max_entries=16
        )
        fds.append((f"map:{name}", fd))
    for _ in range(2):  # as when programs had to be compiled apart
        fd = syscalls.map_create(6, key_size=4, value_size=8, max_entries=2)
        syscalls.map_update(fd, bytes(4), u64(*[1] * cpus))
        fds.append(("map:totals", fd))
    (_, faults), (_, tasks), *_ = fds
    syscalls.map_update(faults, u64(7), u64(*[3, 4] * cpus))
    syscalls.map_update(tasks, u64(7), u64(*[5] * cpus))
    syscalls.map_update(tasks, u64(8), u64(6, *[0] * (cpus - 1)))
    with counters(*fds) as ours:
        yield ours


@needs_bpf
def test_counters_are_joined_by_cgroup_and_forgotten_together(filled):
    cpus = len(POSSIBLE)
    seven = CgroupCounters(
        hint_fault_pages_local=3 * cpus,
        hint_fault_pages_remote=4 * cpus,
        cross_socket_task_migrations=5 * cpus,
    )
    eight = CgroupCounters(cross_socket_task_migrations=6)
    assert filled.read() == {7: seven, 8: eight}
    filled.forget([7, 4711])
    assert filled.read() == {8: eight}


@needs_bpf
def test_lost_events_of_all_programs_are_summed(filled):
    assert filled.lost() == 2 * len(POSSIBLE)


@needs_bpf
def test_a_full_table_of_pairs_is_told_and_has_room_once_cgroups_are_forgotten():
    fd = syscalls.map_create(
        _HASH, key_size=pairs.KEY.size, value_size=pairs.VALUE.size, max_entries=2
    )
    with counters(("map:nodePairs", fd)) as ours:
        for cgroup in (7, 8):
            assert ours.full() == ()
            syscalls.map_update(fd, pairs.KEY.pack(cgroup, 0, 1), bytes(pairs.VALUE.size))
        assert ours.full() == (pairs.PAIRS,)
        ours.forget([7])
        assert ours.full() == ()


@needs_bpf
def test_closing_twice_closes_once(filled):
    filled.close()
    other = os.memfd_create("takes a number that was closed")
    filled.close()
    assert os.fstat(other).st_size == 0
    os.close(other)
    assert filled.read() == {}


@needs_bpf
def test_sockets_are_rewritten_when_cpus_come():
    fd = syscalls.map_create(syscalls.MAP_ARRAY, key_size=4, value_size=4, max_entries=64)
    with counters(("map:cpu_socket", fd), topology=ONE_NODE) as ours:
        highest = max(POSSIBLE)
        ours.follow(machine(f"S0[N0 0 1G] S1[N1 1-{max(1, highest)} 1G]"))
        sockets = [
            int.from_bytes(syscalls.map_lookup(fd, i.to_bytes(4, "little"), 4) or b"", "little")
            for i in range(highest + 1)
        ]
        assert sockets == [1, *[2] * highest]


@needs_bpf
def test_a_map_that_cannot_be_read_is_a_counter_error():
    broken = os.memfd_create("no map")
    with counters(("map:taskMigrations", broken)) as ours:
        with pytest.raises(CounterError, match="map taskMigrations can't be read"):
            ours.read()
        with pytest.raises(CounterError, match="map taskMigrations, cgroup 1"):
            ours.forget([1])


@pytest.mark.parametrize("text", [None, "", "0-x"])
def test_possible_cpus_that_cannot_be_read_are_named(tmp_path, text):
    paths = HostPaths(tmp_path)
    if text is not None:
        paths.cpu_dir.mkdir(parents=True)
        (paths.cpu_dir / "possible").write_text(text)
    with pytest.raises(CounterError, match="possible"):
        Counters.start(paths, TWO_SOCKETS)
