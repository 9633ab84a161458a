"""Each probe beside bpftrace at the same moment: counts between its bounds, histograms alike."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.bpf import no_bcc
from support.bpftrace import Witness, why_not, witness
from support.buckets import check_quantile

from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.trace.histogram import Histogram
from numapin_agent.trace.question import Question, Scope
from numapin_agent.trace.result import Result
from numapin_agent.trace.run import run

_ABSENT = no_bcc() or why_not()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(_ABSENT is not None, reason=_ABSENT or ""),
    pytest.mark.timeout(300),
]

SECONDS = 3.0
WORK = """
import mmap, os, socket, time
a, b = (socket.socket(type=socket.SOCK_DGRAM) for _ in "ab")
b.bind(("127.0.0.1", 0))
file = os.open("/proc/self/stat", os.O_RDONLY)
disk = os.open("written", os.O_RDWR | os.O_CREAT)
while True:
    for _ in range(20):
        a.sendto(b"x", b.getsockname()); b.recv(10)
        os.pread(file, 100, 0)
    with mmap.mmap(-1, 64 * mmap.PAGESIZE) as pages:
        for at in range(0, len(pages), mmap.PAGESIZE):
            pages[at] = 1
    os.pwrite(disk, os.urandom(4096), 0)
    os.fsync(disk)
    time.sleep(0.005)
"""


class Seen:
    """A probe's answer, and when it surely ran and surely did not."""

    def __init__(self, probe: str, store: Path, other: Witness) -> None:
        stop, ticks = threading.Event(), list[int]()
        self.before = time.monotonic_ns()

        def tick(_: float) -> None:
            ticks.append(time.monotonic_ns())

        self.result: Result = run(
            Question(probe),
            Scope(),
            seconds=SECONDS,
            options=LoadOptions(store=store),
            stop=stop,
            progress=tick,
        )
        self.after = time.monotonic_ns()
        self.begun, self.ending = ticks[0], ticks[-1]
        other.await_total()


@pytest.fixture
def work(tmp_path):
    with subprocess.Popen([sys.executable, "-S", "-c", WORK], cwd=tmp_path) as child:
        yield
        child.kill()


def witnessed(probe: str, store: Path) -> tuple[Seen, Witness]:
    with witness(probe) as other:
        Seen(probe, store, other)  # compiles, so that the next one loads in no time
        return Seen(probe, store, other), other


def histogram_of(result: Result, **labels: str) -> Histogram:
    rows = [r.histogram for r in result.rows if labels.items() <= r.labels.items()]
    return sum(rows, start=Histogram())


def check(seen: Seen, other: Witness, key: str, count: int) -> None:
    least = other.between(seen.begun, seen.ending, key, within=True)
    most = other.between(seen.before, seen.after, key, within=False)
    assert least <= count <= most
    assert least > 0


@pytest.mark.parametrize(
    ("probe", "key", "labels"),
    [
        ("softirqs", "1", {"vector": "TIMER"}),
        ("softirqs", "3", {"vector": "NET_RX"}),
        ("softirqs", "9", {"vector": "RCU"}),
        ("timers", "hrtimer_wakeup", {"function": "hrtimer_wakeup"}),
        ("syscalls", "17", {"syscall": "pread64"}),
        ("syscalls", "45", {"syscall": "recvfrom"}),
    ],
)
@pytest.mark.usefixtures("work")
def test_counts_lie_between_and_medians_agree(probe, key, labels, tmp_path):
    seen, other = witnessed(probe, tmp_path)
    ours = histogram_of(seen.result, **labels)
    check(seen, other, key, ours.count)
    check_quantile(other.took[key], ours, 0.5)
    assert seen.result.lost == 0


@pytest.mark.usefixtures("work")
def test_waits_for_a_cpu(tmp_path):
    seen, other = witnessed("run-queue", tmp_path)
    ours = histogram_of(seen.result)
    check(seen, other, "0", ours.count)
    check_quantile(other.took["0"], ours, 0.5)
    assert seen.result.lost == 0


@pytest.mark.usefixtures("work")
def test_times_off_cpu_are_counted(tmp_path):
    """Counts only: bpftrace's histogram is of its whole life, ours of three seconds, and which of
    short and long sleeps are more depends on the moment."""
    seen, other = witnessed("off-cpu", tmp_path)
    check(seen, other, "0", histogram_of(seen.result).count)
    assert seen.result.lost == 0


@pytest.mark.usefixtures("work")
def test_interrupts_of_each_device(tmp_path):
    seen, other = witnessed("hardirqs", tmp_path)
    busiest = max(other.took, key=lambda key: sum(other.took[key].values()))
    of_device = [
        r.histogram for r in seen.result.rows if r.labels["interrupt"].split(" ")[0] == busiest
    ]
    ours = sum(of_device, start=Histogram())
    check(seen, other, busiest, ours.count)
    check_quantile(other.took[busiest], ours, 0.5)


@pytest.mark.usefixtures("work")
def test_page_faults(tmp_path):
    seen, other = witnessed("page-faults", tmp_path)
    if all(program.name != "fault_event" for program in seen.result.cost.programs):
        pytest.skip("the software event page-faults can't be opened here")
    check(seen, other, "0", sum(stack.weight for stack in seen.result.stacks))
