"""What the kernel counters cost: loading them, holding them, and each event.

Natively on this machine, as far as its kernel lets programs be attached, and in the agent's
own container in the lab, where software emulation makes every time many times longer.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.harness import Bed, Row

TITLE = "Kernel counters: what they cost"
NEEDS_LAB = True

_NAMESPACE, _AGENT = "numapin-system", "app.kubernetes.io/component=agent"
_STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")
_ONCE = r"""
import json, os, sys, time
from pathlib import Path
from numapin_agent.counters import Counters
from numapin_agent.hostpaths import HostPaths
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode, Socket, Topology

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("VmRSS:"))

# Every other CPU a socket of its own, so that hopping crosses sockets on any machine.
cpus = sorted(os.sched_getaffinity(0))
sockets = tuple(Socket(i, CpuSet(cpus[i::2]), NodeSet()) for i in range(min(2, len(cpus))))
topology = Topology(sockets, (NumaNode(0, CpuSet(cpus), 1 << 30, None),), ((10,),))
with Counters.start(HostPaths(), topology) as counters:
    held = resident()
    hops = int(sys.argv[1])

    def hop():
        before = counters.programs()
        for i in range(hops):
            os.sched_setaffinity(0, {cpus[i % len(cpus)]})
        after = counters.programs()
        return {
            name: [p.runs - before[name].runs, p.run_nanoseconds - before[name].run_nanoseconds]
            for name, p in after.items()
        }

    crossing = hop()
    counters.follow(Topology((Socket(0, CpuSet(cpus), NodeSet([0])),), topology.nodes, ((10,),)))
    staying = hop()
    begun = time.perf_counter()
    reads = 50
    for _ in range(reads):
        counters.read()
    read_seconds = (time.perf_counter() - begun) / reads
    cost = counters.cost
    print(json.dumps({
        "levels": {s.name: s.level for s in counters.levels()},
        "reasons": {s.name: s.reason for s in counters.levels() if s.reason},
        "ready_seconds": cost.seconds if cost else None,
        "btf_seconds": cost.btf_seconds if cost else None,
        "peak_rss_bytes": cost.peak_rss_bytes if cost else None,
        "held_rss_bytes": held,
        "read_seconds": read_seconds,
        "lost": counters.lost(),
        "runs": {"between sockets": crossing, "within a socket": staying},
    }))
"""


def measure(bed: Bed) -> Iterable[Row]:
    """Natively, then in the agent's container."""
    yield from _rows("native", _native(), budgets=True)
    pod = bed.kubectl("get", "pod", "-n", _NAMESPACE, "-l", _AGENT, "-o", "name").split()[0]
    inside = bed.kubectl(
        *("exec", "-i", "-n", _NAMESPACE, pod, "--", "/opt/numapin/bin/python3", "-", "2000"),
        said=_ONCE,
        seconds=600,
    )
    yield from _rows("emulated", json.loads(inside), budgets=False)


def _native() -> Mapping[str, object]:
    """In a process of its own, whose memory is the agent's share for the counters."""
    before = _STATISTICS.read_text() if os.access(_STATISTICS, os.W_OK) else None
    try:
        if before is not None:
            _STATISTICS.write_text("1")
        done = subprocess.run(
            [sys.executable, "-", "20000"], input=_ONCE, capture_output=True, text=True, check=True
        )
    finally:
        if before is not None:
            _STATISTICS.write_text(before)
    return dict(json.loads(done.stdout))


def _rows(where: str, got: Mapping[str, object], *, budgets: bool) -> Iterable[Row]:
    levels = got["levels"]
    assert isinstance(levels, dict)
    had = [n for n, level in levels.items() if level not in {"none", "cgroup"}]
    yield Row(
        f"{where}: signals counted ({', '.join(had) or 'none'})", len(had), f"of {len(levels)}"
    )
    for what, key, unit, scale, limit in (
        ("start to ready", "ready_seconds", "s", 1.0, 2.0),
        ("of that, kernel types read", "btf_seconds", "s", 1.0, None),
        ("peak memory of the compiling child", "peak_rss_bytes", "MB", 1e-6, 160.0),
        ("memory of a process that holds them", "held_rss_bytes", "MB", 1e-6, None),
        ("all counters read in", "read_seconds", "ms", 1e3, None),
        ("events lost", "lost", "events", 1.0, 0.0),
    ):
        value = got[key]
        number = float(value) * scale if isinstance(value, int | float) else float("nan")
        goal = f"≤ {limit:g} {unit}" if budgets and limit is not None else ""
        met = number <= limit if budgets and limit is not None else None
        yield Row(f"{where}: {what}", number, unit, goal=goal, met=met)
    runs = got["runs"]
    assert isinstance(runs, dict)
    for path, programs in runs.items():
        for name, (count, nanoseconds) in programs.items():
            if count >= 1000 and nanoseconds:
                what = f"{where}: {name} {path}, per event ({count} events, statistics included)"
                yield Row(what, nanoseconds / count, "ns")
