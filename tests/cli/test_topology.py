"""``numapin topology``: the promised JSON, the picture, and failures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from support.sysfs_tree import Style, expected, machine, write

from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.topology import NumaNode, Socket, Topology
from numapin_cli.views.picture import MOST_BOXES, picture


def drawn(topology: Topology, *, encoding: str = "utf-8") -> list[str]:
    with Path("/dev/null").open("w", encoding=encoding) as sink:
        console = Console(width=200, file=sink, record=True)
        console.print(picture(topology))
        return console.export_text().splitlines()


def test_json_is_exactly_what_is_promised(tmp_path, numapin):
    write(machine(sockets=2, memory_only=1), tmp_path)
    run = numapin("topology", "--root", tmp_path, "-o", "json")
    assert (run.status, run.err) == (0, "")
    assert json.loads(run.out) == {
        "sockets": [
            {"id": 0, "cpus": "0-1", "nodes": [0]},
            {"id": 1, "cpus": "2-3", "nodes": [1]},
        ],
        "nodes": [
            {"id": 0, "cpus": "0-1", "memoryBytes": 1 << 30, "socket": 0},
            {"id": 1, "cpus": "2-3", "memoryBytes": 2 << 30, "socket": 1},
            {"id": 2, "cpus": "", "memoryBytes": 3 << 30, "socket": None},
        ],
        "distances": [[10, 21, 21], [21, 10, 21], [21, 21, 10]],
    }


def test_yaml_says_the_same(tmp_path, numapin):
    write(machine(sockets=2, nodes=2), tmp_path)
    as_json = numapin("topology", "--root", tmp_path, "-o", "json")
    as_yaml = numapin("topology", "--root", tmp_path, "-o", "yaml")
    assert yaml.safe_load(as_yaml.out) == json.loads(as_json.out)


def test_contradiction_is_a_message_and_status_1(tmp_path, numapin):
    write(machine(sockets=2), tmp_path)
    (tmp_path / "sys/devices/system/node/node1/cpulist").write_text("0-3")
    run = numapin("topology", "--root", tmp_path, "-o", "json")
    assert (run.status, run.out) == (1, "")
    assert run.err.startswith("numapin: ")
    assert "node1" in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["topology", "-o", "xml"],
        ["topology", "--root", "/nonexistent"],
        ["topology", "extra"],
        ["nosuch"],
        ["status", "-A", "-n", "x"],
        ["explain"],
    ],
)
def test_wrong_usage_is_status_2(arguments, numapin):
    run = numapin(*arguments)
    assert (run.status, run.out) == (2, "")
    assert "Usage" in run.err


def test_as_a_plugin_of_kubectl_it_calls_itself_so(numapin):
    run = numapin("topology", "--help", argv0="/usr/bin/kubectl-numapin")
    assert "Usage: kubectl numapin topology" in run.out
    assert "kubectl numapin topology -o json" in run.out


@pytest.mark.parametrize("command", ["topology", "nodes", "status", "explain"])
def test_every_command_has_help_with_examples(command, numapin):
    run = numapin(command, "-h")
    assert run.status == 0
    assert "Examples:" in run.out
    assert f"numapin {command}" in run.out
    assert max(map(len, run.out.splitlines())) <= 96


def test_topology_loads_no_cluster_client(tmp_path):
    """What makes it quick: 0.15 s instead of a second."""
    write(machine(sockets=1), tmp_path)
    script = (
        "import sys\n"
        "from numapin_cli.main import main\n"
        f"try: main(['topology', '--root', {str(tmp_path)!r}, '-o', 'json'], 'numapin')\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "slow = {'kubernetes', 'pydantic', 'rich', 'yaml'} & sys.modules.keys()\n"
        "sys.exit(', '.join(slow) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_picture_says_it_all():
    lines = drawn(expected(machine(sockets=2, nodes=2, memory_only=1)))
    text = "\n".join(lines)
    assert lines[0] == "2 sockets, 5 NUMA nodes, 8 CPUs, 15.0 GiB"
    for part in ("socket 0, 4 CPUs", "socket 1, 4 CPUs", "CPUs 6-7", "NUMA node 3", "4.0 GiB"):
        assert part in text
    assert "NUMA node 4 has memory only: 5.0 GiB" in lines
    assert "node 3  21  21  21  10  21" in lines


def test_picture_of_a_node_that_spans_sockets():
    m = machine(sockets=2, nodes=1)
    lines = drawn(expected(m, Style(node_dirs=False)))
    assert "NUMA node 0 is shared by sockets 0, 1: 3.0 GiB" in lines
    assert sum("CPUs 0-1" in line and "CPUs 2-3" in line for line in lines) == 1


def test_picture_in_plain_ascii():
    for line in drawn(expected(machine(sockets=2)), encoding="ascii"):
        line.encode("ascii")


ids = st.integers(0, 1023)


@settings(max_examples=60, deadline=None)
@given(
    sockets=st.lists(st.integers(0, 1 << 30), min_size=1, max_size=20, unique=True),
    cpus=st.lists(st.sets(st.integers(0, 8191), min_size=1, max_size=60), min_size=20, max_size=20),
    nodes=st.lists(ids, min_size=1, max_size=40, unique=True),
    memory=st.integers(0, 1 << 50),
    data=st.data(),
)
def test_picture_fits_80_columns(sockets, cpus, nodes, memory, data):
    """Whatever the machine: any ids, any cpulists, nodes anywhere or nowhere."""
    owner = {n: data.draw(st.sampled_from([None, *sockets])) for n in nodes}
    topology = Topology(
        sockets=tuple(
            Socket(
                id=s,
                cpus=CpuSet(c),
                nodes=NodeSet(n for n in nodes if owner[n] in (s, None)),
            )
            for s, c in zip(sorted(sockets), cpus, strict=False)
        ),
        nodes=tuple(
            NumaNode(id=n, cpus=CpuSet(cpus[0] | cpus[1]), memory_bytes=memory, socket=owner[n])
            for n in sorted(nodes)
        ),
        distances=tuple(tuple(data.draw(ids) for _ in nodes) for _ in nodes),
    )
    lines = drawn(topology)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    if len(sockets) <= MOST_BOXES:
        assert all(f"socket {s}, " in text for s in sockets)
