"""Trees that are broken or contradict themselves: what the message says."""

import shutil

import pytest
from support.sysfs_tree import Cpu, Machine, Style, machine, write

from numapin_agent.hostpaths import HostPaths
from numapin_agent.sysfs import kernel_release, numa_balancing, read_machine, read_topology
from numapin_agent.topology import RawMachine
from numapin_api.cpulist import CpuSet
from numapin_api.errors import TopologyError

CPU, NODE = "sys/devices/system/cpu", "sys/devices/system/node"


@pytest.fixture
def tree(tmp_path):
    """Two sockets of two NUMA nodes of two CPUs, one memory-only node."""
    write(machine(sockets=2, nodes=2, memory_only=1), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (f"{CPU}/online", "", r"cpu/online is empty; .* one online CPU at least"),
        (f"{CPU}/online", "0-", r"cpu/online: '0-' in '0-' is no cpulist range"),
        (f"{CPU}/online", "0-8", r"there is no .*/cpu8: each online CPU has a directory"),
        (f"{CPU}/online", "0-6", r"cpu/online is '0-6', but .*/cpu7/online is 1"),
        (f"{CPU}/cpu3/online", "0", r"cpu/online is '0-7', but .*/cpu3/online is 0"),
        (f"{CPU}/cpu3/online", "yes", r"cpu3/online is 'yes'; allowed are 0 and 1"),
        (f"{CPU}/cpu3/topology/physical_package_id", "one", r"is 'one'; allowed are -1 "),
        (f"{CPU}/cpu3/topology/physical_package_id", "", r"physical_package_id is ''; allowed"),
        (f"{CPU}/cpu3/topology/physical_package_id", "-2", r"is '-2'; allowed are -1"),
        (f"{CPU}/cpu3/topology/physical_package_id", "99999999999", r"0 to 2147483647"),
        (f"{NODE}/node1/cpulist", "2", r"cpumap holds online CPUs '2-3', but .*cpulist holds '2'"),
        (f"{NODE}/node1/cpumap", "0000000g", r"cpumap: '0000000g' in mask '0000000g'"),
        (f"{NODE}/node1/distance", "21 10 21 21", r"4 numbers; allowed are 5, one for each nodeN"),
        (f"{NODE}/node1/distance", "21 10 21 21 2x", r"allowed are numbers, 5 of them"),
        (f"{NODE}/node1/distance", "", r"distance is ''; allowed are numbers, 5 of them"),
        (f"{NODE}/node1/meminfo", "", r"meminfo has no MemTotal line"),
        (f"{NODE}/node1/meminfo", "Node 1 MemTotal: 12", r"allowed is 'Node 1 MemTotal: N kB'"),
        (f"{NODE}/node1/meminfo", "Node 2 MemTotal: 12 kB", r"allowed is 'Node 1 MemTotal: N kB'"),
        (f"{NODE}/node1/meminfo", "Node 1 MemTotal: -1 kB", r"has 'Node 1 MemTotal: -1 kB'"),
    ],
)  # fmt: skip
def test_message_names_file_value_and_what_is_allowed(tree, file, text, message):
    (tree / file).write_text(text)
    with pytest.raises(TopologyError, match=message) as caught:
        read_topology(HostPaths(tree))
    assert str(tree) in str(caught.value)


def test_cpu_in_two_nodes(tree):
    for name, text in (("cpulist", "0-2"), ("cpumap", "7")):
        (tree / NODE / "node0" / name).write_text(text)
    with pytest.raises(TopologyError, match="online CPU 2 is in node0 and in node1"):
        read_topology(HostPaths(tree))


def test_offline_cpu_in_two_nodes_is_of_no_interest(tmp_path):
    m = machine(sockets=2)
    write(Machine((*m.cpus[:-1], Cpu(3, 1, 1, online=False)), m.memory, m.distances), tmp_path)
    for node, cpus in ((0, "0-1,3"), (1, "2-3")):
        (tmp_path / NODE / f"node{node}/cpulist").write_text(cpus)
    topology = read_topology(HostPaths(tmp_path))
    assert [n.cpus for n in topology.nodes] == [CpuSet({0, 1}), CpuSet({2})]


