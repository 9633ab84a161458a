"""Each probe beside the distribution's tool in the guest: counts within 5 %, histograms alike."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from support.beside import NODE, both, check
from support.bpftrace import SCRIPTS
from support.guest_tools import Bcc, Bpftrace, Tool
from support.traced import programs
from support.verdicts import made
from support.workloads import HOPS
from support.world import NAMESPACE, World, container, pod, resources

from numapin_agent.trace.histogram import Histogram, added
from numapin_agent.trace.result import Result
from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(1800, func_only=True),
]

ENOUGH = 300
"""Events; 5 % of fewer are less than what chance does at the ends."""
WORK = """
import mmap, os, socket, time
os.sched_setaffinity(0, {1})
server = socket.create_server(("127.0.0.1", 0))
a = socket.create_connection(server.getsockname())
b, _ = server.accept()
a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
file = os.open("/proc/self/stat", os.O_RDONLY)
disk = os.open("/var/tmp/numapin-written", os.O_RDWR | os.O_CREAT)
due = time.monotonic()
while True:
    for _ in range(20):
        a.send(b"x" * 100); b.recv(100); os.pread(file, 100, 0)
    with mmap.mmap(-1, 16 * mmap.PAGESIZE) as pages:
        for at in range(0, len(pages), mmap.PAGESIZE):
            pages[at] = 1
    os.pwrite(disk, os.urandom(4096), 0)
    os.fsync(disk)
    due = max(due + 0.05, time.monotonic() - 1)
    time.sleep(max(0, due - time.monotonic()))
"""
CALLS = {"pread64": "17", "recvfrom": "45", "sendto": "44", "fsync": "74"}
HOOKS = {"PRE_ROUTING": 0, "LOCAL_IN": 1, "LOCAL_OUT": 3, "POST_ROUTING": 4}
IPV4 = 2
RECEIVED = """
tracepoint:net:netif_rx_entry, tracepoint:net:napi_gro_receive_entry {
  @driver[args->skbaddr] = nsecs;
}
tracepoint:net:netif_receive_skb /@driver[args->skbaddr]/ {
  @count[0] = count();
  @took[0] = hist(nsecs - @driver[args->skbaddr]);
  delete(@driver[args->skbaddr]);
}
tracepoint:net:netif_receive_skb { @stack[(uint64)args->skbaddr] = nsecs; }
kprobe:ip_local_deliver /@stack[(uint64)arg0]/ {
  @count[1] = count(); @took[1] = hist(nsecs - @stack[(uint64)arg0]);
  @ip[arg0] = nsecs;
}
kprobe:tcp_v4_rcv /@ip[arg0]/ {
  @count[2] = count(); @took[2] = hist(nsecs - @ip[arg0]);
  delete(@ip[arg0]);
  @tcp[arg0] = nsecs;
}
tracepoint:skb:skb_copy_datagram_iovec /@tcp[(uint64)args->skbaddr]/ {
  @count[5] = count();
  @took[5] = hist(nsecs - @tcp[(uint64)args->skbaddr]);
  delete(@tcp[(uint64)args->skbaddr]);
}
tracepoint:skb:skb_copy_datagram_iovec /@stack[(uint64)args->skbaddr]/ {
  @count[3] = count();
  @took[3] = hist(nsecs - @stack[(uint64)args->skbaddr]);
  delete(@stack[(uint64)args->skbaddr]);
}
tracepoint:irq:softirq_raise /args->vec == 3 && @raised[cpu] == 0/ { @raised[cpu] = nsecs; }
tracepoint:irq:softirq_entry /args->vec == 3 && @raised[cpu]/ {
  @count[4] = count();
  @took[4] = hist(nsecs - @raised[cpu]);
  @raised[cpu] = (uint64)0;
}"""
STAGES = {
    "driver → stack": "0",
    "stack → IP": "1",
    "IP → TCP": "2",
    "stack → read by the process": "3",
    "interrupt → NET_RX softirq": "4",
    "TCP → read by the process": "5",
}
FILTERED = """
fentry:nf_hook_slow { @begun[(uint64)args.state] = nsecs; }
fexit:nf_hook_slow /@begun[(uint64)args.state]/ {
  $of = ((uint64)args.state->pf << 8) | (uint64)args.state->hook;
  @count[$of] = count(); @took[$of] = hist(nsecs - @begun[(uint64)args.state]);
  delete(@begun[(uint64)args.state]);
}"""
"""One hook nests in another of the same thread; the state is the caller's own variable."""
MOVED = """
tracepoint:migrate:mm_migrate_pages_start /args->reason == 5/ { @begun[tid] = nsecs; }
tracepoint:migrate:mm_migrate_pages /args->reason == 5 && @begun[tid]/ {
  @count[0] = count(); @took[0] = hist(nsecs - @begun[tid]); delete(@begun[tid]);
}"""
"""MR_NUMA_MISPLACED is 5, include/linux/migrate_mode.h."""

