"""What the always-on histograms (agent.latencyMetrics) cost: time of each run, a scrape.

``guest/latency.py`` measures, while two sockets exchange packets over loopback as fast as one CPU
lets them, which makes softirqs, timers and calls of netfilter: on this machine's kernel and, when
the lab is up, in the agent's container there. Emulated nanoseconds say little by themselves, so
each probe's run is compared there with one of softirqs.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench import events
from bench.harness import Bed, Row

TITLE = "Latency histograms: what they cost"
NEEDS_LAB = False

_SCRIPT: Final = Path(__file__).parent / "guest" / "latency.py"
_NATIVELY, _EMULATED = 10, 20
_PACKETS: Final = """
import socket
a, b = (socket.socket(type=socket.SOCK_DGRAM) for _ in "ab")
b.bind(("127.0.0.1", 0))
while True:
    a.sendto(b"x", b.getsockname())
    b.recv(10)
"""


def measure(bed: Bed) -> Iterable[Row]:
    """Each probe by itself, on this machine, then in the lab if it is up."""
    yield from rows("native", _native())
    if bed.lab.is_up():
        yield from rows("lab", _in_lab(bed))


def _native() -> Mapping[str, Any]:
    command = [sys.executable, str(_SCRIPT), str(_NATIVELY)]
    with subprocess.Popen([sys.executable, "-c", _PACKETS]) as sender, events.statistics():
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        finally:
            sender.kill()
    return dict(json.loads(done.stdout))


def _in_lab(bed: Bed) -> Mapping[str, Any]:
    """Packets are the node's own: no hook is called in the agent's network, which has no rules."""
    node = events.agent(bed)[1]
    unit = "numapin-bench-packets"
    bed.ssh(node, f"systemd-run --unit {unit} --collect python3 -c '{_PACKETS}'")
    try:
        return events.in_agent(bed, _SCRIPT, str(_EMULATED))
    finally:
        bed.ssh(node, f"systemctl stop {unit} || true")  # gone where the node crashed meanwhile


def rows(where: str, got: Mapping[str, Any]) -> Iterator[Row]:
    """What the script found, as rows.

    Args:
        where: it ran.
        got: what it printed.
    """
    where = f"{where}, Linux {got['kernel']}"
    alike = _per_run(got["probes"]["softirqs"])
    for probe, one in got["probes"].items():
        if "problem" in one:
            yield Row(f"{where}, {probe}: {one['problem']}", math.nan, "")
            continue
        named = f"{where}, {probe}"
        yield Row(f"{named}: runs of its programs", one["runs"] / one["seconds"], "/s")
        yield Row(f"{named}: a run", _per_run(one), "ns")
        yield Row(f"{named}: a run, beside one of softirqs", _per_run(one) / alike, "x")
        yield Row(f"{named}: a run at most", one["instructions"], "instructions")
        spent = one["nanoseconds"] / one["seconds"] / 1e7
        yield Row(f"{named}: in all", spent or math.nan, "% of one CPU")
        yield Row(f"{named}: a scrape", 1000 * one["scrape_seconds"], "ms of CPU")


def _per_run(one: Mapping[str, Any]) -> float:
    """Nanoseconds; NaN where it did not run or nothing was measured."""
    if not one.get("runs") or not one["nanoseconds"]:
        return math.nan
    return float(one["nanoseconds"]) / float(one["runs"])
