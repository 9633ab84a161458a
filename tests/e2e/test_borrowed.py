"""A file on the other socket that another pod is charged for is named, beside what the kernel says.

NUMA balancing leaves such pages where they are: it passes over mappings that are only read
(kernel/sched/fair.c ``task_numa_work``).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from support.workloads import maps
from support.world import NAMESPACE, World, container, pod, resources

from numapin_api.pin import Borrowed
from numapin_cli.main import cli
from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900, func_only=True)]

NODE = "numa-0"
FOLDER = "/var/lib/numapin-e2e"
MIB = 128
SIZE = MIB << 20
OWNER, READER = "b-owner", "b-reader"
WRITES = f"""
numactl --cpunodebind=1 --membind=1 \
  dd if=/dev/zero of=/shared/model.bin bs=1M count={MIB} status=none
{maps("/shared/model.bin")}
"""
WAITS = f"""
until grep -q "^Mems_allowed_list:[[:space:]]*0$" /proc/self/status; do sleep 1; done
sleep 5
{maps("/shared/model.bin")}
"""
"""Not before its memory is bound: the kernel takes along what is mapped then. And by itself, soon
after: the agent looks half a minute later for the first time, and then not for 15 minutes."""


def sharing(name: str, script: str, *, socket: str, pinned: bool) -> Any:
    """A pod with a directory of the node, which asks for a socket."""
    wanted = resources("50m", "192Mi", limits=False)
    manifest = pod(
        name,
        container(script=script, resources=wanted),
        pinned=pinned,
        node=NODE,
        annotations={"numapin.io/socket": socket},
    )
    host = {"path": FOLDER, "type": "DirectoryOrCreate"}
    manifest["spec"]["volumes"] = [{"name": "shared", "hostPath": host}]
    manifest["spec"]["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    return manifest


@pytest.fixture(scope="module")
def lab(world: World) -> Iterator[World]:
    """Two pods that map the same file: its owner on socket 1, then one that is pinned to 0."""
    world.cluster.delete(NAMESPACE, [OWNER, READER], seconds=420)
    world.ssh(NODE, f"rm -rf {FOLDER}")
    try:
        world.cluster.create(sharing(OWNER, WRITES, socket="1", pinned=True))
        world.cluster.create(sharing(READER, WAITS, socket="0", pinned=False))
        for name in (OWNER, READER):
            world.cluster.await_ready(NAMESPACE, name, seconds=420)
        world.await_phase(OWNER, "Pinned")
        await_mapped(world, OWNER)
        world.cluster.label(NAMESPACE, READER, on=True)
        world.await_phase(READER, "Pinned")
        await_mapped(world, READER)
        yield world
    finally:
        world.cluster.delete(NAMESPACE, [OWNER, READER], seconds=420)
        world.ssh(NODE, f"rm -rf {FOLDER}")


def await_mapped(world: World, name: str) -> None:
    """Wait until the pod's program has touched all of the file."""
    eventually(
        lambda: "mapped" in world.exec(name, "ls", "/tmp"),
        seconds=300,
        what=f"{name} has mapped the file",
    )


def charged(world: World, name: str, key: str) -> dict[int, int]:
    """Bytes per NUMA node that the pod's cgroup is charged for."""
    text = world.ssh(NODE, f"grep '^{key} ' {world.cgroup(name)}/memory.numa_stat")
    return {int(node): int(size) for node, size in re.findall(r"\bN(\d+)=(\d+)", text)}


def test_what_the_kernel_says_of_it(lab: World):
    """The file lies on node 1, its owner is charged, its reader maps it."""
    assert charged(lab, OWNER, "file_mapped")[1] > 0.9 * SIZE
    assert charged(lab, READER, "file_mapped").get(1, 0) < 0.1 * SIZE
    mapping = lab.exec(READER, "grep", "model.bin", "/proc/1/numa_maps")
    assert re.findall(r"\bN(\d+)=(\d+)", mapping) == [("1", str(SIZE // 4096))]


def looked_at(lab: World) -> list[Borrowed]:
    """What the agent found, once it has looked."""
    found = eventually(
        lambda: lab.pin(READER).status.observed.borrowed,
        seconds=420,
        what="the agent has looked at the pod's files",
    )
    assert found
    return found


def test_the_numapin_names_it_and_who_else_maps_it(lab: World):
    model = next(b for b in looked_at(lab) if b.path == "/shared/model.bin")
    assert model.node == 1
    assert model.bytes == pytest.approx(SIZE, rel=0.1)
    assert (model.pods, model.others) == ([OWNER], 0)
    # Its own memory is where it should be: nothing else would have told.
    memory = {m.node: m.bytes for m in lab.pin(READER).status.observed.memory}
    assert memory.get(1, 0) < 0.1 * SIZE


def test_explain_shows_it(lab: World):
    looked_at(lab)
    config = str(lab.lab.paths.kubeconfig)
    argv = ["--kubeconfig", config, "explain", READER, "-n", NAMESPACE]
    shown = CliRunner().invoke(cli, argv)
    assert "/shared/model.bin" in shown.output
    assert OWNER in shown.output
    found = json.loads(CliRunner().invoke(cli, [*argv, "-o", "json"]).stdout)
    (row,) = [b for b in found["borrowed"] if b["path"] == "/shared/model.bin"]
    assert (row["node"], row["socket"], row["pods"]) == (1, 1, [OWNER])
    residency = next(c for c in found["checks"] if c["name"] == "residency")
    assert "of files that others are charged for is on NUMA node 1" in residency["message"]


def test_its_owner_has_nothing_to_be_told_of(lab: World):
    """It is charged for the file, and on its own socket."""
    looked_at(lab)
    found = lab.pin(OWNER).status.observed.borrowed
    assert [b for b in found if b.path == "/shared/model.bin"] == []