READS = """
fentry:vfs_read /{ours}/ {{ @begun[tid] = nsecs; }}
fexit:vfs_read /@begun[tid]/ {{
  @count[0] = count(); @took[0] = hist(nsecs - @begun[tid]); delete(@begun[tid]);
}}"""
FAULTS = "software:page-faults:1 /{ours}/ {{ @count[0] = count(); }}"
WAITED = """
fentry:handle_mm_fault /{ours}/ {{ @begun[tid] = nsecs; @hint[tid] = 0; }}
fentry:task_numa_fault {{ @hint[tid] = 1; }}
fexit:handle_mm_fault /@begun[tid]/ {{
  @count[@hint[tid]] = count(); @took[@hint[tid]] = hist(nsecs - @begun[tid]);
  delete(@begun[tid]);
}}"""

By = Callable[[Mapping[str, str]], str]


@dataclass(frozen=True)
class Case:
    """A probe and its like.

    Attributes:
        tool: of the distribution.
        by: what the tool calls a row of ours.
        must: what has to be compared, else the test would show nothing.
        probe: arguments.
    """

    tool: Tool
    by: By
    must: frozenset[str]
    probe: tuple[str, ...]


def case(probe: str, tool: Tool, by: By, *must: str, extra: tuple[str, ...] = ()) -> object:
    return pytest.param(Case(tool, by, frozenset(must), (probe, *extra)), id=probe)


def device(labels: Mapping[str, str]) -> str:
    """bcc knows interrupts by the action's name, which is the last word of /proc/interrupts."""
    return labels["interrupt"].rpartition(" ")[2]


def hook(labels: Mapping[str, str]) -> str:
    known = labels["family"] == "ipv4" and labels["hook"] in HOOKS
    return str(IPV4 << 8 | HOOKS[labels["hook"]]) if known else ""


def all_in_one(_: Mapping[str, str]) -> str:
    return "0"


CASES = [
    case(
        "softirqs",
        Bcc(("softirqs", "-N", "-d", "1", "2")),
        lambda labels: labels["vector"].lower(),
        *("timer", "net_rx", "sched", "rcu"),
    ),
    case("hardirqs", Bcc(("hardirqs", "-N", "-d", "1", "2")), device),
    case(
        "function",
        Bcc(("funclatency", "-i", "1", "-d", "2", "vfs_read")),
        lambda _: "",
        "",
        extra=("vfs_read",),
    ),
    case("run-queue", Bcc(("runqlat", "1", "2"), unit=1000), lambda _: "", ""),
    case(
        "timers",
        Bpftrace(SCRIPTS["timers"]),
        lambda labels: labels["function"].split(" ")[0],
        "hrtimer_wakeup",
    ),
    case(
        "syscalls",
        Bpftrace(SCRIPTS["syscalls"]),
        lambda labels: CALLS.get(labels["syscall"], ""),
        *CALLS.values(),
    ),
    case("off-cpu", Bpftrace(SCRIPTS["off-cpu"]), all_in_one, "0"),
    case("net-rx", Bpftrace(RECEIVED), lambda labels: STAGES[labels["stage"]], *STAGES.values()),
    case(
        "netfilter",
        Bpftrace(FILTERED),
        hook,
        *(str(IPV4 << 8 | number) for number in HOOKS.values()),
    ),
]


@pytest.fixture
def work(world: World) -> Iterator[None]:
    """The node does the same all the time."""
    unit = "numapin-work"
    start = f"systemd-run --quiet --collect --unit {unit} python3 -c {shlex.quote(WORK)}"
    end = f"systemctl stop {unit} 2>/dev/null; systemctl reset-failed {unit} 2>/dev/null; true"
    world.ssh(NODE, f"{end}; {start}")
    yield
    world.ssh(NODE, end)


