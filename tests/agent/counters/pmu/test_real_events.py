"""Real events in place of the PMU's: opened, attributed at switches between cgroups, read.

Software events are opened, grouped, put into the map and read by the same calls and the same
program; only what is counted differs. Page faults are exact: a program that touches N new pages
faults N times. What this can't show is any hardware event.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import hierarchies
from support.bpf import no_bcc, program_exists
from support.capabilities import under, why_not
from support.two_cpus import CPUS, MADE_UP, one_socket
from support.wait import until

from numapin_agent.counters import CgroupCounters, Counters
from numapin_agent.counters.pmu.choose import NOT_ASKED, choose
from numapin_agent.counters.pmu.events import Event, Pair
from numapin_agent.counters.pmu.perf import CGROUP_SWITCHES, SOFTWARE, try_pair
from numapin_agent.counters.pmu.select import Candidate, Pmu
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet
from numapin_api.topology import Topology

pytestmark = [
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(180),
]

PAGE_FAULTS, MINOR_FAULTS, MAJOR_FAULTS = 2, 5, 6
FAULTS = Pair("page-faults and minor-faults", Event(PAGE_FAULTS), Event(MINOR_FAULTS))
SOFTWARE_PMU = Pmu("software", SOFTWARE)


@contextmanager
def counting(pair: Pair, topology: Topology | None = None) -> Iterator[Counters]:
    dram = Candidate(pair, (SOFTWARE_PMU,), "made of software events")
    with Counters.start(HostPaths(), topology or one_socket(), dram=dram) as ours:
        found = ours.levels()[-1]
        if found.level != "perfEvent" and "cgroup-switches" in str(found.reason):
            pytest.skip(f"this kernel can't: {found.reason}")
        yield ours


@pytest.fixture(scope="module")
def counters() -> Iterator[Counters]:
    with counting(FAULTS) as ours:
        yield ours


@pytest.fixture
def cgroups() -> Iterator[tuple[Path, Path]]:
    """Two of the hierarchy that counters go by, and of the one whose switches are events."""
    roots = {hierarchies.counted(), hierarchies.mount("perf_event") or hierarchies.mount("")}
    if None in roots or not all(os.access(root, os.W_OK) for root in roots if root):
        pytest.skip("no cgroup hierarchy to write to")
    names = tuple(f"numapin-test-{os.getpid()}-{n}" for n in "ab")
    made = [root / name for root in roots if root for name in names]
    for one in made:
        one.mkdir()
    counted = hierarchies.counted()
    assert counted
    yield counted / names[0], counted / names[1]
    for one in made:
        until(lambda: not (one / "cgroup.procs").read_text(), what=f"{one} to be empty")  # noqa: B023
        one.rmdir()


def procs(cgroup: Path) -> list[str]:
    """Where a process writes itself to be in that cgroup in all hierarchies that matter."""
    roots = {cgroup.parent, hierarchies.mount("perf_event") or hierarchies.mount("")}
    return [str(root / cgroup.name / "cgroup.procs") for root in roots if root]


TOUCH = """
import mmap, os, sys
cpu, *cgroups = sys.argv[1:]
for cgroup in cgroups:
    open(cgroup, "w").write("0")
os.sched_setaffinity(0, {int(cpu)})
print(flush=True)
for line in sys.stdin:
    pages, ground = int(line), None
    with mmap.mmap(-1, mmap.PAGESIZE * (pages + 1)) as ground:
        ground.madvise(15)  # no huge pages: a fault for each page
        for i in range(pages):
            ground[i * mmap.PAGESIZE] = 1
    print(flush=True)
