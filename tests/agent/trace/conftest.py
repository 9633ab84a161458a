"""Two tenants for probes that must tell them apart."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.wait import until

from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace.run import hierarchy


@pytest.fixture
def tenants() -> Iterator[tuple[Path, Path]]:
    root = hierarchy(HostPaths())
    if not os.access(root, os.W_OK) or not (root / "cgroup.controllers").exists():
        pytest.skip("no cgroup v2 hierarchy to write to")
    both = tuple(root / f"numapin-tenant-{os.getpid()}-{name}" for name in "ab")
    for one in both:
        one.mkdir()
    yield both[0], both[1]
    for one in both:
        until(lambda one=one: not (one / "cgroup.procs").read_text(), what=f"{one} to be empty")
        one.rmdir()
