"""What the always-on histograms (agent.latencyMetrics) cost: time of each run, memory, a scrape.

On this machine's kernel, while two sockets exchange packets over loopback as fast as one CPU lets
them, which makes softirqs and timers. Nanoseconds are of the kernel's own BPF statistics.
"""

import subprocess
import sys
import time
from collections.abc import Iterable

from bench.events import statistics
from bench.harness import Bed, Row

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.hostpaths import HostPaths
from numapin_agent.latency.held import Latency
from numapin_agent.latency.probes import PROBES

TITLE = "Latency histograms: what they cost"
NEEDS_LAB = False

_SECONDS = 10.0
_PACKETS = """
import socket
a, b = (socket.socket(type=socket.SOCK_DGRAM) for _ in "ab")
b.bind(("127.0.0.1", 0))
while True:
    a.sendto(b"x", b.getsockname())
    b.recv(10)
"""


def measure(_: Bed) -> Iterable[Row]:
    """Each probe by itself."""
    for probe in PROBES:
        yield from _probe(probe)


def _probe(probe: str) -> Iterable[Row]:
    refusals: list[Exception] = []
    latency = Latency((probe,), paths=HostPaths(), options=LoadOptions(), failed=refusals.append)
    with subprocess.Popen([sys.executable, "-c", _PACKETS]) as sender, statistics():
        try:
            latency.start()
            while latency.missing():
                if refusals:
                    yield Row(f"{probe}: {refusals[0]}", float("nan"), "")
                    return
                time.sleep(0.05)
            before, began = _spent(latency, probe), time.monotonic()
            time.sleep(_SECONDS)
            after, took = _spent(latency, probe), time.monotonic() - began
            scrape = time.process_time()
            list(latency.collect())
            scrape = time.process_time() - scrape
        finally:
            sender.kill()
            latency.stop()
    runs, spent = after[0] - before[0], after[1] - before[1]
    yield Row(f"{probe}: runs of its programs", runs / took, "/s")
    yield Row(f"{probe}: a run", spent / runs if runs and spent else float("nan"), "ns")
    yield Row(f"{probe}: in all", spent / took / 1e7, "% of one CPU")
    yield Row(f"{probe}: a scrape", 1000 * scrape, "ms of CPU")


def _spent(latency: Latency, probe: str) -> tuple[int, int]:
    """Runs and nanoseconds of its programs."""
    info = [syscalls.program_info(fd) for fd in latency.programs(probe)]
    return sum(i.runs for i in info), sum(i.run_nanoseconds for i in info)
