"""Which capability each ability of the agent needs: withheld one by one from the real code.

On this machine's kernel, with the real loader and the real system calls. A signal that this
kernel has not even with all four proves nothing and is left out.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.bpf import no_bcc, no_bpf
from support.capabilities import NEEDS, NUMBERS, table, under, why_not
from support.fake_cgroups import FakeKernel
from support.fake_systemd import Bus, FakeSystemd

import numapin_agent
from numapin_agent.bpf.launch import loader_command
from numapin_agent.counters import Counters, LoadOptions
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.node import SIGNALS
from numapin_api.topology import NumaNode, Socket, Topology

DOCS = Path(__file__).parents[2] / "docs/security.md"
CODE = str(Path(numapin_agent.__file__).parent.parent)
CRDS = str(Path(__file__).parents[2] / "crds")

ALL = frozenset(NUMBERS)
WITHHELD = [ALL, *(ALL - {name} for name in NUMBERS), frozenset({"BPF", "PERFMON"}), frozenset()]

CPUS = sorted(os.sched_getaffinity(0))
MACHINE = Topology(
    (Socket(0, CpuSet(CPUS), NodeSet([0])),),
    (NumaNode(0, CpuSet(CPUS), 1 << 30, 0),),
    ((10,),),
)

# Another user's process with one page of its own; says where, and waits.
VICTIM = """
import ctypes, mmap, os, sys
page = mmap.mmap(-1, mmap.PAGESIZE)
page[0] = 1
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(ctypes.addressof(ctypes.c_char.from_buffer(page)), flush=True)
sys.stdin.read()
"""

PROBE = """
import json, sys
from pathlib import Path
from numapin_agent.pin.syscall import MOVE, MOVE_ALL, MovePages, pages
pid, address = map(int, sys.argv[1:])
calls, done = MovePages(), {}
def attempt(name, act):
    try:
        done[name] = act() is not None
    except PermissionError:
        done[name] = False
def look():
    assert "N0" in Path(f"/proc/{pid}/numa_maps").read_text()
    return calls.query(pid, pages([address]))[0] + 1
attempt("look", look)
for name, flags in (("move", MOVE), ("move all", MOVE_ALL)):
    attempt(name, lambda: calls.move(pid, pages([address]), 0, flags=flags))
print(json.dumps(done))
"""

ALARM = """
import json
from numapin_agent.guard.kswapd import KswapdAlarm
from numapin_api.errors import CounterError
try:
    KswapdAlarm().close()
    print(json.dumps(True))
except CounterError:
    print(json.dumps(False))
"""

WRITE = """
import json, sys
from pathlib import Path
from numapin_agent.cgroup import files
root = Path(sys.argv[1])
files.write(root, root / "pod/cpuset.cpus", "0")
print(json.dumps((root / "pod/cpuset.cpus").read_text() == "0\\n"))
"""

# Of our side; that systemd asks for no capability either was tried with a real one.
CALL = """
import json, sys
from pathlib import Path
from numapin_agent.cgroup.systemd import SystemdBus
from numapin_api.cpulist import CpuSet
bus = SystemdBus(Path(sys.argv[1]))
bus.set_cpuset(sys.argv[2], "/kubepods.slice/" + sys.argv[2], cpus=CpuSet([0]))
bus.close()
print(json.dumps(True))
"""


def run(kept: frozenset[str], code: str, *args: str) -> object:
    """What a program of ours prints, run with these capabilities."""
    done = subprocess.run(
        [*under(kept), sys.executable, "-c", code, *args],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(done.stdout)


@functools.cache
def levels(kept: frozenset[str]) -> dict[str, tuple[str, str]]:
    """Level and reason of each signal when the loader has these capabilities."""

    def command(interpreter: str, module: str, channel: int) -> Sequence[str]:
        return [*under(kept), *loader_command(interpreter, module, channel)]

    with Counters.start(HostPaths(), MACHINE, options=LoadOptions(command=command)) as found:
        return {s.name: (s.level, s.reason or "") for s in found.levels()}


def ability(signal: str) -> str:
    """The row of a signal."""
    return next(name for name in NEEDS if name.endswith(f"({signal})"))


def named(kept: frozenset[str]) -> str:
    return ",".join(sorted(kept)) or "none"


can_withhold = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@can_withhold
@pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or "")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kept", WITHHELD, ids=named)
def test_counters_need_what_the_table_says(kept: frozenset[str]):
    there = [n for n, (level, _) in levels(ALL).items() if level not in {"none", "cgroup"}]
    assert there
    for signal in there:
        level, reason = levels(kept)[signal]
        lacking = NEEDS[ability(signal)] - kept
        assert (level not in {"none", "cgroup"}) is not bool(lacking), (level, reason)
        # And it says so.
        assert all(name in reason for name in lacking), reason


@pytest.fixture(scope="module")
def victim() -> Iterator[tuple[str, str]]:
    """Process id and address of another user's page."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", VICTIM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield str(process.pid), process.stdout.readline().strip()


PROBED = {
    "look": "see where the pages of other users' processes lie",
    "move": "move pages that one process maps",
    "move all": "move pages that several processes map",
}


@can_withhold
@pytest.mark.skipif(not Path("/proc/self/numa_maps").exists(), reason="a kernel without NUMA")
@pytest.mark.parametrize("kept", WITHHELD, ids=named)
def test_moving_pages_needs_what_the_table_says(kept: frozenset[str], victim: tuple[str, str]):
    assert run(kept, PROBE, *victim) == {name: NEEDS[row] <= kept for name, row in PROBED.items()}


@can_withhold
@pytest.mark.skipif(no_bpf() is not None, reason=no_bpf() or "")
@pytest.mark.parametrize("kept", WITHHELD, ids=named)
def test_the_alarm_needs_what_the_table_says(kept: frozenset[str]):
    wanted = NEEDS["hear at once that a socket runs out of memory"]
    assert run(kept, ALARM) is (wanted <= kept)


@can_withhold
def test_cpuset_files_need_root_and_nothing_else(tmp_path: Path):
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/cpuset.cpus").write_text("")
    assert run(frozenset(), WRITE, str(tmp_path)) is True


@can_withhold
def test_the_system_bus_is_called_without_capabilities(tmp_path: Path):
    unit = "kubepods-pod1.slice"
    kernel = FakeKernel.make(tmp_path / "host")
    kernel.mkdir(f"kubepods.slice/{unit}")
    bus = Bus(tmp_path)
    systemd = FakeSystemd(bus, kernel)
    try:
        assert run(frozenset(), CALL, str(bus.socket), unit) is True
        assert systemd.sets == [(unit, {"AllowedCPUs": b"\x01"})]
    finally:
        systemd.close()
        bus.stop()


def test_table_names_every_signal_and_every_capability():
    assert [ability(signal) for signal in SIGNALS] == [n for n in NEEDS if n.startswith("count ")]
    assert frozenset().union(*NEEDS.values()) == ALL
    assert "\n".join(table()) in DOCS.read_text()
