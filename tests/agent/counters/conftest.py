"""A cgroup of the hierarchy that counters go by, for tests that run real programs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import hierarchies
from support.wait import until


@pytest.fixture
def cgroup() -> Iterator[Path]:
    root = hierarchies.counted()
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no cgroup hierarchy to write to")
    ours = root / f"numapin-test-{os.getpid()}"
    ours.mkdir()
    yield ours
    until(lambda: not (ours / "cgroup.procs").read_text(), what=f"{ours} to be empty")
    ours.rmdir()
