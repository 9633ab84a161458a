"""What numapin's counters cost beside numamove's, and beside what one gives ebpf_exporter to run.

numamove (bcc, bpftrace) puts a kprobe and a kretprobe on migrate_misplaced_folio, with a table of
begun calls between. ebpf_exporter runs programs that its user writes; such a one keeps counts and
time by cgroup, for labels, and ebpf_exporter reads the table at each scrape. bpftrace programs that
do the same run in the lab on the node of a pod whose pages the kernel moves, at the same moment as
the agent. What Go's part of ebpf_exporter takes is not among it.
The kernel's own statistics (bpf_stats_enabled) tell runs and nanoseconds of each program, and
fdinfo in /proc whose it is. They are emulated nanoseconds, so only ratios say something. A trap of
a kprobe itself is in no program's time, nor is the trampoline of fentry.
"""

import json
import math
import re
import shlex
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bench.events import statistics_on
from bench.harness import Bed, Row

from numapin_lab.demo.cluster import Cluster, eventually, load
from numapin_lab.paths import checkout

TITLE = "numapin's counters beside numamove's and an exporter's, at the same migrations"
NEEDS_LAB = True

_NODE, _POD = "numa-0", "hopper"
_SECONDS: Final = 60.0
_AGENT: Final = "numapin-agent"
_WHICH: Final = "grep -om1 -w -e migrate_misplaced_folio -e migrate_misplaced_page /proc/kallsyms"
_BEGIN: Final = "kprobe:{f} {{ @begun[tid] = nsecs; }}"
_RIVALS: Final[Mapping[str, str]] = {
    "numamove": """
kretprobe:{f} /@begun[tid]/ {{
  @moves = count(); @took = sum(nsecs - @begun[tid]); delete(@begun[tid]);
}}
""",
    "by-cgroup": """
kretprobe:{f} /@begun[tid]/ {{
  @moves[cgroup] = count(); @took[cgroup] = sum(nsecs - @begun[tid]); delete(@begun[tid]);
}}
""",
}
"""What each does when a call ends."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What programs have cost.

    Attributes:
        runs: of all of them.
        nanoseconds: in all of them.
    """

    runs: int
    nanoseconds: int

    @property
    def each(self) -> float:
        """Nanoseconds of a run; NaN where there was none."""
        return self.nanoseconds / self.runs if self.runs else math.nan


def measure(bed: Bed) -> Iterable[Row]:
    """All at once, for a minute."""
    cluster = Cluster(bed.lab.paths.kubeconfig)
    namespace, *pods = load(checkout() / "lab" / "workloads" / "workloads.yaml")
    manifest = next(p for p in pods if p["metadata"]["name"] == _POD)
    manifest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": _NODE}
    cluster.ensure_namespace(namespace)
    where = manifest["metadata"]["namespace"]
    cluster.delete(where, [_POD])
    cluster.create(manifest)
    try:
        cluster.await_ready(where, _POD, seconds=300)
        with statistics_on(bed, _NODE), ExitStack() as rivals:
            for who in _RIVALS:
                rivals.enter_context(_rival(bed, who))
            yield from _all(bed)
    finally:
        cluster.delete(where, [_POD])


@contextmanager
def _rival(bed: Bed, who: str) -> Iterator[None]:
    """Have bpftrace attached on the node."""
    function = bed.ssh(_NODE, _WHICH).strip()
    script = shlex.quote((_BEGIN + _RIVALS[who]).format(f=function))
    said = f"/run/{_unit(who)}.json"
    run = f"systemd-run --unit {_unit(who)} --collect --property StandardOutput=file:{said}"
    bed.ssh(_NODE, f"rm -f {said}; {run} bpftrace -B line -f json -e {script}")
    try:
        eventually(
            lambda: "attached_probes" in bed.ssh(_NODE, f"cat {said} 2>/dev/null || true"),
            seconds=240,
            what="bpftrace is attached",
        )
        yield
    finally:
        bed.ssh(_NODE, f"systemctl stop {_unit(who)}")


def _unit(who: str) -> str:
    return f"numapin-bench-{who}"


def _pids(bed: Bed, who: str) -> str:
    """Processes of the agent or a rival, as a list for the shell."""
    if who == _AGENT:
        return bed.ssh(_NODE, f"pgrep -x {who}")
    return bed.ssh(_NODE, f"systemctl show --property MainPID --value {_unit(who)}")


def _all(bed: Bed) -> Iterator[Row]:
    """A minute in which pages are moved, as all programs and the kernel's own books see it."""
    begun = _migrated(bed)
    eventually(lambda: _migrated(bed) > begun, seconds=240, what="the kernel moves pages")
    pids = {who: _pids(bed, who).split() for who in (*_RIVALS, _AGENT)}
    held = {who: _held(bed, pids[who]) for who in pids}
    before, pages, at = _programs(bed), _migrated(bed), time.monotonic()
    time.sleep(_SECONDS)
    after, more, took = _programs(bed), _migrated(bed), time.monotonic() - at
    yield Row("pages moved, by /proc/vmstat", (more - pages) / took, "pages/s")
    every = {who: spent(before, after, ids) for who, ids in held.items()}
    for who, one in every.items():
        yield Row(f"{who}: runs of its programs", one.runs / took, "/s")
        yield Row(f"{who}: a run", one.each, "ns, emulated")
        yield Row(f"{who}: in all", one.nanoseconds / took / 1e7, "% of one CPU, emulated")
        yield Row(f"{who}: resident memory", _resident(bed, pids[who]) / 1e6, "MB")
    for who in _RIVALS:
        ratio = every[_AGENT].each / every[who].each
        yield Row(f"a run of {_AGENT} beside one of {who}", ratio, "x")
        share = every[_AGENT].nanoseconds / (every[who].nanoseconds or math.nan)
        yield Row(f"all of {_AGENT} beside all of {who}", share, "x")


def spent(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], ids: Collection[int]
) -> Spent:
    """What somebody's programs have cost between two looks.

    Args:
        before: the first, as ``bpftool -j prog show`` prints it.
        after: the second.
        ids: of somebody's programs.
    """
    first = {program["id"]: program for program in before}
    found = [
        (first[program["id"]], program)
        for program in after
        if program["id"] in first and program["id"] in ids
    ]

    def grown(key: str) -> int:
        return sum(new.get(key, 0) - old.get(key, 0) for old, new in found)

    return Spent(grown("run_cnt"), grown("run_time_ns"))


def _programs(bed: Bed) -> Sequence[Mapping[str, Any]]:
    return list(json.loads(bed.ssh(_NODE, "bpftool -j prog show")))


def _held(bed: Bed, pids: Iterable[str]) -> set[int]:
    """Ids of the programs that processes hold."""
    files = " ".join(f"/proc/{pid}/fdinfo/*" for pid in pids)
    return {
        int(found)
        for found in re.findall(
            r"prog_id:\s*(\d+)", bed.ssh(_NODE, f"cat {files} 2>/dev/null || true")
        )
    }


def _migrated(bed: Bed) -> int:
    return int(bed.ssh(_NODE, "grep numa_pages_migrated /proc/vmstat").split()[1])


def _resident(bed: Bed, pids: Iterable[str]) -> int:
    """Bytes of all of the processes."""
    kilobytes = bed.ssh(_NODE, f"ps -o rss= -p {','.join(pids)}").split()
    return 1024 * sum(map(int, kilobytes))
