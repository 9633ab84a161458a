"""Pods' cgroups coming and going, seen through real inotify."""

import queue
import shutil
from pathlib import Path

import pytest
from support.fake_cgroups import FakeKernel

from numapin_agent.cgroup import CgroupHost, CgroupWatch
from numapin_agent.cgroup.watch import Changes

POD = "kubepods-burstable-pod{}.slice"


@pytest.fixture
def host(tmp_path):
    kernel = FakeKernel.make(tmp_path)
    return CgroupHost.discover(kernel.paths)


@pytest.fixture
def watch(host):
    watch = CgroupWatch(host)
    yield watch
    watch.close()


def test_pods_there_already_are_told_first(host, watch):
    (host.root / "kubepods-podold.slice").mkdir()
    assert watch.wait(5) == Changes(("old",), ())
    assert watch.wait(0.001) == Changes((), ())


def test_a_pod_that_comes_and_goes(host, watch):
    burstable = host.root / "kubepods-burstable.slice"
    burstable.mkdir()
    watch.wait(0.001)
    (burstable / POD.format("a_b")).mkdir()
    assert watch.wait(5) == Changes(("a-b",), ())
    (burstable / POD.format("a_b")).rmdir()
    assert watch.wait(5) == Changes((), ("a-b",))


def test_a_qos_directory_that_appears_with_pods_in_it_and_vanishes(host, watch):
    watch.wait(0.001)
    burstable = host.root / "kubepods-burstable.slice"
    for _ in range(2):
        burstable.mkdir()
        (burstable / POD.format("x")).mkdir()
        assert "x" in watch.wait(5).appeared
        shutil.rmtree(burstable)
        gone = ()
        while "x" not in gone:
            gone = watch.wait(5).vanished


def test_a_root_that_vanishes_and_comes_back(host, watch):
    watch.wait(0.001)
    shutil.rmtree(host.root)
    watch.wait(0.1)
    (host.root / "kubepods-podz.slice").mkdir(parents=True)
    seen = ()
    while "z" not in seen:
        seen = watch.wait(5).appeared


def test_other_directories_wake_nobody_for_nothing(host, watch):
    watch.wait(0.001)
    (host.root / "init.scope").mkdir()
    assert watch.wait(0.001) == Changes((), ())


def test_lost_events_are_made_up_for_by_a_scan(host, watch):
    watch.wait(0.001)
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip(f"the inotify queue holds {most} events here: too many to overflow")
    for n in range(most // 2 + 1):
        path = host.root / f"x{n}"
        path.mkdir()
        path.rmdir()
    (host.root / "kubepods-podlate.slice").mkdir()
    seen = ()
    while "late" not in seen:
        seen = watch.wait(5).appeared


def test_callbacks_from_a_thread(host):
    events = queue.Queue()
    watch = CgroupWatch(host)
    watch.start(lambda uid: events.put(("+", uid)), lambda uid: events.put(("-", uid)))
    (host.root / "kubepods-podq.slice").mkdir()
    assert events.get(timeout=5) == ("+", "q")
    (host.root / "kubepods-podq.slice").rmdir()
    assert events.get(timeout=5) == ("-", "q")
    watch.close()
