"""Real programs on this machine's kernel that are detached, blinded, overfilled or left alone.

A page can't be moved on a machine of one NUMA node; what needs two is in the end-to-end tests.
"""

import os
import platform
import signal
import subprocess
import sys
import time

import pytest
from support import detach as detach_from_outside
from support.bpf import no_bcc
from support.counted import QuietCgroup
from support.two_cpus import CPUS, MADE_UP, hop_in, one_socket

from numapin_agent.census import Census
from numapin_agent.cgroup.ids import ids_below
from numapin_agent.counters import Counters, LoadOptions
from numapin_agent.counters.checkup import hop
from numapin_agent.hostpaths import HostPaths
from numapin_agent.tracing import Tracing

pytestmark = [
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs"),
    pytest.mark.timeout(180),
]
MR_COMPACTION = 0


def level(counters: Counters, name: str) -> None:
    found = next(s for s in counters.levels() if s.name == name)
    if found.level in {"none", "cgroup"}:
        pytest.skip(f"{name} can't be had on this kernel: {found.reason}")


@pytest.fixture
def doomed():
    """Counters of our own, to be damaged."""
    with Counters.start(HostPaths(), MADE_UP, macros={"REASON_NUMA": MR_COMPACTION}) as ours:
        level(ours, "taskMigrations")
        level(ours, "numaMigrations")
        assert ours.faults() == ()
        yield ours


def detach(counters: Counters, program: str) -> None:
    """Close the kernel's own link: the program stays loaded, and nothing runs it any more."""
    ((_, link),) = counters.attachments()[program]
    os.close(link)


def test_a_detached_program_is_found_and_named(doomed):
    detach(doomed, "migrate_start")
    (fault,) = doomed.faults()
    assert (fault.program, fault.why) == ("migrate_start", "is not attached any more")
    assert fault.signals == ("numaMigrations",)


def test_a_detached_program_counts_no_more_and_takes_all_its_signals(doomed):
    for name in ("migrate_end", "task_migrate"):
        detach(doomed, name)
    before = doomed.read()
    hop_here(20)
    assert doomed.read() == before
    faults = {f.program: f.signals for f in doomed.faults()}
    assert faults["task_migrate"] == ("taskMigrations",)
    assert "numaMigrations" in faults["migrate_end"]


def test_a_descriptor_that_has_become_somebody_elses_is_left_alone(doomed):
    ((_, link),) = doomed.attachments()["task_migrate"]
    other = os.memfd_create("takes the number")
    os.dup2(other, link)
    assert [f.program for f in doomed.faults()] == ["task_migrate"]
    assert [f.program for f in doomed.faults()] == ["task_migrate"]
    doomed.close()
    assert os.fstat(link).st_size == 0
    os.close(other)
    os.close(link)


def test_an_attached_program_that_sees_nothing_is_found_and_named(doomed):
    """All CPUs are one socket in its table, though not in what it was told: it is blind."""
    one = one_socket()
    doomed.follow(one)
    doomed._topology = MADE_UP
    (fault,) = doomed.faults()
    assert fault.program == "task_migrate"
    assert fault.why.startswith("is blind: a thread that the agent sent from CPU")
    doomed.follow(MADE_UP)
    assert doomed.faults() == ()


def hop_here(times: int) -> None:
    for _ in range(times):
        hop(CPUS[0], CPUS[1])


def test_events_without_room_are_counted_as_lost(cgroup, monkeypatch):
    """Tables of one cgroup: whoever comes second finds no room."""
    monkeypatch.setattr("numapin_agent.counters.prepare.max_cgroups", lambda cpus: 1)
    with Counters.start(HostPaths(), MADE_UP) as small:
        level(small, "taskMigrations")
        hop_here(1)
        assert "taskMigrations" in small.full()
        before, counted = small.lost(), small.read()
        assert len(counted) == 1
        hop_in(cgroup, 100)
        assert cgroup.stat().st_ino not in small.read()
        assert small.lost() - before >= 199


def test_events_on_a_cpu_that_has_just_come_are_counted_as_lost(doomed, cgroup):
    """As after a hotplug, until the programs are told of the CPU."""
    known = one_socket(CPUS[:1])
    doomed.follow(known)
    before = doomed.lost()
    hop_in(cgroup, 100)
    assert cgroup.stat().st_ino not in doomed.read()
    assert doomed.lost() - before >= 199
    doomed.follow(MADE_UP)
    hop_in(cgroup, 100)
    assert doomed.read()[cgroup.stat().st_ino].cross_socket_task_migrations >= 199