def test_link_to_a_cpu_that_the_list_lacks(tree):
    (tree / NODE / "node1/cpu0").symlink_to("../../cpu/cpu0")
    with pytest.raises(TopologyError, match=r"node1/cpumap holds .*'2-3'.* links to '0'"):
        read_topology(HostPaths(tree))


@pytest.mark.parametrize("file", ["meminfo", "distance"])
def test_file_missing_in_one_node(tree, file):
    (tree / NODE / "node2" / file).unlink()
    with pytest.raises(TopologyError, match=f"node2/{file} is missing"):
        read_topology(HostPaths(tree))


def test_no_distance_at_all_is_what_the_kernel_assumes(tree):
    for file in tree.glob(f"{NODE}/node*/distance"):
        file.unlink()
    assert read_topology(HostPaths(tree)).distances[1] == (20, 10, 20, 20, 20)


def test_distance_with_a_column_for_a_node_that_went_offline(tree):
    shutil.rmtree(tree / NODE / "node4")
    assert read_topology(HostPaths(tree)).distances[1] == (21, 10, 21, 21)


@pytest.mark.parametrize("what", ["sys", CPU])
def test_not_a_root(tree, what):
    shutil.rmtree(tree / what)
    with pytest.raises(TopologyError, match=r"no cpuN directory: .* must hold the host's sys"):
        read_topology(HostPaths(tree))


def test_unreadable_file_is_named(tree):
    (tree / CPU / "online").unlink()
    (tree / CPU / "online").mkdir()
    with pytest.raises(TopologyError, match=r"cpu/online can't be read: Is a directory"):
        read_topology(HostPaths(tree))


def test_kernel_without_numa_and_without_meminfo(tmp_path):
    write(machine(sockets=2), tmp_path, Style(node_dirs=False))
    (tmp_path / "proc/meminfo").unlink()
    (node,) = read_topology(HostPaths(tmp_path)).nodes
    assert (node.id, str(node.cpus), node.memory_bytes, node.socket) == (0, "0-3", 0, None)


def test_empty_online_file_of_a_cpu_says_nothing(tree):
    (tree / CPU / "online").unlink()
    (tree / CPU / "cpu3/online").write_text("")
    assert 3 in read_topology(HostPaths(tree)).sockets[0].cpus


@pytest.mark.parametrize(
    ("text", "on"), [("0\n", False), ("1\n", True), ("2\n", False), ("3\n", True), (None, False)]
)
def test_numa_balancing(tmp_path, text, on):
    paths = HostPaths(tmp_path)
    if text is not None:
        paths.numa_balancing.parent.mkdir(parents=True)
        paths.numa_balancing.write_text(text)
    assert numa_balancing(paths) is on


def test_kernel_release(tmp_path):
    paths = HostPaths(tmp_path)
    with pytest.raises(TopologyError, match="osrelease is missing or empty"):
        kernel_release(paths)
    paths.kernel_release.parent.mkdir(parents=True)
    paths.kernel_release.write_text("6.12.117+deb13-cloud-amd64\n")
    assert kernel_release(paths) == "6.12.117+deb13-cloud-amd64"


def test_cpu_without_topology_is_where_its_siblings_say(tree):
    """cpu/online says it is there, so the maps of the others count."""
    shutil.rmtree(tree / CPU / "cpu5/topology")
    topology = read_topology(HostPaths(tree))
    assert [str(s.cpus) for s in topology.sockets] == ["0-3", "4-7"]


def test_sibling_maps_that_disagree_about_a_cpu(tree):
    shutil.rmtree(tree / CPU / "cpu5/topology")
    (tree / CPU / "cpu0/topology/core_siblings").write_text("2f")
    with pytest.raises(TopologyError, match=r"sibling maps name \[0, 1\] for it"):
        read_topology(HostPaths(tree))


def test_cpu_unplugged_in_the_middle_of_a_read(tree):
    """The first look sees both states; the second, later one is the answer."""
    states = ["0", "1"]

    def read(paths: HostPaths) -> RawMachine:
        (tree / CPU / "cpu7/online").write_text(states.pop(0))
        return read_machine(paths)

    assert read_topology(HostPaths(tree), read=read).sockets[1].cpus == CpuSet({4, 5, 6, 7})
    assert not states
