"""How long a node's other work waits while a 2 GB pod is pinned: numapin beside plain writes.

The measuring is done by ``guest/stall.py`` on a node of the lab, with the agent's own code
from this checkout; here it is only sent there, run, and put into rows.
"""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

import inotify_simple
import jeepney
from bench.harness import Bed, Row

from numapin_lab import nodes

TITLE = "longest stall of unrelated work while a 2 GB pod is pinned"
NEEDS_LAB = True

NODE = "numa-0"
THERE = "/run/numapin-bench"
MEBIBYTES = 1800
"""What a NUMA node of the lab holds beside everything else."""
SECONDS = 120
IDLE, OURS = "idle", "numapin"
CHECKOUT = Path(__file__).parent.parent
PARTS = (
    CHECKOUT / "crds" / "numapin_api",
    CHECKOUT / "agent" / "numapin_agent",
    Path(jeepney.__file__).parent,
    Path(inotify_simple.__file__),
    Path(__file__).parent / "guest" / "stall.py",
)


def send(bed: Bed) -> None:
    """Put the agent's packages, what they need and the measuring script onto the node."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for part in PARTS:
            tar.add(part, part.name, filter=lambda i: None if "__pycache__" in i.name else i)
    unpack = f"rm -rf {THERE} && mkdir {THERE} && tar xz -C {THERE}"
    ssh = nodes.ssh(bed.lab.node(NODE), bed.lab.paths, [unpack])
    subprocess.run(ssh, input=packed.getvalue(), check=True, timeout=120)


def measure(bed: Bed) -> Iterable[Row]:
    """Pin a pod's worth of memory in each way, with the neighbours timed all the while."""
    send(bed)
    script = (
        f"cd {THERE} && PYTHONPATH=. python3 stall.py --mebibytes {MEBIBYTES} "
        f"--seconds {SECONDS} --json rows.json >&2 && cat rows.json; "
        f"rc=$?; rm -rf {THERE}; exit $rc"
    )
    ways = {w["way"]: w for w in json.loads(bed.ssh(NODE, script, seconds=1800))}
    idle = ways[IDLE]["longest"]
    for name, way in ways.items():
        if name != IDLE:
            yield Row(f"{name}: until pinned", way["seconds"], "s")
    for work in idle:
        for name, way in ways.items():
            longest = way["longest"][work]
            limit = 2 * idle[work]
            if name == OURS:
                goal, met = f"≤ {1000 * limit:.0f} ms (2 x idle)", longest <= limit
                yield Row(f"{work}: {name}", 1000 * longest, "ms", goal=goal, met=met)
            else:
                yield Row(f"{work}: {name}", 1000 * longest, "ms")
