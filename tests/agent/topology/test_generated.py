"""Made-up machines, written as any kernel would show them, read back and compared."""

import tempfile
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sysfs_tree import Cpu, Machine, Style, expected, machine, write

from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import read_topology
from numapin_api.errors import TopologyError
from numapin_api.topology import Topology

FILES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(m: Machine, style: Style | None = None) -> Topology:
    with tempfile.TemporaryDirectory() as root:
        write(m, Path(root), style)
        return read_topology(HostPaths(Path(root)))


@pytest.mark.parametrize(
    ("sockets", "nodes", "memory_only"), list(product((1, 2, 4, 8), (1, 2, 4), (0, 2)))
)
def test_regular(sockets, nodes, memory_only):
    m = machine(sockets=sockets, nodes=nodes, memory_only=memory_only)
    topology = read(m)
    assert topology == expected(m)
    assert len(topology.sockets) == sockets
    assert [len(s.nodes) for s in topology.sockets] == [nodes] * sockets
    assert len(topology.nodes) == sockets * nodes + memory_only
    assert [n.socket for n in topology.nodes if not n.cpus] == [None] * memory_only


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Sparse ids everywhere, CPUs anywhere, nodes that span packages, without CPUs or memory."""
    cpu_ids = draw(st.sets(st.integers(0, 90), min_size=1, max_size=24))
    packages = draw(st.lists(st.integers(0, 1 << 20), min_size=1, max_size=8, unique=True))
    nodes = draw(st.lists(st.integers(0, 300), min_size=1, max_size=9, unique=True))
    cpus = tuple(
        Cpu(
            id=i,
            package=draw(st.sampled_from(packages)),
            node=draw(st.sampled_from(nodes)),
            online=draw(st.integers(0, 4)) > 0,
        )
        for i in sorted(cpu_ids)
    )
    if not any(c.online for c in cpus):
        cpus = (Cpu(cpus[0].id, cpus[0].package, cpus[0].node), *cpus[1:])
    # cpu0 has no online file: the kernel can't take it down, so neither do we
    cpus = tuple(Cpu(c.id, c.package, c.node, online=c.online or c.id == 0) for c in cpus)
    return Machine(
        cpus=cpus,
        memory={n: draw(st.one_of(st.just(0), st.integers(1, 1 << 42))) for n in nodes},
        distances=tuple(tuple(draw(st.integers(0, 255)) for _ in nodes) for _ in nodes),
    )


styles = st.builds(
    Style,
    cpu_online=st.booleans(),
    own_online=st.booleans(),
    cpulist=st.booleans(),
    cpumap=st.booleans(),
    links=st.booleans(),
    packages=st.sampled_from(["given", "minus-one", "absent"]),
    nul=st.booleans(),
    offline_in_maps=st.booleans(),
    node_dirs=st.booleans(),
).filter(lambda s: s.cpulist or s.cpumap or s.links)


@FILES
@given(m=machines(), style=styles)
def test_any_machine_in_any_style(m, style):
    assert read(m, style) == expected(m, style)


@FILES
@given(m=machines(), data=st.data())
def test_a_missing_package_id_is_had_from_the_siblings(m, data):
    """Where the CPU shares its package with one that has an id; else it is refused."""
    cpu = data.draw(st.sampled_from([c for c in m.cpus if c.online]))
    style = Style(without_package=frozenset({cpu.id}))
    with_id = [c for c in m.cpus if c.online and c != cpu]
    if any(c.package == cpu.package for c in with_id):
        assert read(m, style) == expected(m)
    elif with_id:
        with pytest.raises(TopologyError, match=f"cpu{cpu.id}/topology/physical_package_id"):
            read(m, style)
    else:
        assert read(m, style) == expected(m, Style(packages="absent"))


@FILES
@given(m=machines(), nul=st.booleans(), data=st.data())
def test_a_cut_file_never_gives_a_wrong_map(m, nul, data):
    """cpu/online, cpulist, cpumap and distance vouch for each other."""
    with tempfile.TemporaryDirectory() as root:
        write(m, Path(root), Style(nul=nul))
        files = [
            f
            for name in ("online", "cpulist", "cpumap", "distance")
            for f in sorted(Path(root).glob(f"sys/devices/system/**/{name}"))
        ]
        file = data.draw(st.sampled_from(files))
        text = file.read_text()
        file.write_text(text[: data.draw(st.integers(0, len(text)))])
        try:
            got = read_topology(HostPaths(Path(root)))
        except TopologyError as e:
            assert any(part in str(e) for part in (str(file), "node", "online"))  # noqa: PT017
            return
        want = expected(m)
        assert (got.sockets, got.nodes) == (want.sockets, want.nodes)
        if file.name != "distance":
            assert got.distances == want.distances


@FILES
@given(m=machines(), garbage=st.text(max_size=30), data=st.data())
def test_garbage_gives_a_topology_error_or_an_answer(m, garbage, data):
    with tempfile.TemporaryDirectory() as root:
        write(m, Path(root))
        files = sorted(f for f in Path(root).rglob("*") if f.is_file() and not f.is_symlink())
        data.draw(st.sampled_from(files)).write_text(garbage, encoding="utf-8")
        try:
            topology = read_topology(HostPaths(Path(root)))
        except TopologyError as e:
            assert root in str(e)  # noqa: PT017
        else:
            assert topology.sockets
