"""Each signal against the kernel's own books, or against a program that makes a known number."""

import pytest
from support.scraped import scrape
from support.world import NAMESPACE, World, pod

from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

PAGES = 1000
HUGE = 4
"""Transparent ones, of 512 pages each; moved by one address each, they stay whole."""
MOVES = f"""
import ctypes, mmap, os, re, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
n, size = {PAGES}, mmap.PAGESIZE
area = mmap.mmap(-1, n * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, n * size, size):
    area[at] = 1
base = ctypes.addressof(ctypes.c_char.from_buffer(area))
addresses = (ctypes.c_void_p * n)(*range(base, base + n * size, size))
status = (ctypes.c_int * n)()
def move_pages(node):
    nodes = (ctypes.c_int * n)(*[node] * n)
    assert libc.syscall(ctypes.c_long(279), 0, ctypes.c_ulong(n), addresses, nodes, status, 2) == 0
    assert set(status) == {{node}}, set(status)
def mbind(node):
    mask = ctypes.c_ulong(1 << node)
    done = libc.syscall(
        ctypes.c_long(237), ctypes.c_void_p(base), ctypes.c_ulong(n * size), 2, ctypes.byref(mask),
        ctypes.c_ulong(64), 2 | 1)
    assert done == 0, ctypes.get_errno()
move_pages(0)
huge, whole = 512 * size, {HUGE}
room = mmap.mmap(-1, (whole + 1) * huge, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
room.madvise(mmap.MADV_HUGEPAGE)
first = ctypes.addressof(ctypes.c_char.from_buffer(room))
start = -(-first // huge) * huge
room[start - first : start - first + whole * huge] = bytes([1]) * (whole * huge)
# MADV_COLLAPSE, Linux 6.1
done = libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(whole * huge), 25)
assert done == 0, ctypes.get_errno()
def move_huge(node):
    heads = (ctypes.c_void_p * whole)(*range(start, start + whole * huge, huge))
    nodes, found = (ctypes.c_int * whole)(*[node] * whole), (ctypes.c_int * whole)()
    made = libc.syscall(ctypes.c_long(279), 0, ctypes.c_ulong(whole), heads, nodes, found, 2)
    assert made == 0 and set(found) == {{node}}, (made, set(found))
    with open("/proc/self/smaps") as file:
        text = file.read()
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.MULTILINE)
    mapped = next(x for x in parts[1:] if int(x.split("-")[0], 16) <= start
                  < int(x.split()[0].split("-")[1], 16))
    assert re.search(f"AnonHugePages: +{{whole * huge >> 10}} kB", mapped), mapped
move_huge(0)
# From here on in the pod's name: what a process calls counts for the cgroup that it is in.
with open(sys.argv[1] + "/cgroup.procs", "w") as file:
    file.write("0")
move_pages(1)
move_pages(0)
mbind(1)
move_huge(1)
# migrate_pages(2) takes all that a process has on a node: of one that is stopped that is known.
code = f"import os, signal; area = bytes([1]) * {{n * size}}; os.kill(os.getpid(), signal.SIGSTOP)"
child = subprocess.Popen([sys.executable, "-c", code])
os.waitpid(child.pid, os.WUNTRACED)
def there(node):
    with open(f"/proc/{{child.pid}}/numa_maps") as file:
        return sum(map(int, re.findall(f" N{{node}}=([0-9]+)", file.read())))
def migrate_pages(old, new):
    before = there(old)
    masks = [ctypes.byref(ctypes.c_ulong(1 << node)) for node in (old, new)]
    left = libc.syscall(ctypes.c_long(256), child.pid, ctypes.c_ulong(64), *masks)
    assert left >= 0, ctypes.get_errno()
    return before - there(old)
gone = migrate_pages(1, 0)
back = migrate_pages(0, 1)
child.kill()
assert back >= n, (gone, back)
print(gone + back)
"""
"""move_pages(2) of all pages there and back, mbind(2) with MPOL_MF_MOVE and STRICT, move_pages(2)
of huge pages, and then migrate_pages(2) of another process; it prints what that one had moved."""


def test_pages_that_a_program_moves_are_counted_exactly(world: World):
    name = ("numapin_pod_syscall_moved_pages_total", NAMESPACE, "calls")
    world.cluster.create(pod("calls", pinned=False))
    try:
        world.cluster.await_ready(NAMESPACE, "calls", seconds=300)
        eventually(lambda: name in scrape(world), seconds=120, what="the pod is counted")
        before = scrape(world)[name]
        scopes = world.ssh("numa-0", f"find {world.cgroup('calls')} -name '*.scope'").split()
        assert scopes
        printed = world.ssh("numa-0", f"python3 - {scopes[0]} <<'END'\n{MOVES}\nEND")
        made = 3 * PAGES + 512 * HUGE + int(printed)
        # A container's cgroup that is newer than the agent's last look is found at the next.
        eventually(
            lambda: scrape(world)[name] - before == made,
            seconds=120,
            what=f"{made} pages are counted, and not one more",
        )
    finally:
        world.cluster.delete(NAMESPACE, ["calls"])


def test_pairs_add_up_to_what_their_pod_was_counted(world: World):
    """Of two nodes each is the other's source, so none is unknown."""
    found = scrape(world)
    prefix = "numapin_pod_node_pair_migrated_pages_total"
    pairs = {key: value for key, value in found.items() if key[0] == prefix}
    assert all(one != other and "unknown" not in (one, other) for _, one, _, _, other in pairs)
    sums: dict[tuple[str, str], float] = {}
    for (_, _, namespace, name, _), pages in pairs.items():
        sums[namespace, name] = sums.get((namespace, name), 0) + pages
    for of_pod, pages in sums.items():
        whole = found["numapin_pod_numa_migrated_pages_total", *of_pod]
        # Both were read for the same scrape, one shortly after the other.
        assert whole <= pages <= whole + max(1000, whole * 0.02)
    assert found["numapin_agent_tracer_lost_pairs_total",] == 0


def test_faults_and_stalls_are_those_of_the_pods_own_files(world: World):
    world.await_phase("burstable", "Pinned")
    cgroup = world.cgroup("burstable")
    script = f"grep '^pgfault ' {cgroup}/memory.stat; grep '^some ' {cgroup}/memory.pressure"

    def kernels() -> tuple[int, float]:
        faults, stalls = world.ssh("numa-0", script).splitlines()
        return int(faults.split()[1]), int(stalls.rpartition("total=")[2]) / 1e6

    before, found, after = kernels(), scrape(world), kernels()
    faults = found["numapin_pod_page_faults_total", NAMESPACE, "burstable"]
    stalled = found["numapin_pod_memory_stall_seconds_total", NAMESPACE, "burstable", "some"]
    assert before[0] <= faults <= after[0]
    assert before[1] <= stalled + 1e-6
    assert stalled <= after[1] + 1e-6
    # Nobody pays for files of pods that have no pin.
    assert ("numapin_pod_page_faults_total", NAMESPACE, "late") not in found


def test_a_kernel_that_scans_pinned_pods_is_not_degraded_for_it(world: World):
    status = world.numa_node("numa-0").status
    skips = next(s for s in status.capabilities.signals if s.name == "scannerSkips")
    there = world.ssh(
        "numa-0", "grep -c sched_skip_cpuset_numa /proc/kallsyms || true"
    ).strip() not in {"", "0"}
    assert (skips.level != "none") is there, skips
    degraded = next(c for c in status.conditions if c.type == "Degraded")
    assert "scannerSkips" not in degraded.message