def grouped(result: Result, by: By) -> dict[str, Histogram]:
    rows: dict[str, list[Histogram]] = {}
    for row in result.rows:
        rows.setdefault(by(row.labels), []).append(row.histogram)
    return {name: added(found) for name, found in rows.items()}


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("one", CASES)
def test_rates_and_histograms_are_the_tools(world: World, one: Case):
    before = programs(world, NODE)
    told = both(world, one.tool, *one.probe)
    ours = grouped(told.ours, one.by)
    compared = [
        name
        for name, counted in told.theirs.items()
        if counted.count >= ENOUGH and (name in one.must or name in ours)
    ]
    assert compared
    assert one.must <= set(compared), (one.must, told.theirs.keys(), ours.keys())
    for name in compared:
        print(check(name, ours.get(name, Histogram()), told.theirs[name], told))
    assert told.ours.lost == 0
    assert programs(world, NODE) == before


def ids(world: World, name: str) -> str:
    """What bpftrace is told to count the events of one pod, numapin being told its name."""
    found = world.ssh(NODE, f"find {world.cgroup(name)} -type d -printf '%i\\n'").split()
    return " || ".join(f"cgroup == {one}" for one in found)


def test_calls_of_a_pod_are_bpftraces(world: World):
    few = resources("100m", "32Mi", limits=True)
    reads = container(script="exec dd if=/dev/zero of=/dev/null bs=1", resources=few)
    with made(world, pod("trace-reads", reads, pinned=False)):
        world.cluster.await_ready(NAMESPACE, "trace-reads", seconds=420)
        script = READS.format(ours=ids(world, "trace-reads"))
        whom = ("--pod", f"{NAMESPACE}/trace-reads")
        told = both(world, Bpftrace(script), "function", "vfs_read", whom=whom)
    assert told.theirs["0"].count >= ENOUGH
    assert told.ours.lost == 0
    print(check("vfs_read of a pod", told.ours.total(), told.theirs["0"], told))


@pytest.fixture
def faults(world: World) -> Iterator[str]:
    """A pod that makes page faults."""
    few = resources("100m", "64Mi", limits=True)
    busy = container(script="exec stress-ng --fault 1 --temp-path /tmp -q", resources=few)
    with made(world, pod("trace-faults", busy, pinned=False)):
        world.cluster.await_ready(NAMESPACE, "trace-faults", seconds=420)
        yield "trace-faults"


def test_page_faults_of_a_pod_are_bpftraces(world: World, faults: str):
    """Counted by stack; bpftrace counts the event by which the kernel itself does."""
    script = FAULTS.format(ours=ids(world, faults))
    told = both(world, Bpftrace(script), "page-faults", whom=("--pod", f"{NAMESPACE}/{faults}"))
    assert told.theirs["0"].count >= ENOUGH
    assert told.ours.lost == 0
    ours = Histogram(sum(stack.weight for stack in told.ours.stacks))
    print(check("page faults of a pod", ours, told.theirs["0"], told))


def check_waits(world: World, name: str, wait: str, key: str) -> None:
    """By a pod's name and cgroups; ``key`` is bpftrace's for that wait."""
    script = WAITED.format(ours=ids(world, name))
    told = both(world, Bpftrace(script), "memory-wait", whom=("--pod", f"{NAMESPACE}/{name}"))
    ours, theirs = grouped(told.ours, lambda labels: labels["wait"])[wait], told.theirs[key]
    assert theirs.count >= ENOUGH
    assert told.ours.lost == 0
    print(check(wait, ours, theirs, told))
    (rate,) = (one.value for one in told.ours.figures if one.name == f"time in {wait}s")
    assert rate == pytest.approx(ours.total / 1e6 / told.ours.seconds, rel=0.01)


def test_times_of_page_faults_are_bpftraces(world: World, faults: str):
    check_waits(world, faults, "page fault", "0")


@pytest.fixture
def hopper(world: World) -> Iterator[str]:
    """A program that is sent from socket to socket, and whose pages the kernel moves by now."""

    def migrated() -> int:
        return int(world.ssh(NODE, "grep numa_pages_migrated /proc/vmstat").split()[1])

    busy = resources("100m", "32Mi", limits=False) | {"limits": {"cpu": "300m"}}
    with made(world, pod("trace-beside", container(script=HOPS, resources=busy), pinned=False)):
        world.cluster.await_ready(NAMESPACE, "trace-beside", seconds=420)
        begun = migrated()
        eventually(lambda: migrated() > begun, seconds=240, what="the kernel moves pages")
        yield "trace-beside"


def test_times_of_hint_faults_are_bpftraces(world: World, hopper: str):
    check_waits(world, hopper, "NUMA hint fault", "1")


@pytest.mark.usefixtures("hopper")
def test_moves_are_bpftraces(world: World):
    """They come in bursts of a second: some tenths of one at either end would show in a minute."""
    told = both(world, Bpftrace(MOVED), "numa-moves", seconds=240)
    print(check("moves", told.ours.total(), told.theirs["0"], told))
