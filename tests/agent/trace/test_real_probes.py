"""Probes on this machine's kernel, against what the kernel or the programs count themselves.

Each count lies between what was counted within the trace and around it: no tolerance is needed.
What this kernel can't answer must be refused with a reason.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from support.bpf import no_bcc
from support.tenants import NODE, Program, asked, of, traced
from support.wait import until

from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.bpf.maps import per_cpu_sum
from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace.launch import hold, task_of
from numapin_agent.trace.question import Question
from numapin_agent.trace.result import Result
from numapin_agent.trace.run import TRACE_OPTIONS
from numapin_agent.trace.words import WAITED

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(300),
]


def moved() -> int:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("pgmigrate_success "))


def count(result: Result, **labels: str) -> int:
    rows = [r for r in result.rows if labels.items() <= r.labels.items()]
    return sum(r.histogram.count for r in rows)


def softirqs(vector: str) -> int:
    lines = Path("/proc/softirqs").read_text().splitlines()
    return next(sum(map(int, x.split()[1:])) for x in lines if x.strip().startswith(f"{vector}:"))


def interrupts(kind: str) -> int:
    line = next(
        x for x in Path("/proc/interrupts").read_text().splitlines() if x.strip().startswith(kind)
    )
    return sum(int(x) for x in line.split()[1:] if x.isdigit())


@pytest.mark.parametrize("vector", ["TIMER", "NET_RX"])
def test_softirqs_are_as_many_as_the_kernel_counts(tenants, vector):
    sender = Program.python(tenants[0], _PACKETS)
    inner = []

    def during() -> None:
        before = softirqs(vector)
        sender.work()
        inner.append(softirqs(vector) - before)

    before = softirqs(vector)
    result = asked("softirqs", during)
    outer = softirqs(vector) - before
    sender.end()
    assert inner[0] <= count(result, vector=vector) <= outer
    assert result.cost.programs[0].runs > 0
    assert result.cost.programs[0].instructions > 10


def test_nothing_counts_before_all_programs_are_attached():
    task = task_of(
        Question("softirqs"), NODE, paths=HostPaths(), store=None, map_bytes=1 << 20, macros={}
    )
    held = hold(task, TRACE_OPTIONS, lambda: False)

    def runs() -> list[int]:
        places = (program.place for program in held.attached)
        return [per_cpu_sum(held.maps["ran"], place, cpus=task.cpus) for place in places]

    try:
        before = softirqs("TIMER")
        until(lambda: softirqs("TIMER") > before + 10, what="softirqs")
        assert runs() == [0, 0]
        held.open()
        until(lambda: all(runs()), what="programs to count")
    finally:
        held.close()


_PACKETS = """
a, b = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
b.bind(("127.0.0.1", 0))
for _ in range(1000):
    a.sendto(b"x", b.getsockname())
    b.recv(10)
