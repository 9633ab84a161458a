"""What numapin's counters cost beside numamove's, which a probe on one kernel function makes.

numamove (bcc, bpftrace) puts a kprobe and a kretprobe on migrate_misplaced_folio, with a table of
begun calls between; a bpftrace program that does the same runs in the lab on the node of a pod
whose pages the kernel moves, at the same moment as the agent.
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
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bench.events import statistics_on
from bench.harness import Bed, Row

from numapin_lab.demo.cluster import Cluster, eventually, load
from numapin_lab.paths import checkout

TITLE = "numapin's counters beside numamove's, at the same migrations"
NEEDS_LAB = True

_NODE, _POD = "numa-0", "hopper"
_UNIT, _SAID = "numapin-bench-numamove", "/run/numapin-bench-numamove.json"
_SECONDS: Final = 60.0
_AGENT, _RIVAL = "numapin-agent", "bpftrace"
_WHICH: Final = "grep -om1 -w -e migrate_misplaced_folio -e migrate_misplaced_page /proc/kallsyms"
_SCRIPT: Final = """
kprobe:{f} {{ @begun[tid] = nsecs; }}
kretprobe:{f} /@begun[tid]/ {{
  @moves = count(); @took = sum(nsecs - @begun[tid]); delete(@begun[tid]);
}}
"""


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
    """Both at once, for a minute."""
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
        with statistics_on(bed, _NODE), _rival(bed):
            yield from _both(bed)
    finally:
        cluster.delete(where, [_POD])


@contextmanager
def _rival(bed: Bed) -> Iterator[None]:
    """Have bpftrace attached on the node."""
    function = bed.ssh(_NODE, _WHICH).strip()
    script = shlex.quote(_SCRIPT.format(f=function))
    run = f"systemd-run --unit {_UNIT} --collect --property StandardOutput=file:{_SAID}"
    bed.ssh(_NODE, f"rm -f {_SAID}; {run} bpftrace -B line -f json -e {script}")
    try:
        eventually(
            lambda: "attached_probes" in bed.ssh(_NODE, f"cat {_SAID} 2>/dev/null || true"),
            seconds=240,
            what="bpftrace is attached",
        )
        yield
    finally:
        bed.ssh(_NODE, f"systemctl stop {_UNIT}")


def _both(bed: Bed) -> Iterator[Row]:
    """A minute in which pages are moved, as all programs and the kernel's own books see it."""
    begun = _migrated(bed)
    eventually(lambda: _migrated(bed) > begun, seconds=240, what="the kernel moves pages")
    held = {who: _held(bed, who) for who in (_RIVAL, _AGENT)}
    before, pages, at = _programs(bed), _migrated(bed), time.monotonic()
    time.sleep(_SECONDS)
    after, more, took = _programs(bed), _migrated(bed), time.monotonic() - at
    yield Row("pages moved, by /proc/vmstat", (more - pages) / took, "pages/s")
    every = {who: spent(before, after, ids) for who, ids in held.items()}
    for who, one in every.items():
        yield Row(f"{who}: runs of its programs", one.runs / took, "/s")
        yield Row(f"{who}: a run", one.each, "ns, emulated")
        yield Row(f"{who}: in all", one.nanoseconds / took / 1e7, "% of one CPU, emulated")
        yield Row(f"{who}: resident memory", _resident(bed, who) / 1e6, "MB")
    ratio = every[_AGENT].each / every[_RIVAL].each
    yield Row(f"a run of {_AGENT} beside one of {_RIVAL}", ratio, "x")
    share = every[_AGENT].nanoseconds / (every[_RIVAL].nanoseconds or math.nan)
    yield Row(f"all of {_AGENT} beside all of {_RIVAL}", share, "x")


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


def _held(bed: Bed, who: str) -> set[int]:
    """Ids of the programs that processes of that name hold."""
    files = f"for pid in $(pgrep -x {who}); do cat /proc/$pid/fdinfo/*; done"
    return {int(found) for found in re.findall(r"prog_id:\s*(\d+)", bed.ssh(_NODE, files))}


def _migrated(bed: Bed) -> int:
    return int(bed.ssh(_NODE, "grep numa_pages_migrated /proc/vmstat").split()[1])


def _resident(bed: Bed, who: str) -> int:
    """Bytes of all processes of that name."""
    kilobytes = bed.ssh(_NODE, f"ps -o rss= -C {who}").split()
    return 1024 * sum(map(int, kilobytes))
