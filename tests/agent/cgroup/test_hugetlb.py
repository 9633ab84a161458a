"""Huge pages: the node's pools, the controller's files, and their part in what is resident."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.fake_cgroups import UID, FakeKernel

from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.hugetlb import parse_numa_stat, pools, size_name
from numapin_agent.hostpaths import HostPaths
from numapin_api.errors import CgroupError

MIB = 1 << 20


def pool(root: Path, kilobytes: int, pages: str) -> None:
    directory = HostPaths(root).hugepages / f"hugepages-{kilobytes}kB"
    directory.mkdir(parents=True)
    (directory / "nr_hugepages").write_text(pages)


def test_only_sizes_with_pages_are_asked_for(tmp_path):
    pool(tmp_path, 2048, "512\n")
    pool(tmp_path, 1048576, "0\n")
    assert pools(HostPaths(tmp_path)) == ("2MB",)


def test_a_pool_that_cannot_be_read_is_none(tmp_path):
    pool(tmp_path, 2048, "many\n")
    (HostPaths(tmp_path).hugepages / "hugepages-64kB").mkdir()
    assert pools(HostPaths(tmp_path)) == ()


@pytest.mark.parametrize(
    ("kilobytes", "name"),
    [(64, "64KB"), (2048, "2MB"), (32768, "32MB"), (1 << 20, "1GB"), (16 << 20, "16GB")],
)
def test_names_of_the_controllers_files(kilobytes, name):
    assert size_name(kilobytes) == name


@pytest.mark.parametrize(
    ("text", "found"),
    [("", {}), ("total=4194304 N0=0 N1=4194304\n", {0: 0, 1: 4194304}), ("total=0 N8=0\n", {8: 0})],
)
def test_bytes_by_node(text, found):
    assert parse_numa_stat(text) == found


@pytest.mark.parametrize("text", ["N0", "0=1", "total=1 N=1", "N1=x"])
def test_malformed_is_an_error(text):
    with pytest.raises(CgroupError, match="is not N<node>=<bytes>"):
        parse_numa_stat(text)


@pytest.fixture
def found(tmp_path):
    """A pod with 4 MiB on node 0 and 512 huge pages, most of them on node 1."""
    kernel = FakeKernel.make(tmp_path, "kubepods")
    directory = kernel.mkdir(f"kubepods/pod{UID}")
    (directory / "memory.numa_stat").write_text(f"anon N0={4 * MIB} N1=0\n")
    (directory / "hugetlb.2MB.numa_stat").write_text(
        f"total={1024 * MIB} N0={2 * MIB} N1={1022 * MIB}\n"
    )
    return CgroupHost.discover(kernel.paths)


def test_huge_pages_are_resident_but_not_what_a_move_takes_along(found):
    pod = replace(found, hugetlb=lambda: ("1GB", "2MB")).find_pod(UID)
    assert pod.huge_pages() == {0: 2 * MIB, 1: 1022 * MIB}
    assert pod.residency() == {0: 6 * MIB, 1: 1022 * MIB}
    assert pod.memory().movable == {0: 4 * MIB, 1: 0}


def test_a_node_without_pools_asks_for_none(found):
    pod = found.find_pod(UID)
    assert pod.huge_pages() == {}
    assert pod.residency() == {0: 4 * MIB, 1: 0}
