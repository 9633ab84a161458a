"""A cgroup of the host's own hierarchy, for tests that run real programs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.wait import until


@pytest.fixture
def cgroup() -> Iterator[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((Path(m[1]) for m in mounts if m[2] == "cgroup2"), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no cgroup v2 hierarchy to write to")
    ours = root / f"numapin-test-{os.getpid()}"
    ours.mkdir()
    yield ours
    until(lambda: not (ours / "cgroup.procs").read_text(), what=f"{ours} to be empty")
    ours.rmdir()
