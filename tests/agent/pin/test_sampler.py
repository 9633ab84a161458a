"""The sampler at a fake pod, and at real processes of this machine with the real system call."""

import mmap
import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from support.fake_cgroups import UID, FakeKernel

from numapin_agent.cgroup import CgroupHost
from numapin_agent.pin.borrowed import File
from numapin_agent.pin.sampler import Sampler
from numapin_agent.pin.syscall import MovePages
from numapin_api.cpulist import NodeSet

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
HOME = NodeSet.parse("0")
ELSEWHERE = NodeSet.parse("7")
"""No machine that this runs on has its only memory there: all that it has is far from it."""
MODEL = File("fe:01", 12, "/data/model.bin")
BASE = 0x7F0000000000


@pytest.fixture
def kernel(tmp_path):
    return FakeKernel.make(tmp_path, "kubepods")


class Fake:
    """A pod of processes that map parts of one file, and what the kernel says of them."""

    def __init__(self, kernel, *, charged="N0=4096 N1=0"):
        self.kernel = kernel
        self.path = kernel.mkdir(f"kubepods/pod{UID}")
        self.charge(charged)
        self.errors, self.asked, self.nodes = {}, [], {}

    def charge(self, charged):
        stat = "anon N0=0 N1=0\nfile N0=0 N1=0\n"
        mapped = f"file_mapped {charged}\n" if charged else ""
        (self.path / "memory.numa_stat").write_text(stat + mapped)

    def process(self, pid, mib, node=1, *, shared=None, hugetlb=0):
        directory = self.kernel.paths.proc / str(pid)
        directory.mkdir()
        end = BASE + mib * MIB
        (directory / "maps").write_text(
            f"{BASE:x}-{end:x} r--s 00000000 fe:01 12      /data/model.bin\n"
        )
        pages = (mib if shared is None else shared) * MIB // PAGE
        (directory / "statm").write_text(f"9999 9999 {pages} 1 0 99 0\n")
        (directory / "status").write_text(f"Name:\tx\nHugetlbPages:\t{hugetlb:8} kB\nThreads:\t1\n")
        (self.path / "cgroup.procs").write_text(
            (self.path / "cgroup.procs").read_text() + f"{pid}\n"
        )
        self.nodes[pid] = node
        return self

    def query(self, pid, addresses):
        self.asked.append((pid, len(addresses)))
        if pid in self.errors:
            raise self.errors[pid]
        return array("i", [self.nodes[pid]] * len(addresses))

    def sampler(self):
        return Sampler(proc=self.kernel.paths.proc, calls=self, clock=lambda: 0.0)

    def look(self, told=()):
        pod = CgroupHost.discover(self.kernel.paths).find_pod(UID)
        return self.sampler().look(pod, HOME, told)


