"""Finding the kubelet's tree and pods in it, on a fake cgroup root."""

import shutil
from pathlib import Path

import pytest
from support.fake_cgroups import UID, FakeKernel, FakePaths, container

from numapin_agent.cgroup import CgroupHost
from numapin_agent.hostpaths import HostPaths
from numapin_api.errors import CgroupError, UnsupportedError

SYSTEMD = (
    "kubepods.slice/kubepods-burstable.slice/"
    "kubepods-burstable-pod0c2b8caf_6b5e_4a55_9d3f_0a1b2c3d4e5f.slice"
)


@pytest.mark.parametrize(
    ("kubepods", "driver"),
    [
        ("kubepods.slice", "systemd"),
        ("kubepods", "cgroupfs"),
        ("kubelet/kubepods", "cgroupfs"),
        ("kubelet.slice/kubelet-kubepods.slice", "systemd"),
        ("system.slice/docker-1f.scope/kubelet.slice/kubelet-kubepods.slice", "systemd"),
        ("docker/1f/kubelet/kubepods", "cgroupfs"),
        ("custom/kubepods", "cgroupfs"),
    ],
)
def test_root_and_driver_are_found(tmp_path, kubepods, driver):
    kernel = FakeKernel.make(tmp_path, kubepods)
    host = CgroupHost.discover(kernel.paths)
    assert (host.version, host.driver, host.problem) == (2, driver, None)
    assert host.root == kernel.paths.cgroup / kubepods


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["cpuset/tasks", "memory/tasks", "unified/cgroup.controllers"], "hybrid"),
        (["cpuset/tasks", "cpuset/kubepods/tasks"], "is cgroup v1"),
        ([], "no cgroup file system"),
    ],
)
def test_other_hierarchies_are_refused(tmp_path, files, words):
    paths = FakePaths(tmp_path)
    for name in files:
        (paths.cgroup / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.cgroup / name).write_text("")
    host = CgroupHost.discover(paths)
    assert (host.version, host.driver, host.root) == (1, "unknown", None)
    for call in (lambda: host.find_pod(UID), lambda: list(host.pods()), host.qos_dirs):
        with pytest.raises(UnsupportedError, match=words):
            call()


def test_this_machine_is_told_truly():
    host = CgroupHost.discover(HostPaths())
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert host.version == (2 if unified else 1)
    assert (host.root is None) == (host.problem is not None)


def test_no_kubelet(tmp_path):
    kernel = FakeKernel.make(tmp_path, "system.slice")
    assert "does a kubelet run here" in (CgroupHost.discover(kernel.paths).problem or "")


