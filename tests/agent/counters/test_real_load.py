"""Really compiled by bcc, really attached to this machine's kernel.

Which signals can be had depends on the machine; what is checked is that each is either counted
or says why not, that what is counted is right, and that nothing outlives the agent.
"""

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.bpf import no_bcc, program_exists, program_ids
from support.two_cpus import CPUS, MADE_UP, hop_in, one_socket
from support.wait import until

from numapin_agent.counters import Counters, LoadOptions
from numapin_agent.hostpaths import HostPaths
from numapin_api.node import SIGNALS

pytestmark = [
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(180),
]

MR_COMPACTION = 0
COUNTED = ("fentry", "kprobe", "rawTracepoint")


@pytest.fixture(scope="module")
def counters():
    with Counters.start(HostPaths(), MADE_UP, macros={"REASON_NUMA": MR_COMPACTION}) as ours:
        yield ours


def level(counters: Counters, name: str) -> str:
    found = next(s for s in counters.levels() if s.name == name)
    if found.level not in COUNTED:
        pytest.skip(f"{name} can't be had on this kernel: {found.reason}")
    return found.level


def test_each_signal_is_had_or_says_why(counters):
    assert [found.name for found in counters.levels()] == list(SIGNALS)
    for found in counters.levels():
        assert found.level in COUNTED or found.reason
    assert counters.cost is not None
    assert counters.cost.peak_rss_bytes < 200 << 20
    assert counters.lost() == 0


def test_every_program_attached_can_be_asked_about(counters):
    level(counters, "taskMigrations")
    programs = counters.programs()
    assert "task_migrate" in programs
    assert {p.misses for p in programs.values()} == {0}


def test_the_agent_itself_never_imports_bcc(counters):
    assert "bcc" not in sys.modules


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_task_migrations_are_counted_for_the_cgroup_of_the_task_moved(counters, cgroup):
    level(counters, "taskMigrations")
    identity = cgroup.stat().st_ino
    assert identity not in counters.read()
    hop_in(cgroup, 100)
    counted = counters.read()[identity].cross_socket_task_migrations
    # every hop is one; the scheduler may add a few before the first
    assert 199 <= counted <= 220
    counters.forget([identity])
    assert identity not in counters.read()


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_no_task_migration_is_counted_once_all_cpus_are_one_socket(counters, cgroup):
    level(counters, "taskMigrations")
    one = one_socket()
    counters.follow(one)
    try:
        hop_in(cgroup, 50)
        assert cgroup.stat().st_ino not in counters.read()
    finally:
        counters.follow(MADE_UP)


def test_migrated_pages_agree_with_the_kernels_own_count(counters):
    """With compaction in the place of NUMA balancing, which needs two NUMA nodes."""
    level(counters, "numaMigrations")
    compact = Path("/proc/sys/vm/compact_memory")
    if not os.access(compact, os.W_OK):
        pytest.skip("this kernel can't be told to compact memory")

    def ours() -> int:
        return sum(c.migrated_pages for c in counters.read().values())

    def kernels() -> int:
        lines = Path("/proc/vmstat").read_text().splitlines()
        return next(int(x.split()[1]) for x in lines if x.startswith("pgmigrate_success "))

    with mmap.mmap(-1, 256 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as holes:
        holes.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, len(holes), mmap.PAGESIZE):
            holes[at] = 1
        for at in range(0, len(holes), 2 * mmap.PAGESIZE):
            holes.madvise(mmap.MADV_DONTNEED, at, mmap.PAGESIZE)
        before = ours(), kernels()
        compact.write_text("1")
        after = ours(), kernels()
    moved = after[1] - before[1]
    if moved < 100:
        pytest.skip(f"compaction moved {moved} pages only: nothing to compare")
    assert after[0] - before[0] == pytest.approx(moved, rel=0.05)
    spent = sum(c.migration_nanoseconds for c in counters.read().values())
    assert spent > 100 * moved
    of_pairs = [c for pairs in counters.pairs().values() for c in pairs.values()]
    assert sum(c.migrated_pages for c in of_pairs) >= moved
    assert counters.lost_pairs() == 0


@pytest.mark.parametrize(
    ("macros", "said"),
    [
        ({"numa_migrated": 1}, "Failed to compile BPF module"),
        ({"MIGRATE_END_REASON_ARG": 1000}, "rawTracepoint mm_migrate_pages: bpf: "),
    ],
)
def test_a_program_that_cannot_be_had_costs_only_its_own_signals(counters, macros, said):
    """A name that the compiler stumbles over; an argument that the verifier won't let us read."""
    level(counters, "taskMigrations")
    with Counters.start(HostPaths(), MADE_UP, macros=macros) as ours:
        by_name = {s.name: s for s in ours.levels()}
        assert by_name["numaMigrations"].level in {"none", "cgroup"}
        assert said in str(by_name["numaMigrations"].reason)
        assert by_name["pinMoves"].level == "none"
        assert by_name["taskMigrations"].level == "rawTracepoint"


def test_programs_that_were_kept_need_no_compiler(counters, tmp_path):
    first = LoadOptions(store=tmp_path / "bpf")
    with Counters.start(HostPaths(), MADE_UP, options=first) as compiled:
        levels = compiled.levels()
        assert compiled.cost
        assert compiled.cost.peak_rss_bytes > 60 << 20
    kept = {file: file.read_text() for file in (tmp_path / "bpf").iterdir()}
    assert kept
    with Counters.start(HostPaths(), MADE_UP, options=first) as again:
        assert again.levels() == levels
        assert again.cost
        assert again.cost.peak_rss_bytes < 60 << 20
        assert again.lost() == 0
        assert again.read() is not None
    for file, text in kept.items():
        file.write_text(text[: len(text) // 2])
    with Counters.start(HostPaths(), MADE_UP, options=first) as healed:
        assert healed.levels() == levels
    assert {file: file.read_text() for file in kept} == kept


def test_programs_that_count_have_no_fault(counters):
    level(counters, "taskMigrations")
    assert counters.faults() == ()


def test_programs_end_with_the_agent_even_when_it_is_killed():
    code = (
        "import sys\n"
        "from numapin_agent.counters import Counters\n"
        "from numapin_agent.hostpaths import HostPaths\n"
        "from numapin_api.topology import Topology\n"
        "counters = Counters.start(HostPaths(), Topology((), (), ()))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    with agent:
        assert agent.stdout
        assert agent.stdout.readline() == b"ready\n"
        programs = program_ids(agent.pid)
        agent.send_signal(signal.SIGKILL)
    if not programs:
        pytest.skip("nothing could be attached")
    until(lambda: not any(map(program_exists, programs)), what=f"programs {programs} to end")


def test_without_capabilities_every_level_is_none_with_the_reason():
    code = (
        "from numapin_agent.counters import Counters\n"
        "from numapin_agent.hostpaths import HostPaths\n"
        "from numapin_api.topology import Topology\n"
        "for s in Counters.start(HostPaths(), Topology((), (), ())).levels():\n"
        "    print(s.level, s.reason)\n"
    )
    if os.geteuid() != 0:
        pytest.skip("needs root, to give capabilities up")
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    lines = done.stdout.splitlines()
    why = "bpf: Operation not permitted (capability BPF and PERFMON missing)"
    assert lines[0] in {f"none {why}", f"cgroup {why}"}
    assert lines[1] == lines[0]
    assert lines[2:] == [f"none {why}"] * (len(SIGNALS) - 2)
