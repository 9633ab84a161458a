"""How long unrelated work waits while a big running pod is pinned: numapin beside plain writes.

Runs as root on a machine with two NUMA nodes, cgroup v2 and systemd (the lab's guest), with
nothing but Python's standard library, this repository's packages and jeepney on PYTHONPATH.
Makes a kubepods-like slice of its own, so that no kubelet minds, and removes it again.

Each row pins a fresh process with its memory on one NUMA node to the other node, while four
loops time unrelated work; the figures are the longest of each. The probes run equally long
in every row, for the longest of many waits grows with their number.
"""

import argparse
import atexit
import contextlib
import itertools
import json
import mmap
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from jeepney import DBusAddress, Properties
from jeepney.io.blocking import open_dbus_connection

from numapin_agent.cgroup import CgroupHost
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pin import Pinner, PinOrder
from numapin_agent.pin.look import Eyes
from numapin_agent.sysfs import available_memory, read_topology
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import Topology

CGROUP = Path("/sys/fs/cgroup")
ROOT = "npstall-kubepods"
BURSTABLE = f"{ROOT}-burstable"
UNRELATED = CGROUP / "npstall-unrelated"
COLUMNS = ("attach", "mkdir", "systemd", "new scope", "pod itself")
LEAD_SECONDS = 2.0
PAUSE_SECONDS = 0.002


# The pod: one process that fills its memory on given CPUs, then goes on reading it.


def load(mebibytes: int, cpus: CpuSet, *, huge: bool, log: Path) -> None:
    """Fill memory on ``cpus``, say so, then read it for ever and log each pause of the reader."""
    os.sched_setaffinity(0, set(cpus))
    size = mebibytes << 20
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    step = 1 << 20
    block = b"\1" * step
    for at in range(0, size, step):
        memory[at : at + step] = block
    # It stays there until its cpuset says otherwise, or NUMA balancing would move the memory.
    sys.stdout.write("filled\n")
    sys.stdout.flush()
    at, last = 0, time.monotonic()
    with log.open("w") as pauses:
        while True:
            memory[at]
            at = (at + 4096) % size
            now = time.monotonic()
            if now - last > PAUSE_SECONDS:
                pauses.write(f"{now} {now - last}\n")
                pauses.flush()
            last = now
            if at % (1 << 22) == 0:
                time.sleep(0.01)  # leaves an emulator's CPUs some air
                last = time.monotonic()


