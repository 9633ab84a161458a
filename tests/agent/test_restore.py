"""Giving cpusets back without an agent: what is found, what is written, what is left alone."""

import os
from datetime import UTC, datetime

import pytest
from support.fake_cgroups import UID, FakeKernel, container

from numapin_agent.cgroup import CgroupHost
from numapin_agent.cgroup.write import FileCpusets
from numapin_agent.claim import claim, claimed
from numapin_agent.hostpaths import HostPaths
from numapin_agent.pin.checkpoint import Checkpoint
from numapin_agent.pin.values import Record
from numapin_agent.restore import Restorer
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import StateError, SystemdError, UnsupportedError

OTHER = "11111111-6b5e-4a55-9d3f-0a1b2c3d4e5f"


class Writer(FileCpusets):
    """Writes files, after which the fake kernel computes the effective sets."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.released: list[str] = []
        self.refuse = self.forgetful = False

    def release(self, pod):
        self.released.append(pod.uid)
        if self.refuse:
            raise SystemdError("PID 1 says no")
        if not self.forgetful:
            super().release(pod)
            self.kernel.settle()


class Node:
    """A node that an agent has left, with what it wrote down."""

    def __init__(self, root) -> None:
        self.kernel = FakeKernel.make(root, "kubepods")
        self.kernel.mkdir("kubepods/burstable")
        self.writer = Writer(self.kernel)
        self.checkpoint = Checkpoint(root / "run/numapin/pins")

    def pod(self, uid: str, own: tuple[str, str] = ("2-3", "1")):
        path = self.kernel.mkdir(f"kubepods/burstable/pod{uid}", own=own)
        self.kernel.mkdir(f"kubepods/burstable/pod{uid}/{container('a')}")
        return path

    def record(self, uid: str, name: str = "db") -> None:
        self.checkpoint.save(
            Record(
                uid=uid,
                namespace="default",
                name=name,
                cpus=CpuSet.parse("2-3"),
                mems=NodeSet.parse("1"),
                time=datetime(2026, 11, 23, tzinfo=UTC),
                settled=True,
            )
        )

    def restore(self, **more: bool) -> list[tuple[str, str, str]]:
        """Name, result and the cpuset afterwards, of every pod."""
        host = CgroupHost.discover(self.kernel.paths)
        restorer = Restorer(host, self.writer, self.checkpoint)
        wanted = {"dry_run": False, "all_pods": False} | more
        outcomes = [restorer.restore(found, **wanted) for found in restorer.find()]
        self.messages = [o.message for o in outcomes]
        return [(o.found.name, o.result, str(o.after)) for o in outcomes]

    def effective(self, uid: str) -> str:
        path = self.kernel.paths.cgroup / f"kubepods/burstable/pod{uid}"
        found = (path / f"cpuset.{name}.effective" for name in ("cpus", "mems"))
        return " ".join(p.read_text().strip() for p in found)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_what_is_on_file_is_given_back_down_to_the_containers(node):
    path = node.pod(UID)
    node.record(UID)
    assert node.effective(UID) == "2-3 1"
    assert node.restore() == [("db", "Restored", "cpus 0-3 mems 0-1")]
    assert node.effective(UID) == "0-3 0-1"
    inside = path / container("a") / "cpuset.cpus.effective"
    assert inside.read_text() == "0-3\n"
    assert node.checkpoint.uids() == ()
    assert node.restore() == []


def test_dry_run_writes_nothing(node):
    node.pod(UID)
    node.record(UID)
    node.record(OTHER, "gone")
    assert sorted(node.restore(dry_run=True)) == [
        ("db", "WouldRestore", "cpus 2-3 mems 1"),
        ("gone", "Gone", "None"),
    ]
    assert node.effective(UID) == "2-3 1"
    assert node.checkpoint.uids() == (UID, OTHER)
    assert node.writer.released == []


def test_a_pod_that_is_gone_is_forgotten(node):
    node.record(UID)
    assert node.restore() == [("db", "Gone", "None")]
    assert node.checkpoint.uids() == ()


def test_a_cpuset_of_unknown_origin_is_named_and_left_alone_unless_asked_for(node):
    node.pod(UID)
    assert node.restore() == [("", "NotOnFile", "cpus 2-3 mems 1")]
    assert node.effective(UID) == "2-3 1"
    assert node.restore(all_pods=True) == [("", "Restored", "cpus 0-3 mems 0-1")]
    assert node.restore() == []


def test_pods_without_a_cpuset_of_their_own_are_not_even_named(node):
    node.pod(UID, ("", ""))
    # What a release leaves in the file where the kernel refuses to empty it.
    node.pod(OTHER, ("0-3", "0-1"))
    assert node.restore(all_pods=True) == []


def test_a_record_that_cannot_be_read_still_tells_whose_the_pod_is(node):
    node.pod(UID)
    node.record(UID)
    (node.kernel.paths.root / f"run/numapin/pins/{UID}.json").write_text("{")
    assert node.restore() == [("", "Restored", "cpus 0-3 mems 0-1")]


def test_one_that_is_refused_does_not_keep_the_others(node):
    node.pod(UID)
    node.record(UID)
    node.writer.refuse = True
    assert node.restore() == [("db", "Failed", "cpus 2-3 mems 1")]
    assert node.messages == ["PID 1 says no"]
    assert node.checkpoint.uids() == (UID,)


def test_a_write_that_takes_no_effect_is_no_success(node):
    node.pod(UID)
    node.record(UID)
    node.writer.forgetful = True
    assert node.restore() == [("db", "Failed", "cpus 2-3 mems 1")]
    assert node.messages == ["its parent has cpus 0-3 mems 0-1, and it still has cpus 2-3 mems 1"]
    assert node.checkpoint.uids() == (UID,)


def test_an_agent_at_work_is_noticed_until_it_ends(tmp_path):
    FakeKernel.make(tmp_path, "kubepods")
    paths = HostPaths(tmp_path)
    assert not claimed(paths.state_dir)
    agents = [claim(paths.state_dir) for _ in range(2)]
    assert None not in agents
    with pytest.raises(StateError, match="a numapin agent runs on this node"):
        Restorer.on_this_host(paths, paths.state_dir, force=False)
    Restorer.on_this_host(paths, paths.state_dir, force=True)
    os.close(agents[0])
    assert claimed(paths.state_dir)
    os.close(agents[1])
    assert not claimed(paths.state_dir)
    Restorer.on_this_host(paths, paths.state_dir, force=False)


def test_an_agent_that_cannot_claim_works_without(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert claim(tmp_path / "file" / "below") is None
    assert "can't tell that an agent runs" in caplog.text


def test_a_host_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="no cgroup file system"):
        Restorer.on_this_host(HostPaths(tmp_path), tmp_path, force=False)
