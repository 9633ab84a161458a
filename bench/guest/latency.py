"""What the always-on histograms (agent.latencyMetrics) cost: runs, their time, memory, a scrape.

Needs root, this repository's packages and a Python that can import bcc: on this machine, or in the
agent's container in the lab. Makes no events itself. Nanoseconds are of the kernel's BPF
statistics, 0 where these are off. Prints JSON.
"""

import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numapin_agent.bpf import syscalls
from numapin_agent.bpf.launch import LoadOptions
from numapin_agent.hostpaths import HostPaths
from numapin_agent.latency.held import Latency
from numapin_agent.latency.probes import PROBES
from numapin_agent.trace.kernel import instructions


def measure(probe: str, seconds: float) -> Mapping[str, Any]:
    """One probe by itself.

    Args:
        probe: of ``PROBES``.
        seconds: how long.

    Returns:
        Runs and nanoseconds of all its programs within ``seconds``, the most instructions that
        one of them holds, CPU seconds of a scrape; or ``problem`` alone.
    """
    refusals: list[Exception] = []
    latency = Latency((probe,), paths=_paths(), options=LoadOptions(), failed=refusals.append)
    try:
        latency.start()
        while latency.missing():
            if refusals:
                return {"problem": str(refusals[0])}
            time.sleep(0.05)
        before, began = _spent(latency, probe), time.monotonic()
        time.sleep(seconds)
        after, took = _spent(latency, probe), time.monotonic() - began
        scrape = time.process_time()
        list(latency.collect())
        return {
            "runs": after[0] - before[0],
            "nanoseconds": after[1] - before[1],
            "seconds": took,
            "instructions": max(instructions(fd) for fd in latency.programs(probe)),
            "scrape_seconds": time.process_time() - scrape,
        }
    finally:
        latency.stop()


def _paths() -> HostPaths:
    """The host's; the agent's container has its root at /host and devices' names only there."""
    root = Path("/host")
    return HostPaths(root) if (root / "proc").is_dir() else HostPaths()


def _spent(latency: Latency, probe: str) -> tuple[int, int]:
    """Runs and nanoseconds of its programs."""
    info = [syscalls.program_info(fd) for fd in latency.programs(probe)]
    return sum(i.runs for i in info), sum(i.run_nanoseconds for i in info)


def main(arguments: Sequence[str]) -> None:
    """Measure each probe for so many seconds."""
    (seconds,) = arguments
    probes = {probe: measure(probe, float(seconds)) for probe in PROBES}
    print(json.dumps({"kernel": platform.release(), "probes": probes}))


if __name__ == "__main__":
    main(sys.argv[1:])