def test_an_agent_that_stands_still_misses_nothing(cgroup):
    """The kernel counts on while the agent is stopped; there is no buffer that could overflow."""
    code = (
        "import sys\n"
        "from numapin_agent.counters import Counters\n"
        "from numapin_agent.hostpaths import HostPaths\n"
        "from support.two_cpus import MADE_UP\n"
        "with Counters.start(HostPaths(), MADE_UP) as counters:\n"
        "    levels = {s.name: s.level for s in counters.levels()}\n"
        "    print(levels['taskMigrations'], flush=True)\n"
        "    for line in sys.stdin:\n"
        "        found = counters.read().get(int(line))\n"
        "        print(found.cross_socket_task_migrations, counters.lost(), flush=True)\n"
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    with agent:
        assert agent.stdout
        assert agent.stdin
        if agent.stdout.readline() == "none\n":
            agent.stdin.close()
            pytest.skip("nothing could be attached")
        agent.send_signal(signal.SIGSTOP)
        hop_in(cgroup, 5000)
        agent.send_signal(signal.SIGCONT)
        agent.stdin.write(f"{cgroup.stat().st_ino}\n")
        agent.stdin.close()
        counted, lost = map(int, agent.stdout.readline().split())
    assert 9999 <= counted <= 10100
    assert lost == 0


class Reports:
    """Keeps what was last reported."""

    def attach(self, tracer) -> None:
        self.tracer = tracer

    def counters_failed(self, error) -> None:
        raise error

    def trusted(self, trust) -> None:
        self.trust = trust


def test_programs_that_were_detached_are_loaded_anew_and_go_on_counting(cgroup, tmp_path):
    """All real: the kernel's programs, the census, the watch."""
    loaded = []

    def load() -> Counters:
        made = Counters.start(HostPaths(), MADE_UP, options=LoadOptions(store=tmp_path / "bpf"))
        loaded.append(made)
        return made

    census, reports = Census(clock=time.monotonic), Reports()
    gaps = []
    tracing = Tracing(
        load=load,
        census=census,
        reporter=reports,
        existing=lambda: ids_below(HostPaths().cgroup),
        failed=lambda error: pytest.fail(str(error)),
        interrupted=lambda: gaps.append(time.monotonic()),
        clock=time.monotonic,
        wall=time.time,
    )
    assert tracing.start()
    try:
        level(loaded[0], "taskMigrations")
        census.replace([QuietCgroup("a", ids_below(cgroup))])
        hop_in(cgroup, 50)

        def counted() -> int:
            return census.read().pods["a"].totals().cross_socket_task_migrations

        first = counted()
        assert first >= 99
        detach(loaded[0], "task_migrate")
        hop_in(cgroup, 50)  # nobody counts these
        tracing.check()
        assert tracing.reloads == 1
        assert len(gaps) == 1
        assert reports.tracer is loaded[1]
        assert reports.trust.faults == ()
        assert loaded[0].attachments() == {}
        hop_in(cgroup, 50)
        assert first + 99 <= counted() <= first + 120
    finally:
        for one in loaded:
            one.close()


def test_tables_are_swept_of_cgroups_that_are_gone(cgroup):
    with Counters.start(HostPaths(), MADE_UP) as counters:
        level(counters, "taskMigrations")
        census = Census(clock=time.monotonic)
        census.attach(counters)
        inner = cgroup / "inner"
        inner.mkdir()
        identity = inner.stat().st_ino
        hop_in(inner, 50)
        before = census.read().node.totals().cross_socket_task_migrations
        assert identity in counters.read()
        census.sweep(lambda: ids_below(HostPaths().cgroup))
        assert identity in counters.read()
        inner.rmdir()
        assert census.sweep(lambda: ids_below(HostPaths().cgroup)) >= 1
        assert identity not in counters.read()
        assert census.read().node.totals().cross_socket_task_migrations >= before


@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows x86-64's registers only")
def test_a_link_taken_away_from_outside_is_found():
    """What the end-to-end tests do to the agent, done to a process that only has counters."""
    code = (
        "import sys\n"
        "from numapin_agent.counters import Counters\n"
        "from numapin_agent.hostpaths import HostPaths\n"
        "from support.two_cpus import MADE_UP\n"
        "with Counters.start(HostPaths(), MADE_UP) as counters:\n"
        "    for line in sys.stdin:\n"
        "        print(*(fault.program for fault in counters.faults()), '.', flush=True)\n"
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    with agent:
        assert agent.stdout
        assert agent.stdin

        def asked() -> str:
            print("faults?", file=agent.stdin, flush=True)
            return agent.stdout.readline()

        assert asked() == ".\n"
        done = subprocess.run(
            [sys.executable, detach_from_outside.__file__, str(agent.pid), "sched_migrate_task"],
            capture_output=True,
            text=True,
            check=False,
        )
        if "has no link" in done.stderr:
            agent.stdin.close()
            pytest.skip("nothing could be attached")
        assert done.returncode == 0, done.stderr
        assert asked() == "task_migrate .\n"
        agent.stdin.close()
        assert agent.wait(30) == 0
