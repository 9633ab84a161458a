"""Every machine that hwloc keeps a dump of here gives exactly the topology on record.

Tarballs from hwloc (tests/hwloc/linux, see dumps/COPYING.hwloc). A field that an expected
file leaves out is not settled for that machine.
"""

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import read_topology
from numapin_api.cpulist import CpuSet

DUMPS = Path(__file__).with_name("dumps")
EXPECTED = sorted(DUMPS.glob("expected/*.json"))


@pytest.fixture
def unpack(tmp_path):
    """Unpack a dump and give the directory that is its root."""

    def unpack(name: str) -> HostPaths:
        with tarfile.open(DUMPS / f"{name}.tar.bz2") as tar:
            tar.extractall(tmp_path, members=(m for m in tar if wanted(m)), filter="tar")
        (root,) = tmp_path.iterdir()
        return HostPaths(root)

    return unpack


_WANTED = re.compile(
    r"[^/]+/(proc/meminfo|sys/devices/system/(cpu|node)(/[a-z_]+|/(cpu|node)\d+(/[a-z]+|/cpu\d+"
    r"|/topology(/physical_package_id|/(core_sibling|package_cpu)s)?)?)?)"
)


def wanted(member: tarfile.TarInfo) -> bool:
    """Leaves out caches, huge pages, memory blocks: most of a dump."""
    return _WANTED.fullmatch(member.name.removeprefix("./")) is not None


def comparable(topology: dict[str, Any]) -> dict[str, Any]:
    """The same with cpulists as sets: the order of a list is the writer's choice."""
    return {
        key: [
            {k: CpuSet.parse(v) if k == "cpus" else v for k, v in entry.items()}
            if isinstance(entry, dict)
            else entry
            for entry in value
        ]
        for key, value in topology.items()
    }


def as_json(topology):
    return {
        "sockets": [
            {"id": s.id, "cpus": str(s.cpus), "nodes": list(s.nodes)} for s in topology.sockets
        ],
        "nodes": [
            {"id": n.id, "cpus": str(n.cpus), "memoryBytes": n.memory_bytes, "socket": n.socket}
            for n in topology.nodes
        ],
        "distances": [list(row) for row in topology.distances],
    }


def test_there_are_dumps():
    assert len(EXPECTED) >= 14


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda p: p.stem)
def test_dump(expected, unpack):
    want = json.loads(expected.read_text())
    got = as_json(read_topology(unpack(expected.stem)))
    assert comparable({k: got[k] for k in want}) == comparable(want)
