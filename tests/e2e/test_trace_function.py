"""A kernel function of one pod, timed by numapin and by the node's bpftrace at the same moment."""

import json
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.bpftrace import check_median
from support.traced import programs, traced
from support.world import NAMESPACE, SLEEP, World, container, pod, resources

from numapin_lab.demo.cluster import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.lifecycle,
    pytest.mark.timeout(900, func_only=True),
]

NODE = "numa-0"
NAME = "trace-reads"
READS = 3000
SAID = "/tmp/numapin-bpftrace.json"
SCRIPT = """
kprobe:vfs_read /{ours}/ {{ @begun[tid] = nsecs; }}
kretprobe:vfs_read /@begun[tid]/ {{
  @count = count(); @took = hist(nsecs - @begun[tid]); delete(@begun[tid]);
}}"""
SECONDS = 90
"""Emulated, a process in the pod takes up to twenty to start."""


@pytest.fixture
def reader(world: World) -> Iterator[str]:
    """A pod that sleeps until it is told to read."""
    limits = resources("100m", "32Mi", limits=False) | {"limits": {"cpu": "500m"}}
    world.cluster.create(pod(NAME, container(script=SLEEP, resources=limits), pinned=False))
    world.cluster.await_ready(NAMESPACE, NAME, seconds=420)
    yield NAME
    world.cluster.delete(NAMESPACE, [NAME], seconds=420)


@contextmanager
def bpftrace(world: World, cgroup: str) -> Iterator[dict[str, Any]]:
    """It counts within the block; what it has counted is there after the block."""
    ids = world.ssh(NODE, f"find {cgroup} -type d -printf '%i\\n'").split()
    script = SCRIPT.format(ours=" || ".join(f"cgroup == {one}" for one in ids))
    world.ssh(
        NODE,
        f"rm -f {SAID}; setsid bpftrace -B line -f json -o {SAID} -e {shlex.quote(script)} "
        "</dev/null >/dev/null 2>&1 &",
    )
    found: dict[str, Any] = {}
    try:
        eventually(
            lambda: "attached_probes" in world.ssh(NODE, f"cat {SAID} 2>/dev/null || true"),
            seconds=240,
            what="bpftrace is attached",
        )
        yield found
    finally:
        world.ssh(NODE, "pkill -INT bpftrace && while pgrep bpftrace; do sleep 0.2; done; true")
    for line in world.ssh(NODE, f"cat {SAID}").splitlines():
        told = json.loads(line)
        if told["type"] in {"map", "hist"}:
            found |= told["data"]


def test_counts_are_bpftraces_and_medians_agree(world: World, reader: str):
    before = programs(world, NODE)
    failed: list[BaseException] = []

    def read_once_traced(beside: set[str]) -> None:
        try:
            # Entry and return.
            eventually(
                lambda: len(programs(world, NODE) - beside) >= 2,
                seconds=240,
                what="the trace is attached",
            )
            world.exec(reader, "dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={READS}")
        except BaseException as error:  # noqa: BLE001 -- raised again below
            failed.append(error)

    with bpftrace(world, world.cgroup(reader)) as theirs:
        # Beside the command, which wants the main thread for its signals.
        reading = threading.Thread(target=read_once_traced, args=(programs(world, NODE),))
        reading.start()
        pod_name = f"{NAMESPACE}/{reader}"
        answer = traced(
            world, "function", "vfs_read", "--pod", pod_name, "--duration", f"{SECONDS}s"
        )
        reading.join()
    if failed:
        raise failed[0]
    (ours,) = (row.histogram for row in answer.rows)
    assert ours.count >= READS
    assert theirs["@count"] == pytest.approx(ours.count, rel=0.05)
    check_median(theirs["@took"], ours)
    assert programs(world, NODE) == before