"""


class Toucher:
    """A process of a cgroup that touches as many new pages as it is told."""

    def __init__(self, cgroup: Path, cpu: int = CPUS[0]) -> None:
        self.id = cgroup.stat().st_ino
        command = [sys.executable, "-S", "-c", TOUCH, str(cpu), *procs(cgroup)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Toucher":
        self.wait()
        self.ask(1)  # what Python itself touches at the first time
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def ask(self, pages: int) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{pages}\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "\n"


def grown(counters: Counters, before: CgroupCounters, who: Toucher) -> tuple[int, int]:
    after = counters.read()[who.id]
    return (
        after.dram_fills_local - before.dram_fills_local,
        after.dram_fills_remote - before.dram_fills_remote,
    )


NOISE = 40
"""Page faults that a Python program has by itself."""


def about(found: int, pages: int) -> bool:
    return pages <= found <= pages + NOISE


def test_the_signal_says_how_it_is_had(counters):
    found = counters.levels()[-1]
    assert (found.name, found.level, found.reason) == (
        "remoteDram",
        "perfEvent",
        "made of software events",
    )


def test_both_events_are_counted_for_the_cgroup_that_ran(counters, cgroups):
    with Toucher(cgroups[0]) as who:
        before = counters.read()[who.id]
        who.ask(3000)
        who.wait()
        local, remote = grown(counters, before, who)
    assert about(local, 3000)
    assert about(remote, 3000)


@pytest.mark.parametrize("cpus", [(0, 0), (0, -1)], ids=["one CPU", "two CPUs"])
def test_cgroups_that_take_turns_are_told_apart(counters, cgroups, cpus):
    """Both run at once, on one CPU in turns of the scheduler: each gets what it did itself."""
    with (
        Toucher(cgroups[0], CPUS[cpus[0]]) as one,
        Toucher(cgroups[1], CPUS[cpus[1]]) as other,
    ):
        before = counters.read()
        one.ask(40_000)
        other.ask(10_000)
        one.wait()
        other.wait()
        assert about(grown(counters, before[one.id], one)[0], 40_000)
        assert about(grown(counters, before[other.id], other)[0], 10_000)


def test_a_program_that_never_leaves_its_cpu_is_read_as_well(counters, cgroups):
    """What was counted since the last switch is added when the agent reads."""
    busy = (
        "import sys\n"
        "for cgroup in sys.argv[1:]: open(cgroup, 'w').write('0')\n"
        "print(flush=True)\n"
        "while True: pass"
    )
    command = [sys.executable, "-S", "-c", busy, *procs(cgroups[0])]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            mine = cgroups[0].stat().st_ino
            first = until(lambda: counters.read().get(mine), what="the cgroup to be counted")
            until(
                lambda: (
                    counters.read()[mine].dram_running_nanoseconds
                    > first.dram_running_nanoseconds + 50_000_000
                ),
                what="its time to be counted",
            )
        finally:
            process.kill()
    last = counters.read()[mine]
    assert last.dram_running_nanoseconds == last.dram_enabled_nanoseconds


def test_a_first_event_that_counts_all_leaves_the_rest_as_local(cgroups):
    """As on Arm: all fills and remote ones. All of these faults are minor, so none is left."""
    whole = Pair("faults", Event(PAGE_FAULTS), Event(MINOR_FAULTS), whole=True)
    none_remote = Pair("faults", Event(PAGE_FAULTS), Event(MAJOR_FAULTS), whole=True)
    for pair, expected in ((whole, (0, 1)), (none_remote, (1, 0))):
        with counting(pair) as ours, Toucher(cgroups[0]) as who:
            before = ours.read()[who.id]
            who.ask(2000)
            who.wait()
            found = grown(ours, before, who)
        assert [about(n, 2000 * e) for n, e in zip(found, expected, strict=True)] == [True, True]


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_cpus_that_come_and_go_are_followed(cgroups):
    """Counting begins at nothing on a CPU that came back, and stops on one that went."""
    with counting(FAULTS) as ours, Toucher(cgroups[0], CPUS[1]) as who:
        before = ours.read()[who.id]
        ours.follow(one_socket(CPUS[:1]))
        who.ask(2000)
        who.wait()
        assert grown(ours, before, who) == (0, 0)
        ours.follow(one_socket())
        ours.follow(one_socket())
        who.ask(1000)
        who.wait()
        assert about(grown(ours, before, who)[0], 1000)


def held() -> tuple[list[str], set[int]]:
    """Of this process: perf events with a descriptor, and ids of BPF programs."""
    events, programs = [], set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that listed this directory
            name = str(fd.readlink())
            info = Path(f"/proc/self/fdinfo/{fd.name}").read_text().split()
            events += [name] if "perf_event" in name else []
            programs |= {int(info[info.index("prog_id:") + 1])} if "prog_id:" in info else set()
    return events, programs


def test_no_descriptor_is_kept_for_an_event_and_none_outlives_the_counters():
    before = held()[1]
    with counting(FAULTS):
        events, programs = held()
        assert not events
        assert len(programs - before) >= 2
    # An event that was still open would hold its program.
    gone = programs - before
    until(lambda: not any(map(program_exists, gone)), what=f"programs {gone} to end")


def test_events_that_are_gone_are_found_and_both_programs_named():
    """The map that held them is closed, as by a stranger; its programs stay loaded."""
    with counting(FAULTS) as ours:
        names = {program for signal, program in ours.roster() if signal == "remoteDram"}
        assert names == {"dram_switch", "dram_flush"}
        assert ours.faults() == ()
        assert ours.faults() == ()
        os.close(ours._fds.of("map:dramEvents")[0])
        ours.read()  # takes in what was counted before
        ours.faults()
        faults = ours.faults()
        assert {f.program for f in faults} == names
        assert {f.signals for f in faults} == {("remoteDram",)}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Event(0xFFFF), "faults and nonsense on CPU 0: perf_event_open: "),
        (Event(0xFFFF, 7), "faults and nonsense on CPU 0: perf_event_open: "),
    ],
)
def test_an_event_that_the_kernel_lacks_is_said(event, said):
    pair = Pair("faults and nonsense", Event(PAGE_FAULTS), event)
    candidate = Candidate(pair, (SOFTWARE_PMU,))
    assert said in str(try_pair(candidate, frozenset(CPUS)))
    assert try_pair(Candidate(FAULTS, (SOFTWARE_PMU,)), frozenset(CPUS)) is None
    with counting(pair) as ours:
        found = ours.levels()[-1]
        assert found.level == "none"
        assert said in str(found.reason)
        assert ours.read() is not None
        ours.follow(one_socket())


RIGHTS = """
from numapin_agent.counters import Counters
from numapin_agent.counters.pmu.events import Event, Pair
from numapin_agent.counters.pmu.select import Candidate, Pmu
from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import read_topology
dram = Candidate(Pair("faults", Event(2), Event(5)), (Pmu("software", 1),))
with Counters.start(HostPaths(), read_topology(HostPaths()), dram=dram) as ours:
    ours.read()
    print(ours.levels()[-1].level)