answer = os.getppid()
"""


@pytest.mark.parametrize(("probe", "which"), [("softirqs", {"vector": "NET_RX"}), ("hardirqs", {})])
def test_waiting_threads_lose_what_is_taken_on_their_cpu(tenants, tmp_path, probe, which):
    """Two threads wait for a CPU that the other tenant keeps: each loses all that is taken there.

    But for the moments in which one of them runs, and the wait that the end of the trace cuts off.
    """
    cpu = min(os.sched_getaffinity(0))
    stay = f"os.sched_setaffinity(0, {{{cpu}}})\n"
    end = tmp_path / "end"
    spin = f"os.nice(19)\nwhile not os.path.exists({str(end)!r}): pass"
    spinners = [Program.python(tenants[0], stay + spin) for _ in range(2)]
    sender = Program.python(tenants[1], stay + _PACKETS.replace("1000", "30000"))
    found: list[Result] = []

    def scoped() -> None:
        found.append(asked(probe, lambda: found.append(asked(probe, sender.work)), of(tenants[0])))

    begun = [threading.Thread(target=one.work) for one in spinners]
    for one in begun:
        one.start()
    outer = asked(probe, scoped)
    end.touch()
    for one in begun:
        one.join()
    for one in (*spinners, sender):
        one.end()

    def nanoseconds(result: Result, **labels: str) -> int:
        wanted = {**which, "cpu": str(cpu), **labels}
        return sum(r.histogram.total for r in result.rows if wanted.items() <= r.labels.items())

    inner, middle = found
    lost = nanoseconds(middle, threads=WAITED)
    assert nanoseconds(inner) < lost
    # Both clocks are read by programs of their own.
    assert lost < 2 * 1.05 * nanoseconds(outer)


def test_interrupts_are_as_many_as_the_kernel_counts():
    inner = []

    def during() -> None:
        before = interrupts("LOC:")
        until(lambda: interrupts("LOC:") > before + 200, what="200 ticks")
        inner.append(interrupts("LOC:") - before)

    before = interrupts("LOC:")
    result = asked("hardirqs", during)
    if not any("vector_0" in p.name for p in result.cost.programs):
        pytest.skip(f"this machine has no such vectors: {result.untold}")
    assert inner[0] <= count(result, interrupt="local timer") <= interrupts("LOC:") - before


def test_timers_are_named_by_their_kernel_function(tenants):
    sleeper = Program.python(tenants[0], "for _ in range(200): time.sleep(0.001)")
    result = asked("timers", sleeper.work)
    sleeper.end()
    assert count(result, function="hrtimer_wakeup", timer="hrtimer") >= 200
    assert count(result, timer="timer") > 0


def test_system_calls_of_one_tenant_are_exact_and_nobody_elses(tenants, tmp_path):
    ours = Program.python(tenants[0], "for _ in range(5000): os.getppid()\nos.stat('/proc')")
    secret = tmp_path / "secret-of-the-other"
    theirs = Program.python(
        tenants[1], f"for _ in range(5000): os.getpgid(0)\nopen({str(secret)!r}, 'w').close()"
    )

    def during() -> None:
        theirs.work()
        ours.work()

    result = asked("syscalls", during, of(tenants[0]), threshold=1)
    ours.end()
    theirs.end()
    assert count(result, syscall="getppid") == 5000
    assert count(result, syscall="getpgid") == 0
    assert "secret-of-the-other" not in json.dumps(result.wire())
    assert any(m.labels.get("on") == "/proc" for m in result.moments) or result.lost
    assert not re.search(r"ffffffff[0-9a-f]{8}", json.dumps(result.wire()))


def test_a_call_that_does_not_return_is_told_of(tenants):
    ours = Program.python(
        tenants[0],
        "a, b = os.pipe()\n"
        "if os.fork() == 0: os.close(b); os.read(a, 1); os._exit(0)\n"
        "time.sleep(0.3)",
    )
    result = asked("syscalls", ours.work, of(tenants[0]))
    ours.end()
    assert any("not returned at the end" in note and "read (1, " in note for note in result.notes)


def test_the_node_sees_what_a_slow_call_was_about(tenants, tmp_path):
    file = tmp_path / "synced"
    program = Program.python(
        tenants[0],
        f"f = open({str(file)!r}, 'wb')\nf.write(bytes(1 << 22)); f.flush(); os.fsync(f.fileno())",
    )
    result = asked("syscalls", program.work, of(tenants[0]), threshold=1000)
    program.end()
    seen = {(m.labels["syscall"], m.labels.get("on")) for m in result.moments}
    assert ("fsync", str(file)) in seen


def test_delay_in_the_run_queue_is_what_the_scheduler_counts(tenants):
    cpu = min(os.sched_getaffinity(0))
    work = f"""
os.sched_setaffinity(0, {{{cpu}}})
def delay(): return int(open("/proc/self/schedstat").read().split()[1])
before = delay()
for _ in range(40):
    t = time.process_time()
    while time.process_time() - t < 0.005: pass
    time.sleep(0)
answer = delay() - before
"""
    ours = Program.python(tenants[0], work)
    told = []
    other = subprocess.Popen(
        [
            sys.executable,
            "-S",
            "-c",
            f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile 1: pass",
        ]
    )
    try:
        result = asked("run-queue", lambda: told.append(ours.work()), of(tenants[0]))
    finally:
        other.kill()
        other.wait()
    ours.end()
    assert result.total().total == pytest.approx(told[0], rel=0.05, abs=2e6)


def test_time_off_the_cpu_is_at_least_what_was_slept(tenants):
    """Who is preempted on the way to sleep waits for a CPU meanwhile: that is no sleep.

    Nor is it one when the hypervisor takes the CPU away until the timer has run out.
    """
    work = """
def delay():
    stolen = int(open("/proc/stat").readline().split()[8]) * 10**9 // os.sysconf("SC_CLK_TCK")
    return int(open("/proc/self/schedstat").read().split()[1]) + stolen
