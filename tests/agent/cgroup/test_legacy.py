"""Pods of cgroup v1 hosts: found in the memory controller's hierarchy, counted, never pinned."""

import os
from pathlib import Path

import pytest
from support.fake_cgroups import UID, FakePaths

from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.activity import Activity
from numapin_agent.cgroup.legacy import LegacyPod, parse_numa_stat
from numapin_api.errors import CgroupError, UnsupportedError

NUMA_STAT = """\
total=6414 N0=6414 N1=0
anon=374 N0=374 N1=0
hierarchical_total=111 N0=11 N1=100
hierarchical_file=30 N0=10 N1=20
hierarchical_anon=71 N0=1 N1=70
hierarchical_unevictable=10 N0=0 N1=10
"""
SLICE = (
    f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
)


@pytest.fixture(params=[f"kubepods/burstable/pod{UID}", SLICE])
def host(tmp_path: Path, request: pytest.FixtureRequest) -> CgroupHost:
    paths = FakePaths(tmp_path)
    for controller in ("memory", "cpuacct", "cpuset"):
        (paths.cgroup / controller / request.param / "a").mkdir(parents=True)
    memory = paths.cgroup / "memory" / request.param
    (memory / "memory.numa_stat").write_text(NUMA_STAT)
    (memory / "memory.stat").write_text(
        "pgfault 1\ntotal_pgfault 20\ntotal_pgmajfault 3\ntotal_workingset_refault_file 4\n"
    )
    (paths.cgroup / "cpuacct" / request.param / "cpuacct.usage").write_text("5000000000\n")
    return CgroupHost.discover(paths)


def pod(host: CgroupHost) -> LegacyPod:
    (found,) = host.counted()
    assert isinstance(found, LegacyPod)
    return found


def test_a_pod_can_be_counted_but_not_looked_up_to_be_pinned(host):
    found = pod(host)
    assert found.uid == UID
    assert found.cgroup_ids() == {p.stat().st_ino for p in (found.path, found.path / "a")}
    assert host.version == 1
    with pytest.raises(UnsupportedError, match="is cgroup v1"):
        host.find_pod(UID)
    with pytest.raises(UnsupportedError, match="is cgroup v1"):
        list(host.pods())


def test_its_numbers_are_of_it_and_all_below(host):
    found, page = pod(host), os.sysconf("SC_PAGE_SIZE")
    assert found.residency() == {0: 11 * page, 1: 100 * page}
    assert found.cpu_nanoseconds() == 5_000_000_000
    assert found.activity() == Activity(page_faults=20, major_page_faults=3, refaulted_file=4)
    assert found.page_cache_refaults() == 4
    assert found.numa_pages_migrated() is None
    assert found.huge_pages() == {}


def test_a_pod_that_has_just_gone_has_nothing(host):
    found = pod(host)
    gone = LegacyPod(UID, found.path.with_name("gone"), memory=found.memory, page_size=4096)
    assert gone.cgroup_ids() == frozenset()
    assert (gone.residency(), gone.cpu_nanoseconds(), gone.activity()) == ({}, 0, Activity())


def test_a_host_without_kubelet_has_no_pods(tmp_path):
    paths = FakePaths(tmp_path)
    (paths.cgroup / "memory/system.slice").mkdir(parents=True)
    assert list(CgroupHost.discover(paths).counted()) == []


def test_a_host_without_a_memory_controller_says_why_nothing_is_counted(tmp_path):
    paths = FakePaths(tmp_path)
    (paths.cgroup / "cpuset").mkdir(parents=True)
    with pytest.raises(UnsupportedError, match="is cgroup v1"):
        list(CgroupHost.discover(paths).counted())


@pytest.mark.parametrize("field", ["N0", "0=1", "N=1", "N1=x"])
def test_malformed_is_an_error(field):
    with pytest.raises(CgroupError, match="is not N<node>=<pages>"):
        parse_numa_stat(f"hierarchical_anon=1 {field}\n")


def test_a_usage_that_is_no_number_is_an_error(host):
    found = pod(host)
    usage = found.memory.parent / "cpuacct" / found.path.relative_to(found.memory) / "cpuacct.usage"
    usage.write_text("much\n")
    with pytest.raises(CgroupError, match="'much' is not a number"):
        found.cpu_nanoseconds()
