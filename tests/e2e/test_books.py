"""What is counted of a pod against the kernel's own books of it, over the same window: within 2 %.

memory.stat counts by the cgroup that a page is charged to, the agent by that of the thread that
runs; so one program makes all of it, whose memory is its pod's from its first page on. It is
stopped while both are read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.verdicts import made
from support.world import NAMESPACE, World, get, pod

from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(900, func_only=True),
]

NODE = "numa-1"
NAME = "books"
FAULTS = 20_000
"""Enough for a per cent to be many events."""
WITHIN = 0.02
WORKLOAD = """
import itertools, mmap, os, time
size = 64 << 20
area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_NOHUGEPAGE)
cpus = sorted(os.sched_getaffinity(0))
# One CPU of each socket in turn: every change is one between sockets, and finds its memory far.
for cpu in itertools.cycle((cpus[0], cpus[-1])):
    os.sched_setaffinity(0, {cpu})
    end = time.monotonic() + 0.25
    while time.monotonic() < end:
        for at in range(0, size, mmap.PAGESIZE):
            area[at] = 1
"""

Figures = Mapping[str, float]


@contextmanager
def workload(world: World, scope: str) -> Iterator[int]:
    """The program, begun within a container's cgroup; its PID."""
    file = "/run/numapin-e2e-books.py"
    world.ssh(NODE, f"cat > {file} <<'END'\n{WORKLOAD}\nEND")
    inside = f"echo $$ > {scope}/cgroup.procs; exec python3 {file}"
    pid = int(world.ssh(NODE, f"nohup sh -c '{inside}' >/dev/null 2>&1 & echo $!"))
    try:
        yield pid
    finally:
        world.ssh(NODE, f"kill -KILL {pid}; rm {file}")


def kernels(world: World, cgroup: str, pid: int) -> Figures:
    """The kernel's books; without those of NUMA balancing where memory.stat has none."""
    found = dict(line.split() for line in world.ssh(NODE, f"cat {cgroup}/memory.stat").splitlines())
    moves = world.ssh(NODE, f"grep nr_migrations /proc/{pid}/sched").rpartition(":")[2]
    books = {
        name: float(found[name])
        for name in ("numa_pages_migrated", "numa_hint_faults")
        if name in found
    }
    return books | {"nr_migrations": float(moves)}


def ours(world: World) -> Figures:
    """The same by the agent."""
    with world.agent_http(NODE) as url:
        status, text = get(f"{url}/metrics")
    assert status == 200
    names = {
        "numapin_pod_numa_migrated_pages_total": "numa_pages_migrated",
        "numapin_pod_hint_fault_pages_total": "numa_hint_faults",
        "numapin_pod_cross_socket_task_migrations_total": "nr_migrations",
    }
    found = dict.fromkeys(names.values(), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            mine = sample.labels.get("namespace") == NAMESPACE and sample.labels.get("pod") == NAME
            if sample.name in names and mine:
                found[names[sample.name]] += sample.value
    return found


def both(world: World, cgroup: str, pid: int) -> tuple[Figures, Figures]:
    """Ours and the kernel's while nothing happens."""
    world.ssh(NODE, f"kill -STOP {pid}")
    try:
        last: list[tuple[Figures, Figures]] = []

        def still() -> tuple[Figures, Figures] | None:
            last.append((ours(world), kernels(world, cgroup, pid)))
            return last[-1] if last[-2:-1] == last[-1:] else None

        found = eventually(still, seconds=60, what="both stand still")
        assert found is not None
        return found
    finally:
        world.ssh(NODE, f"kill -CONT {pid}")


def test_counts_of_a_pod_are_those_of_the_kernels_own_books(world: World):
    with made(world, pod(NAME, pinned=False, node=NODE)):
        world.cluster.await_ready(NAMESPACE, NAME, seconds=300)
        cgroup = world.cgroup(NAME)
        scope = world.ssh(NODE, f"find {cgroup} -name '*.scope'").split()[0]
        with workload(world, scope) as pid:
            eventually(lambda: ours(world)["nr_migrations"], seconds=120, what="it is counted")
            mine, its = both(world, cgroup, pid)
            eventually(
                lambda: ours(world)["numa_hint_faults"] - mine["numa_hint_faults"] > FAULTS,
                seconds=300,
                what=f"{FAULTS} hint faults",
            )
            mine_after, its_after = both(world, cgroup, pid)
    counted = {name: mine_after[name] - mine[name] for name in its}
    kept = {name: its_after[name] - its[name] for name in its}
    assert counted == {name: pytest.approx(n, rel=WITHIN) for name, n in kept.items()}
    assert all(kept.values()), kept
    assert kept.keys() == counted.keys() >= {"nr_migrations"}