before = delay()
for _ in range(10): time.sleep(0.02)
answer = delay() - before
"""
    ours = Program.python(tenants[0], work)
    theirs = Program.python(tenants[1], "time.sleep(0.1)")
    told = []
    result = asked("off-cpu", lambda: (theirs.work(), told.append(ours.work())), of(tenants[0]))
    ours.end()
    theirs.end()
    assert result.total().total >= 200_000_000 - told[0]
    slept = sum(s.weight for s in result.stacks if any("nanosleep" in f for f in s.frames))
    assert slept >= 200_000_000 - told[0]


_MESSAGES = """
server = socket.create_server(("127.0.0.1", 0))
a = socket.create_connection(server.getsockname())
b, _ = server.accept()
for _ in range(500):
    a.sendall(b"x"); b.recv(10)
    b.sendall(b"y"); a.recv(10)
"""


def test_messages_are_followed_to_the_reader(tenants):
    ours, theirs = (Program.python(one, _MESSAGES) for one in tenants)
    result = asked("net-rx", lambda: (theirs.work(), ours.work()), of(tenants[0]))
    ours.end()
    theirs.end()
    # one that comes while the one before lies in the queue may be joined to it
    assert 950 <= (whole := count(result, stage="stack → read by the process")) <= 1000
    transport = [r for r in result.rows if r.labels["stage"] in {"stack → TCP", "IP → TCP"}]
    assert sum(r.histogram.count for r in transport) == count(
        result, stage="TCP → read by the process"
    )
    if not any("the stage to TCP" in one for one in result.untold):
        assert sum(r.histogram.count for r in transport) == whole


def test_memory_wait_counts_faults_and_says_what_it_lacks():
    result = asked("memory-wait", lambda: None)
    names = {f.name for f in result.figures}
    assert {"page faults", "CPU time", "NUMA migrations"} <= names
    assert "cycles" in names or any(n.startswith("cycles: not counted") for n in result.untold)


def test_pages_that_move_are_timed():
    """With compaction in the place of NUMA balancing, which needs two NUMA nodes."""
    compact = Path("/proc/sys/vm/compact_memory")
    if not os.access(compact, os.W_OK):
        pytest.skip("this kernel can't be told to compact memory")
    inner = []

    def during() -> None:
        before = moved()
        compact.write_text("1")
        inner.append(moved() - before)

    before = moved()
    result = traced(Question("numa-moves"), NODE, during, macros={"REASON_NUMA": 0})
    outer = moved() - before
    if not result.rows:
        pytest.skip("compaction moved nothing")
    rate = next(f.value for f in result.figures if f.name == "pages moved")
    # seconds are rounded to a thousandth
    assert 0.98 * inner[0] <= rate * result.seconds <= 1.02 * outer
    assert result.total().total > 0
    assert any("compact" in f for s in result.stacks for f in s.frames)


def test_a_call_that_waited_for_a_cpu_is_blamed_on_that(tenants):
    cpu = min(os.sched_getaffinity(0))
    ours = Program.python(
        tenants[0],
        f"""
os.sched_setaffinity(0, {{{cpu}}})
zero = os.open("/dev/zero", os.O_RDONLY)
room = bytearray(128 << 20)
for _ in range(5): os.readv(zero, [room])
""",
    )
    spin = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile 1: pass"
    hogs = [subprocess.Popen([sys.executable, "-S", "-c", spin]) for _ in range(4)]
    try:
        result = asked("spike", ours.work, of(tenants[0]))
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    ours.end()
    reads = [m for m in result.moments if m.labels["syscall"] == "readv"]
    blamed = Counter()
    for read in reads:
        blamed[read.culprit] += read.nanoseconds
    # not each of them: on a busy machine one may get the CPU for most of its time
    assert blamed.most_common(1)[0][0] == "waited for a CPU that was running other threads"


def test_calls_have_names_when_their_programs_were_kept(tenants, tmp_path):
    """The Python that comes first has no bcc: it could load what was kept, but knows no names."""
    options = LoadOptions(store=tmp_path)
    ours = Program.python(tenants[0], "os.getppid()")
    result = traced(Question("syscalls"), of(tenants[0]), ours.work, options=options)
    again = Program.python(tenants[0], "os.getppid()")
    kept = traced(Question("syscalls"), of(tenants[0]), again.work, options=options)
    for program in (ours, again):
        program.end()
    assert list(tmp_path.iterdir())
    for one in (result, kept):
        assert count(one, syscall="getppid") == 1
