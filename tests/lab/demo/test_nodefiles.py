"""The node's own files: what the loop prints, and what of it is believed."""

import subprocess

import pytest

from numapin_lab.demo.nodefiles import NodeReading, loop_script, readings, slice_glob, uid_of

UID = "0c2b8caf-1111-4222-8333-444455556666"
SLICE = (
    "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/"
    "kubepods-burstable-pod0c2b8caf_1111_4222_8333_444455556666.slice/memory.numa_stat"
)
CGROUPFS = f"/sys/fs/cgroup/kubepods/burstable/pod{UID}/memory.numa_stat"


@pytest.mark.parametrize("path", [SLICE, CGROUPFS])
def test_uid_of_either_driver(path):
    assert uid_of(path) == UID


@pytest.mark.parametrize("path", ["/proc/vmstat", "/sys/fs/cgroup/memory.numa_stat"])
def test_no_uid(path):
    assert uid_of(path) is None


def test_whole_passes_only():
    text = f"""\
@
{SLICE}:anon N0=4096 N1=8192
{SLICE}:file N0=1000 N1=0
.
@
.
@
{SLICE}:anon N0=1
"""
    assert list(readings(text.splitlines(keepends=True))) == [
        NodeReading({UID: {0: 5096, 1: 8192}}),
        NodeReading({}),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["."],
        ["garbage", "."],
        [f"{SLICE}:anon N0=1", "."],
        ["@", f"{SLICE}:anon N0=1"],  # cut off
    ],
)
def test_nothing_believed(lines):
    assert list(readings(lines)) == []


@pytest.mark.parametrize("uid", ["", "a b", "$(reboot)", "../..", "x;y", "'"])
def test_only_uids_reach_the_shell(uid):
    with pytest.raises(ValueError, match="is no pod UID"):
        slice_glob(uid)


def test_script_is_shell_that_prints_whole_passes():
    """The real loop, once, on this machine, which has no such pod."""
    script = loop_script([UID]).replace("sleep 1", "break")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "@\n.\n")
