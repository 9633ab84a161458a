"""A made-up machine for one-socket hosts: each of the first two CPUs a socket of its own."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode, Socket, Topology

CPUS = sorted(os.sched_getaffinity(0))
MADE_UP = Topology(
    (
        Socket(0, CpuSet(CPUS[:1]), NodeSet([0])),
        Socket(1, CpuSet(CPUS[1:]), NodeSet()),
    ),
    (NumaNode(0, CpuSet(CPUS), 1 << 30, None),),
    ((10,),),
)
"""Each of the first two CPUs a socket, so that a one-socket machine has something to count."""


def one_socket(cpus: Iterable[int] = CPUS) -> Topology:
    """The made-up machine with these CPUs as its only socket."""
    return Topology((Socket(0, CpuSet(cpus), NodeSet([0])),), MADE_UP.nodes, ((10,),))


def hop_in(cgroup: Path, times: int) -> None:
    """A process of that cgroup goes from the first CPU to the second and back."""
    code = (
        "import os, sys\n"
        "open(sys.argv[1], 'w').write('0')\n"
        "a, b, n = map(int, sys.argv[2:])\n"
        "for i in range(n):\n"
        "    os.sched_setaffinity(0, {a}); os.sched_setaffinity(0, {b})\n"
    )
    args = [str(cgroup / "cgroup.procs"), str(CPUS[0]), str(CPUS[1]), str(times)]
    subprocess.run([sys.executable, "-S", "-c", code, *args], check=True)