def test_an_empty_tree_of_the_former_driver_is_passed_over(tmp_path):
    kernel = FakeKernel.make(tmp_path, "kubepods.slice")
    old = kernel.mkdir("kubepods")
    (old / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    assert CgroupHost.discover(kernel.paths).driver == "systemd"


def test_two_live_trees_are_ambiguous(tmp_path):
    kernel = FakeKernel.make(tmp_path, "kubepods.slice")
    kernel.mkdir("kubepods")
    host = CgroupHost.discover(kernel.paths)
    assert host.root is None
    assert "kubepods and kubepods.slice" in (host.problem or "")


def test_a_nested_cluster_does_not_hide_the_nodes_own(tmp_path):
    kernel = FakeKernel.make(tmp_path, "kubepods.slice")
    kernel.mkdir("docker/1f/kubelet/kubepods")
    assert CgroupHost.discover(kernel.paths).root == kernel.paths.cgroup / "kubepods.slice"


def test_pods_of_all_classes(tmp_path):
    kernel = FakeKernel.make(tmp_path)
    kernel.mkdir("kubepods.slice/kubepods-burstable.slice")
    kernel.mkdir(SYSTEMD)
    kernel.mkdir("kubepods.slice/kubepods-besteffort.slice/")
    kernel.mkdir("kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podb.slice")
    kernel.mkdir("kubepods.slice/kubepods-poda.slice")
    host = CgroupHost.discover(kernel.paths)
    assert [(p.uid, p.qos) for p in host.pods()] == [
        ("a", "Guaranteed"),
        (UID, "Burstable"),
        ("b", "BestEffort"),
    ]
    pod = host.find_pod(UID)
    assert pod is not None
    assert pod.path == kernel.paths.cgroup / SYSTEMD
    assert host.find_pod("c") is None


@pytest.mark.parametrize("uid", ["", "../../etc", "a/b", "a_b", "x" * 65])
def test_a_uid_that_is_none_never_becomes_a_path(tmp_path, uid):
    host = CgroupHost.discover(FakeKernel.make(tmp_path).paths)
    with pytest.raises(CgroupError, match="pod UID"):
        host.find_pod(uid)


def test_a_symbolic_link_is_no_pod(tmp_path):
    kernel = FakeKernel.make(tmp_path, "kubepods")
    outside = tmp_path / "outside"
    outside.mkdir()
    (kernel.paths.cgroup / "kubepods" / "podx").symlink_to(outside)
    host = CgroupHost.discover(kernel.paths)
    assert host.find_pod("x") is None
    assert list(host.pods()) == []


def test_what_a_pod_tells(tmp_path):
    kernel = FakeKernel.make(tmp_path)
    kernel.mkdir("kubepods.slice/kubepods-burstable.slice")
    path = kernel.mkdir(SYSTEMD, own=("2-3", "1"))
    first = kernel.mkdir(f"{SYSTEMD}/cri-containerd-{container('a')}.scope")
    second = kernel.mkdir(f"{SYSTEMD}/cri-containerd-{container('b')}.scope", own=("0-1", ""))
    kernel.mkdir(f"{SYSTEMD}/cri-containerd-{container('b')}.scope/inner")
    (path / "cpu.stat").write_text("usage_usec 7\nuser_usec 1\n")
    (path / "memory.stat").write_text(
        "anon 4096\nworkingset_refault_file 5\nnuma_pages_migrated 12\n"
    )
    (first / "cgroup.procs").write_text("12\n10\n")
    (second / "inner" / "cgroup.procs").write_text("11\n0\n0\n")
    for pid, tasks, pages in ((10, 1, 5), (11, 3, 4000), (12, 6, 30)):
        for task in range(tasks):
            (kernel.paths.proc / str(pid) / "task" / str(task)).mkdir(parents=True)
        (kernel.paths.proc / str(pid) / "statm").write_text(f"9000 {pages} 1 1 0 1 0\n")
    pod = CgroupHost.discover(kernel.paths).find_pod(UID)
    assert pod is not None
    assert [(c.id, c.path) for c in pod.containers()] == [
        (container("a"), first),
        (container("b"), second),
    ]
    assert str(pod.effective()) == "cpus 2-3 mems 1"
    assert str(pod.parent_effective()) == "cpus 0-3 mems 0-1"
    # the kernel runs a container with an empty intersection on its parent's CPUs
    assert str(pod.effective_of(second)) == "cpus 2-3 mems 1"
    assert str(pod.own(second)) == "cpus 0-1 mems -"
    assert pod.processes() == (0, 10, 11, 12)
    assert pod.threads() == 3  # of 11: 12 has more, and next to no memory
    assert pod.cpu_nanoseconds() == 7000
    assert pod.numa_pages_migrated() == 12
    assert pod.page_cache_refaults() == 5
    assert pod.cgroup_ids() == {p.stat().st_ino for p in (path, first, second, second / "inner")}


def test_effective_of_a_cgroup_without_the_controller_is_its_ancestors(tmp_path):
    kernel = FakeKernel.make(tmp_path, "kubepods")
    path = kernel.mkdir("kubepods/podx", own=("0-1", "0"))
    inner = kernel.mkdir(f"kubepods/podx/{container('c')}")
    (inner / "cpuset.cpus.effective").unlink()
    (inner / "cpuset.mems.effective").unlink()
    pod = CgroupHost.discover(kernel.paths).find_pod("x")
    assert pod is not None
    assert str(pod.effective_of(inner)) == "cpus 0-1 mems 0"
    shutil.rmtree(path)
    assert not pod.exists()
    assert (pod.containers(), pod.processes(), pod.residency()) == ((), (), {})
    with pytest.raises(CgroupError, match="the cgroup is gone"):
        pod.effective()
