"""``numapin restore`` as people and programs see it, on a made-up node."""

import json
import os
from pathlib import Path

import pytest
import yaml
from support.fake_cgroups import UID, FakeKernel

from numapin_agent.claim import claim

PINNED = {"cpus": "2-3", "mems": "1"}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node with one pod that is pinned and on file."""
    kernel = FakeKernel.make(tmp_path, "kubepods")
    kernel.mkdir("kubepods/burstable")
    kernel.mkdir(f"kubepods/burstable/pod{UID}", own=("2-3", "1"))
    record = {
        "version": 1,
        "uid": UID,
        "namespace": "default",
        "name": "db",
        **PINNED,
        "time": "2026-11-23T12:00:00+00:00",
        "settled": True,
        "guarded": False,
        "drift": None,
        "movedPages": 0,
    }
    pins = tmp_path / "run/numapin/pins"
    pins.mkdir(parents=True)
    (pins / f"{UID}.json").write_text(json.dumps(record))
    return tmp_path


def test_dry_run_shows_what_is_pinned(node, numapin):
    run = numapin("restore", "--root", node, "--dry-run")
    assert (run.status, run.err) == (0, "")
    assert run.out.splitlines() == [
        "POD         UID                                   RESULT        BEFORE           AFTER",
        f"default/db  {UID}  WouldRestore  cpus 2-3 mems 1  cpus 2-3 mems 1",
    ]


def test_json_and_yaml_say_the_same(node, numapin):
    as_json = numapin("restore", "--root", node, "--dry-run", "-o", "json")
    as_yaml = numapin("restore", "--root", node, "--dry-run", "-o", "yaml")
    assert json.loads(as_json.out) == {
        "pods": [
            {
                "uid": UID,
                "namespace": "default",
                "name": "db",
                "result": "WouldRestore",
                "before": PINNED,
                "after": PINNED,
                "message": "",
            }
        ]
    }
    assert yaml.safe_load(as_yaml.out) == json.loads(as_json.out)


def test_what_the_kernel_does_not_confirm_is_a_failure(node, numapin):
    """Nobody computes effective sets here, as if the kernel had ignored the write."""
    run = numapin("restore", "--root", node)
    assert run.status == 1
    assert "Failed" in run.out
    assert f"{UID}: its parent has cpus 0-3 mems 0-1, and it still has cpus 2-3" in run.out
    own = node / f"sys/fs/cgroup/kubepods/burstable/pod{UID}"
    assert (own / "cpuset.cpus").read_text().strip() == ""


def test_nothing_to_do_is_said(tmp_path, numapin):
    FakeKernel.make(tmp_path, "kubepods")
    run = numapin("restore", "--root", tmp_path)
    assert (run.status, run.out) == (0, "nothing is pinned on this machine\n")
    assert json.loads(numapin("restore", "--root", tmp_path, "-o", "json").out) == {"pods": []}


def test_a_pod_of_unknown_origin_comes_with_a_hint(node, numapin):
    (node / f"run/numapin/pins/{UID}.json").unlink()
    run = numapin("restore", "--root", node)
    assert (run.status, "NotOnFile" in run.out) == (0, True)
    assert "--all gives their cpusets back too" in run.err


def test_while_an_agent_runs_it_refuses_and_says_what_else_to_do(node, numapin):
    fd = claim(node / "run/numapin")
    assert fd is not None
    run = numapin("restore", "--root", node)
    assert (run.status, run.out) == (1, "")
    assert "a numapin agent runs on this node" in run.err
    assert "--force" in run.err
    assert numapin("restore", "--root", node, "--force", "--dry-run").status == 0
    os.close(fd)


def test_a_node_that_keeps_its_cgroups_elsewhere(node, numapin):
    (node / "mnt").mkdir()
    (node / "sys/fs/cgroup").rename(node / "mnt/cgroup")
    assert numapin("restore", "--root", node, "--dry-run").status == 1
    run = numapin("restore", "--root", node, "--cgroup-dir", "/mnt/cgroup", "--dry-run")
    assert (run.status, run.err) == (0, "")
    assert "WouldRestore" in run.out


@pytest.mark.parametrize("option", ["--cgroup-dir", "--dbus-dir"])
@pytest.mark.parametrize("path", ["mnt/cgroup", "", "/mnt/../../etc"])
def test_a_path_that_the_node_can_not_have_is_refused(node, numapin, *, option, path):
    run = numapin("restore", "--root", node, option, path)
    assert (run.status, run.out) == (2, "")
    assert f"{path!r} is no absolute path of the node" in " ".join(run.err.split())


def test_no_kubelet_here(tmp_path, numapin):
    run = numapin("restore", "--root", tmp_path)
    assert run.status == 1
    assert "no cgroup file system" in run.err
    assert "Traceback" not in run.err