"""


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_the_agents_capabilities_are_enough(counters):
    command = [*under({"BPF", "PERFMON"}), sys.executable, "-c", RIGHTS]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "perfEvent\n"


def test_a_cpu_without_a_pmu_is_said():
    nowhere = Candidate(FAULTS, (Pmu("software", SOFTWARE, CpuSet()),))
    assert "no PMU counts on any CPU" in str(try_pair(nowhere, frozenset(CPUS)))
    some = Candidate(FAULTS, (Pmu("software", SOFTWARE, CpuSet(CPUS[:1])),))
    with Counters.start(HostPaths(), one_socket([*CPUS, 1 + max(CPUS)]), dram=some) as ours:
        assert ours.levels()[-1].level == "none" or len(CPUS) == 1


def test_this_machine_is_asked_and_answers():
    """Here or wherever this runs: events that the kernel takes, or why there are none."""
    found = choose(HostPaths(), MADE_UP, asked=True, one_node_per_socket=True)
    if isinstance(found, Candidate):
        assert try_pair(found, frozenset(CPUS)) is None
    else:
        assert found
    unasked = choose(HostPaths(), MADE_UP, asked=False, one_node_per_socket=True)
    assert str(unasked).startswith(NOT_ASKED)


def test_numbers_are_those_of_the_header():
    header = Path("/usr/include/linux/perf_event.h")
    if not header.exists():
        pytest.skip("linux-libc-dev is not installed")
    words = header.read_text().split()
    assert words[words.index("PERF_COUNT_SW_CGROUP_SWITCHES") + 2] == f"{CGROUP_SWITCHES},"