def sizes(told):
    return [(one.file, one.node, one.bytes // MIB) for one in told]


def test_what_one_of_its_processes_maps_elsewhere(kernel):
    fake = Fake(kernel).process(7, 64).process(8, 48)
    assert sizes(fake.look()) == [(MODEL, 1, 64)]
    assert fake.asked == [(7, 1024), (8, 1024)]


def test_nobody_is_asked_about_who_has_little_more_than_is_charged(kernel):
    fake = Fake(kernel, charged=f"N0={60 * MIB} N1=0").process(7, 64)
    assert fake.look() == ()
    assert fake.asked == []
    # What is told already is looked at down to half of the threshold.
    fake.charge(f"N0={54 * MIB} N1=0")
    assert sizes(fake.look([("/data/model.bin", 1)])) == [(MODEL, 1, 64)]


def test_at_most_four_processes_those_with_the_most(kernel):
    fake = Fake(kernel)
    for pid in range(10, 30):
        fake.process(pid, pid)
    fake.look()
    assert [pid for pid, _ in fake.asked] == [29, 28, 27, 26]


def test_on_its_own_node_there_is_nothing_to_tell(kernel):
    assert Fake(kernel).process(7, 64, node=0).look() == ()


def test_pages_that_are_not_there_count_for_nothing(kernel):
    assert Fake(kernel).process(7, 64, node=-2).look() == ()


def test_what_may_be_hugetlbfs_is_not_asked_about(kernel):
    fake = Fake(kernel).process(7, 64, hugetlb=2048)
    assert fake.look() == ()
    assert fake.asked == []


@pytest.mark.parametrize("error", [ProcessLookupError(3, "gone"), OSError(22, "ending")])
def test_a_process_that_ends_meanwhile_is_passed_over(kernel, error):
    fake = Fake(kernel).process(7, 64).process(8, 48)
    fake.errors[7] = error
    assert sizes(fake.look()) == [(MODEL, 1, 48)]


@pytest.mark.parametrize("error", [PermissionError(1, "SYS_PTRACE"), OSError(38, "no NUMA")])
def test_what_may_not_be_asked_is_unknown(kernel, error):
    fake = Fake(kernel).process(7, 64)
    fake.errors[7] = error
    assert fake.look() is None


def test_a_kernel_that_does_not_say_what_is_mapped_leaves_it_unknown(kernel):
    fake = Fake(kernel, charged=None).process(7, 64)
    assert fake.look() is None
    assert fake.asked == []


def test_without_hostpid_it_is_unknown(kernel):
    fake = Fake(kernel).process(7, 64)
    (fake.path / "cgroup.procs").write_text("0\n7\n")
    assert fake.look() is None


def test_once_stopped_it_asks_no_more(kernel):
    fake = Fake(kernel).process(7, 64).process(8, 48)
    sampler = fake.sampler()
    sampler.stop()
    sampler.look(CgroupHost.discover(kernel.paths).find_pod(UID), HOME, ())
    assert len(fake.asked) == 1


def test_files_of_a_pod(kernel):
    fake = Fake(kernel).process(7, 64).process(8, 1)
    (kernel.paths.proc / "8/maps").write_text(
        "00400000-00500000 r--p 00000000 fe:01 13 /large\n"
        "00500000-00580000 r--p 00000000 fe:01 14 /small\n"
    )
    (fake.path / "cgroup.procs").write_text("7\n8\n9\n")  # 9 has ended
    pod = CgroupHost.discover(kernel.paths).find_pod(UID)
    assert fake.sampler().files(pod) == {MODEL, File("fe:01", 13, "/large")}


def test_of_a_pod_of_many_processes_the_sixteen_largest(kernel):
    fake = Fake(kernel)
    for pid in range(10, 30):
        fake.process(pid, pid)
        (kernel.paths.proc / f"{pid}/maps").write_text(
            f"00400000-00500000 r--p 00000000 fe:01 {pid} /of-{pid}\n"
        )
    pod = CgroupHost.discover(kernel.paths).find_pod(UID)
    assert {file.inode for file in fake.sampler().files(pod)} == set(range(14, 30))


# Real processes


MAPS = """
import mmap, sys
with open(sys.argv[1], "rb") as f:
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
touched = sum(m[i] for i in range(0, int(sys.argv[2]), mmap.PAGESIZE))
print("mapped", flush=True)
sys.stdin.read()
"""


class Real:
    """A pod whose processes are real ones; only its cgroup is made of plain files."""

    def __init__(self, kernel):
        self.fake = Fake(kernel)
        self.running = []

    def start(self, path, touched):
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", MAPS, str(path), str(touched)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.running.append(process)
        assert process.stdout.readline() == b"mapped\n"
        procs = self.fake.path / "cgroup.procs"
        procs.write_text(procs.read_text() + f"{process.pid}\n")

    def pod(self):
        return CgroupHost.discover(self.fake.kernel.paths).find_pod(UID)


@pytest.fixture
def real(kernel):
    found = Real(kernel)
    yield found
    for process in found.running:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@pytest.fixture
def sampler():
    try:
        calls = MovePages()
        calls.query(0, array("Q", [0]))
    except OSError as e:
        pytest.skip(f"move_pages(2): {e}")
    return Sampler(proc=Path("/proc"), calls=calls)


@pytest.mark.parametrize("touched", [64, 40])
def test_real_processes_that_map_one_file(real, sampler, tmp_path, touched):
    """Two processes, one file: what the larger touches of it, on this machine's NUMA nodes."""
    model = tmp_path / "a model\nof two lines.bin"
    model.write_bytes(os.urandom(64 * MIB))
    real.start(model, touched * MIB)
    real.start(model, 17 * MIB)
    told = sampler.look(real.pod(), ELSEWHERE, ())
    found = [one for one in told if one.file.path.endswith("lines.bin")]
    total = sum(one.bytes for one in found)
    # The kernel maps a few pages around each touched one, and ahead.
    assert total == pytest.approx(touched * MIB, rel=0.1)
    assert found[0].file.path == str(model).replace("\n", "\\012")
    status = model.stat()
    assert found[0].file.inode == status.st_ino
    assert found[0].file in sampler.files(real.pod())


def test_a_real_process_that_maps_little_is_not_asked_about(real, tmp_path):
    class Never:
        def query(self, pid, addresses):
            raise AssertionError

    small = tmp_path / "small"
    small.write_bytes(bytes(MIB))
    real.start(small, MIB)
    assert Sampler(proc=Path("/proc"), calls=Never()).look(real.pod(), ELSEWHERE, ()) == ()


def test_own_pages_of_a_private_writable_mapping_are_no_pages_of_the_file(sampler, tmp_path):
    path = tmp_path / "copied"
    path.write_bytes(bytes(MIB))
    with (
        path.open("r+b") as f,
        mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE) as copied,
        mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as shared,
    ):
        copied[:] = b"x" * MIB
        assert shared[0] == 0
        found = sampler._sample(os.getpid())
        ours = [e.bytes for file, e in found.values() if file.path == str(path)]
        assert sum(ours) <= 2 * MIB