class Pod:
    """The process in a slice and scope named like a pod's and a container's."""

    def __init__(self, name: str, mebibytes: int, cpus: CpuSet, *, huge: bool) -> None:
        self.uid = name
        self.slice = f"{BURSTABLE}-pod{name}.slice"
        self.path = CGROUP / "npstall.slice" / f"{ROOT}.slice" / f"{BURSTABLE}.slice" / self.slice
        self._log = Path(f"/run/npstall-{name}")
        self._log.write_text("")
        scope = f"cri-containerd-{name:0>64}.scope"
        self.process = subprocess.Popen(
            [
                *("systemd-run", "-q", "--scope", f"--slice={self.slice}", f"--unit={scope}"),
                *("-p", "Delegate=yes", sys.executable, __file__, "load", str(mebibytes)),
                *(str(cpus), str(int(huge)), str(self._log)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        # The kubelet enables the cpuset controller in its tree; here a property does.
        allowed = f"AllowedCPUs=0-{(os.cpu_count() or 1) - 1}"
        subprocess.run(["systemctl", "set-property", "--runtime", self.slice, allowed], check=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "filled\n":
            raise SystemExit(f"{self.slice}: the process ended before its memory was filled")

    def pauses(self) -> list[tuple[float, float]]:
        """When the reader paused, and how long, seconds."""
        lines = self._log.read_text().splitlines()[:-1]
        return [(float(at), float(took)) for at, took in map(str.split, lines)]

    def on(self, node: int) -> int:
        """Bytes of anonymous memory on a NUMA node."""
        for line in (self.path / "memory.numa_stat").read_text().splitlines():
            key, *fields = line.split()
            if key == "anon":
                return int(dict(f[1:].split("=") for f in fields).get(str(node), 0))
        return 0

    def stop(self) -> None:
        """End the process and its slice."""
        self.process.kill()
        self.process.wait()
        subprocess.run(["systemctl", "stop", self.slice], check=False)
        # A kubelet's slice is transient and takes its drop-ins along; this one is not.
        subprocess.run(["systemctl", "revert", self.slice], check=False)
        self._log.unlink(missing_ok=True)


# The neighbours: four loops of unrelated work. They time the request alone, not the making
# of processes, and leave an emulator's CPUs some air.


def attach() -> Callable[[], None]:
    """Moving a process between two cgroups that have nothing to do with the pod."""
    child = subprocess.Popen(["sleep", "3600"])
    atexit.register(child.kill)
    places = itertools.cycle([UNRELATED / "a" / "cgroup.procs", UNRELATED / "b" / "cgroup.procs"])
    return lambda: (next(places).write_text(str(child.pid)), None)[1]


def make() -> Callable[[], None]:
    """Making and removing a cgroup."""
    path = UNRELATED / "made"
    return lambda: (path.mkdir(), path.rmdir())[1]


def ask_systemd() -> Callable[[], None]:
    """A property of PID 1, by D-Bus."""
    connection = open_dbus_connection(bus="SYSTEM")
    address = DBusAddress(
        "/org/freedesktop/systemd1",
        bus_name="org.freedesktop.systemd1",
        interface="org.freedesktop.systemd1.Manager",
    )
    message = Properties(address).get("NNames")
    return lambda: (connection.send_and_get_reply(message, timeout=120), None)[1]


def scope() -> Callable[[], None]:
    """A new scope for a new process, as container runtimes make them."""
    return lambda: (subprocess.run(["systemd-run", "-q", "--scope", "true"], check=True), None)[1]


NEIGHBOURS = {
    "attach": (attach, 0.05),
    "mkdir": (make, 0.05),
    "systemd": (ask_systemd, 0.1),
    "new scope": (scope, 1.0),
}
"""What each does, and its rest in seconds."""


def probe(seconds: float) -> None:
    """Run the four loops in threads (they wait in the kernel or for children), print JSON."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in NEIGHBOURS}
    end = time.monotonic() + seconds

    def loop(name: str, work: Callable[[], None], rest: float) -> None:
        while (began := time.monotonic()) < end:
            work()
            took[name].append((began, time.monotonic() - began))
            time.sleep(rest)

    threads = [
        threading.Thread(target=loop, args=(name, start(), rest))
        for name, (start, rest) in NEIGHBOURS.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(took))


# The four ways.


def idle(pod: Pod, target: NodeSet, cpus: CpuSet) -> None:
    """Nothing."""


def by_file(pod: Pod, target: NodeSet, cpus: CpuSet) -> None:
    """What every tool does that writes cpusets."""
    (pod.path / "cpuset.cpus").write_text(str(cpus))
    (pod.path / "cpuset.mems").write_text(str(target))


def by_systemd(pod: Pod, target: NodeSet, cpus: CpuSet) -> None:
    """The same by PID 1."""
    values = [f"AllowedCPUs={cpus}", f"AllowedMemoryNodes={target}"]
    subprocess.run(["systemctl", "set-property", "--runtime", pod.slice, *values], check=True)


def by_numapin(pod: Pod, target: NodeSet, cpus: CpuSet) -> None:
    """Our own code, as the agent calls it."""
    paths = HostPaths()
    topology = read_topology(paths)
    root = pod.path.parent.parent
    host = CgroupHost(version=2, driver="systemd", root=root, problem=None, proc=paths.proc)
    moved = threading.Event()
    pinner = Pinner.on_this_host(
        paths,
        host,
        eyes=Eyes(
            proc=paths.proc,
            available=lambda: available_memory(paths),
            capacity={n.id: n.memory_bytes for n in topology.nodes},
        ),
        moved=lambda _: moved.set(),
        state_dir=Path("/run/npstall"),
    )
    order = PinOrder(
        namespace="bench",
        name="stall",
        uid=pod.uid,
        generation=1,
        mode="Enforce",
        cpus=cpus,
        mems=target,
        memory="Strict",
        headroom_percent=1,
    )
    try:
        while (report := pinner.reconcile(order, history_seconds=60.0)).phase == "Moving":
            moved.wait(1.0)
            moved.clear()
        if report.phase != "Pinned" or report.problem is not None:
            raise SystemExit(f"not pinned: {report}")
    finally:
        pinner.close()


WAYS = {
    "idle": idle,
    "cpuset.mems written": by_file,
    "by systemd": by_systemd,
    "numapin": by_numapin,
}


@contextlib.contextmanager
def unrelated() -> Iterator[None]:
    for path in (UNRELATED, UNRELATED / "a", UNRELATED / "b"):
        path.mkdir(exist_ok=True)
    try:
        yield
    finally:
        for path in (UNRELATED / "a", UNRELATED / "b", UNRELATED):
            path.rmdir()


@dataclass(frozen=True)
class Row:
    """One way, measured.

    Attributes:
        way: its name.
        seconds: how long it took.
        moved: bytes that left the NUMA node they were on.
        longest: of each kind of unrelated work, seconds.
        median: of each kind, seconds.
    """

    way: str
    seconds: float
    moved: int
    longest: dict[str, float]
    median: dict[str, float]


def measure(way: str, number: int, topology: Topology, options: argparse.Namespace) -> Row:
    """Pin a fresh pod one way, with the neighbours at work all the time."""
    source, target = topology.sockets[0], topology.sockets[1]
    pod = Pod(f"{os.getpid():x}{number:x}", options.mebibytes, source.cpus, huge=options.huge)
    try:
        far = next(iter(source.nodes))
        before = pod.on(far)
        # A process of its own: its loops must not share an interpreter with what is measured.
        neighbours = subprocess.Popen(
            [sys.executable, __file__, "probe", str(options.seconds)], stdout=subprocess.PIPE
        )
        start = time.monotonic()
        time.sleep(LEAD_SECONDS)
        began = time.monotonic()
        WAYS[way](pod, target.nodes, target.cpus)
        took = time.monotonic() - began
        output, _ = neighbours.communicate()
        if took > options.seconds - LEAD_SECONDS:
            sys.stderr.write(f"{way} took longer than the neighbours were watched: --seconds\n")
        work = json.loads(output)
        work["pod itself"] = [p for p in pod.pauses() if start < p[0] < start + options.seconds]
        samples = {name: [s for _, s in pairs] or [0.0] for name, pairs in work.items()}
        return Row(
            way=way,
            seconds=took,
            moved=before - pod.on(far),
            longest={name: max(values) for name, values in samples.items()},
            median={name: statistics.median(values) for name, values in samples.items()},
        )
    finally:
        pod.stop()


def show(rows: list[Row]) -> None:
    """The longest waits side by side, each with its multiple of the first row's."""
    print("longest, ms (x idle)".ljust(22) + f"{'took':>10}{'moved':>10}", end="")
    print("".join(f"{column:>17}" for column in COLUMNS))
    for row in rows:
        print(f"{row.way:22}{row.seconds:>8.2f} s{row.moved >> 20:>6} MiB", end="")
        for column in COLUMNS:
            factor = row.longest[column] / max(rows[0].longest[column], 1e-3)
            print(f"{1000 * row.longest[column]:>9.0f} ({factor:>4.1f}x)", end="")
        print()
    print("median, ms")
    for row in rows:
        print(f"{row.way:42}", end="")
        print("".join(f"{1000 * row.median[column]:>9.0f}        " for column in COLUMNS))


def main() -> None:
    if sys.argv[1:2] == ["load"]:
        size, cpus, huge, log = sys.argv[2:]
        load(int(size), CpuSet.parse(cpus), huge=bool(int(huge)), log=Path(log))
    if sys.argv[1:2] == ["probe"]:
        probe(float(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=1800, help="memory of the pod")
    parser.add_argument("--seconds", type=float, default=60.0, help="of watching, each row")
    parser.add_argument("--huge", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--json", type=Path, help="write the figures there, in seconds and bytes")
    options = parser.parse_args()
    topology = read_topology(HostPaths())
    if len(topology.sockets) < 2:
        raise SystemExit("this machine has one socket; the bench needs two: run it in the lab")
    with unrelated():
        rows = [measure(way, i, topology, options) for i, way in enumerate(options.ways)]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
