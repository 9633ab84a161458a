"""Moving pages: against a fake process whose pages obey, and with the real system call here."""

import ctypes
import errno
import mmap
import os
import threading
from array import array
from pathlib import Path

import pytest
from support.fake_cgroups import UID, FakeKernel

from numapin_agent.cgroup import CgroupHost
from numapin_agent.pin.mover import Job, PageMover
from numapin_agent.pin.syscall import MOVE, MOVE_ALL, UNTOUCHED, MovePages, MoveResult, pages
from numapin_api.cpulist import NodeSet
from numapin_api.errors import MoveError

PAGE = os.sysconf("SC_PAGE_SIZE")
HUGE = PAGE * PAGE // 8
ONE = NodeSet.parse("1")
BASE = 0x7F0000000000


class FakeProcess:
    """A process whose pages lie where a dict says, and the files that tell of it.

    Args:
        nodes: page number → NUMA node.
        huge: numbers of huge-page-sized stretches that are one transparent huge page.
        stuck: numbers of pages that don't move.
    """

    def __init__(self, kernel, path, pid, nodes, *, huge=(), stuck=()):
        self.kernel, self.path, self.pid = kernel, path, pid
        self.nodes, self.huge, self.stuck = dict(nodes), set(huge), set(stuck)
        self.calls, self.refuse = [], {}
        (path / "cgroup.procs").write_text(f"{pid}\n")
        (kernel.paths.proc / str(pid)).mkdir()
        self.tell()

    def tell(self):
        count = {n: sum(1 for node in self.nodes.values() if node == n) for n in (0, 1)}
        directory = self.kernel.paths.proc / str(self.pid)
        end = BASE + (max(self.nodes, default=0) + 1) * PAGE
        (directory / "maps").write_text(f"{BASE:x}-{end:x} rw-p 00000000 00:00 0\n")
        fields = " ".join(f"N{n}={c}" for n, c in count.items() if c)
        (directory / "numa_maps").write_text(
            f"{BASE:x} default anon=1 {fields} kernelpagesize_kB={PAGE // 1024}\n"
        )
        entries = array("Q", [0]) * (max(self.nodes, default=0) + 1)
        for n in self.nodes:
            entries[n] = 1 << 63
        with (directory / "pagemap").open("wb") as f:
            f.seek(BASE // PAGE * 8)
            f.write(entries.tobytes())
        self.kernel.memory(self.path, **{f"N{n}": c * PAGE for n, c in count.items()})

    def query(self, pid, addresses):
        assert pid == self.pid
        return array("i", [self.nodes.get((a - BASE) // PAGE, -2) for a in addresses])

    def move(self, pid, addresses, node, *, flags):
        self.calls.append((len(addresses), flags))
        if flags in self.refuse:
            raise OSError(self.refuse[flags], os.strerror(self.refuse[flags]), "move_pages")
        status = array("i", [UNTOUCHED]) * len(addresses)
        for i, address in enumerate(addresses):
            n = (address - BASE) // PAGE
            if n in self.stuck:
                self.tell()
                return MoveResult(status, len(addresses) - i)
            stretch = n * PAGE // HUGE
            whole = range(stretch * HUGE // PAGE, (stretch + 1) * HUGE // PAGE)
            for k in whole if stretch in self.huge else (n,):
                self.nodes[k] = node
            status[i] = node
        self.tell()
        return MoveResult(status, 0)


@pytest.fixture
def kernel(tmp_path):
    return FakeKernel.make(tmp_path, "kubepods")


@pytest.fixture
def pod_path(kernel):
    return kernel.mkdir(f"kubepods/pod{UID}")


def job_of(kernel):
    pod = CgroupHost.discover(kernel.paths).find_pod(UID)
    return Job(pod=pod, mems=ONE)


def mover_for(kernel, calls, clock=lambda: 0.0):
    return PageMover(
        proc=kernel.paths.proc, calls=calls, available=lambda: {0: 1 << 30, 1: 1 << 30}, clock=clock
    )


PAGES_OF_HUGE = HUGE // PAGE
SPREAD = {n: n % 2 for n in range(3 * PAGES_OF_HUGE)}
BIG = dict.fromkeys(range(12 * PAGES_OF_HUGE), 0)


def test_single_pages_move_and_near_ones_are_left_alone(kernel, pod_path):
    process = FakeProcess(kernel, pod_path, 7, SPREAD | {5 * PAGES_OF_HUGE + 3: 0})
    job = job_of(kernel)
    mover_for(kernel, process).run(job)
    assert set(process.nodes.values()) == {1}
    assert job.moved_pages == 3 * PAGES_OF_HUGE // 2 + 1
    assert job.bytes_left == 0
    assert job.bytes_total == job.moved_pages * PAGE


def test_a_huge_page_takes_one_address_and_a_stretch_of_small_ones_takes_all(kernel, pod_path):
    process = FakeProcess(kernel, pod_path, 7, BIG, huge={0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11})
    job = job_of(kernel)
    mover_for(kernel, process).run(job)
    assert set(process.nodes.values()) == {1}
    assert job.moved_pages == len(BIG)
    assert sum(count for count, _ in process.calls) == 12 + PAGES_OF_HUGE - 1


def test_pages_that_do_not_move_do_not_stop_the_others_and_it_ends(kernel, pod_path):
    stuck = {3, 100, PAGES_OF_HUGE + 5, 5 * PAGES_OF_HUGE}
    process = FakeProcess(kernel, pod_path, 7, BIG, stuck=stuck)
    job = job_of(kernel)
    mover_for(kernel, process).run(job)
    left = [n for n, node in process.nodes.items() if node == 0]
    assert stuck <= set(left)
    assert len(left) <= len(stuck) * 32
    assert job.bytes_left == len(left) * PAGE


class Greedy(FakeProcess):
    """Touches new pages on the far node while it is moved: so many for each that moves."""

    def __init__(self, *args, ratio: float, **more):
        self.ratio = ratio
        super().__init__(*args, **more)

    def move(self, pid, addresses, node, *, flags):
        before = sum(1 for n in self.nodes.values() if n != node)
        result = super().move(pid, addresses, node, flags=flags)
        moved = before - sum(1 for n in self.nodes.values() if n != node)
        behind = max(self.nodes) + 1
        self.nodes |= dict.fromkeys(range(behind, behind + int(moved * self.ratio)), 1 - node)
        self.tell()
        return result


def test_a_pod_that_allocates_as_fast_as_it_is_moved_is_given_up_soon(kernel, pod_path):
    process = Greedy(kernel, pod_path, 7, BIG, ratio=1.0)
    job = job_of(kernel)
    mover_for(kernel, process).run(job)
    assert job.bytes_left == len(BIG) * PAGE
    assert job.moved_pages <= 4 * len(BIG)


def test_a_pod_that_allocates_slower_than_it_is_moved_converges(kernel, pod_path):
    process = Greedy(kernel, pod_path, 7, BIG, ratio=0.25)
    job = job_of(kernel)
    mover_for(kernel, process).run(job)
    assert job.bytes_left <= 4 << 20
    assert job.bytes_left == sum(1 for n in process.nodes.values() if n == 0) * PAGE


def test_a_move_that_is_taken_up_half_way_moves_only_what_is_left(kernel, pod_path):
    """A killed agent leaves nothing behind but pages on either node."""
    process = FakeProcess(kernel, pod_path, 7, BIG)
    killed = job_of(kernel)

    def clock():
        if len(process.calls) == 2:
            killed.cancelled.set()
        return 0.0

    mover_for(kernel, process, clock).run(killed)
    assert 0 < killed.moved_pages < len(BIG)
    job = job_of(kernel)
    mover_for(kernel, process).run(job)
    assert job.moved_pages == len(BIG) - killed.moved_pages
    assert set(process.nodes.values()) == {1}


def test_without_sys_nice_private_pages_move_all_the_same(kernel, pod_path):
    process = FakeProcess(kernel, pod_path, 7, SPREAD)
    process.refuse = {MOVE_ALL: errno.EPERM}
    mover_for(kernel, process).run(job_of(kernel))
    assert set(process.nodes.values()) == {1}
    assert [flags for _, flags in process.calls][:2] == [MOVE_ALL, MOVE]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ENODEV])
def test_a_process_that_must_not_be_touched_is_an_error(kernel, pod_path, code):
    process = FakeProcess(kernel, pod_path, 7, BIG)
    process.refuse = {MOVE_ALL: code, MOVE: code}
    with pytest.raises(MoveError, match="process 7"):
        mover_for(kernel, process).run(job_of(kernel))


@pytest.mark.parametrize("code", [errno.ESRCH, errno.EINVAL])
def test_a_process_that_ends_is_none(kernel, pod_path, code):
    process = FakeProcess(kernel, pod_path, 7, BIG)
    process.refuse = {MOVE_ALL: code}
    (pod_path / "cgroup.procs").write_text("7\n8\n")
    job = job_of(kernel)
    mover_for(kernel, process).run(job)
    assert job.moved_pages == 0


def test_another_pid_namespace_is_an_error(kernel, pod_path):
    process = FakeProcess(kernel, pod_path, 7, BIG)
    (pod_path / "cgroup.procs").write_text("0\n7\n")
    with pytest.raises(MoveError, match="hostPID"):
        mover_for(kernel, process).run(job_of(kernel))


def test_a_cancel_stops_between_two_batches(kernel, pod_path):
    process = FakeProcess(kernel, pod_path, 7, BIG)
    job = job_of(kernel)
    ticks = iter(range(10**6))

    def clock():
        # the third batch is under way when the stop comes
        if len(process.calls) == 3:
            job.cancelled.set()
        return float(next(ticks)) * 1e-6

    mover_for(kernel, process, clock).run(job)
    assert len(process.calls) == 3
    assert 0 in process.nodes.values()


def test_a_cancel_ends_a_rest_at_once(kernel, pod_path):
    process = FakeProcess(kernel, pod_path, 7, BIG)
    job = job_of(kernel)
    times = iter([0.0])
    mover = mover_for(kernel, process, lambda: next(times, 1000.0))  # rests for 1000 s
    thread = threading.Thread(target=mover.run, args=(job,))
    thread.start()
    job.cancelled.set()
    thread.join(10)
    assert not thread.is_alive()


class Kernel:
    """The system call of a process that asks of itself."""

    def __init__(self, refuses=0):
        self.refuses = refuses

    def query(self, pid, addresses):
        assert (pid, list(addresses)) == (0, [])
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses), "move_pages")
        return array("i")


@pytest.mark.parametrize(
    ("caps", "refuses", "words"),
    [
        ("000001ffffffffff", 0, None),
        ("0000000000080000", 0, None),
        ("0000000000800000", 0, "SYS_PTRACE"),
        ("0000000000080000", errno.EPERM, "seccomp"),
    ],
)
def test_capability(kernel, caps, refuses, words):
    (kernel.paths.proc / "self").mkdir()
    (kernel.paths.proc / "self" / "status").write_text(f"Name:\tx\nCapEff:\t{caps}\n")
    reason = mover_for(kernel, Kernel(refuses)).immovable()
    assert (reason is None) if words is None else (words in (reason or ""))


def test_no_proc_at_all(kernel):
    assert "hostPID" in (mover_for(kernel, None).immovable() or "")


# The real system call, on whatever machine this is.


@pytest.fixture
def memory():
    region = mmap.mmap(-1, 16 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    region[: 8 * PAGE] = b"\1" * (8 * PAGE)
    anchor = ctypes.c_char.from_buffer(region)
    yield ctypes.addressof(anchor)
    del anchor
    region.close()


def online_nodes():
    path = Path("/sys/devices/system/node/online")
    return NodeSet.parse(path.read_text()) if path.exists() else NodeSet([0])


def real():
    calls = MovePages()
    try:
        calls.query(os.getpid(), pages([0]))
    except OSError as e:
        pytest.skip(f"move_pages(2) does not work here: {e}")
    return calls


def test_the_kernel_tells_where_pages_are(memory):
    status = real().query(os.getpid(), pages(range(memory, memory + 16 * PAGE, PAGE)))
    assert all(s in online_nodes() for s in status[:8])
    assert all(s < 0 for s in status[8:])


def test_the_kernel_moves_pages_to_the_node_they_are_on(memory):
    calls = real()
    addresses = pages(range(memory, memory + 8 * PAGE, PAGE))
    for node in online_nodes():
        result = calls.move(os.getpid(), addresses, node, flags=MOVE)
        assert result.failed == 0
        assert set(calls.query(os.getpid(), addresses)) == {node}


def test_the_kernel_refuses_what_is_not_there():
    calls = real()
    with pytest.raises(ProcessLookupError):
        calls.query(2**22 + 1, pages([0]))
    with pytest.raises(OSError, match="move_pages"):
        calls.move(os.getpid(), pages([0]), 1023, flags=MOVE)
