"""No pin is lost for an instant while agents and operator are replaced, up and down again.

Nothing is released yet, so there is no version before. What stands for it is either the same
code under another image tag, which goes through every step of an upgrade but for a change of
code; or, with NUMAPIN_UPGRADE_FROM=COMMIT, images and chart of that commit. Between the two ends
each half is upgraded by itself: agents of one version with the operator of the other, both ways.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.release import CHART, Release
from support.samples import FILE, GO, SAMPLER, longest_gap, parse, strays
from support.world import NAMESPACE, World, container, pod, resources

from numapin_lab.demo.cluster import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.lifecycle, pytest.mark.timeout(3600, func_only=True)]

NEW, OLD = "lab", "earlier"
LOAD = (
    "exec sysbench memory --threads=2 --time=0 --memory-total-size=1000000T "
    "--memory-block-size=64M --memory-scope=global run"
)
NODES = ("numa-0", "numa-1")
LEAST_SAMPLES = 200
"""Twenty seconds' worth: an upgrade takes longer, however busy the emulated CPUs are."""


@dataclass(frozen=True)
class Earlier:
    """What the upgrade begins with."""

    release: Release
    chart: Path


@pytest.fixture(scope="module")
def earlier(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earlier]:
    """The version before, installed; this checkout's again afterwards."""
    release = Release(world, tmp_path_factory.mktemp("release"))
    commit = os.environ.get("NUMAPIN_UPGRADE_FROM")
    if commit:
        chart = world.lab.load_earlier(commit, tag=OLD, into=tmp_path_factory.mktemp("source"))
    else:
        release.tag(old=NEW, new=OLD)
        chart = CHART
    try:
        release.upgrade(agent=OLD, operator=OLD, chart=chart)
        yield Earlier(release, chart)
    finally:
        world.lab.deploy()


@pytest.fixture
def sampled(world: World, earlier: Earlier) -> Iterator[tuple[str, ...]]:
    """A pinned pod under load on each node; both its containers sample their cpusets."""
    manifests = [
        pod(
            f"upgraded-{node}",
            container(
                "main",
                f"({SAMPLER}) & {LOAD}",
                resources=resources("200m", "96Mi", limits=False) | {"limits": {"cpu": "400m"}},
            ),
            container("idle", SAMPLER),
            node=node,
        )
        for node in NODES
    ]
    names = tuple(manifest["metadata"]["name"] for manifest in manifests)
    try:
        for manifest in manifests:
            world.cluster.create(manifest)
        for name in names:
            world.cluster.await_ready(NAMESPACE, name, seconds=420)
            socket = world.socket_of(world.await_phase(name, "Pinned"))
            for inside in ("main", "idle"):
                assert world.inside(name, inside) == socket
                world.exec(name, "touch", GO, inside=inside)
        yield names
    finally:
        world.cluster.delete(NAMESPACE, names)


def test_no_pin_is_lost_while_versions_change(world: World, earlier: Earlier, sampled):
    release = earlier.release
    before = {name: world.pin(name) for name in sampled}
    for agent, operator, chart in (
        # CRDs and rights come with the chart, so it is always that of the later half.
        (OLD, NEW, CHART),
        (NEW, NEW, CHART),
        (NEW, OLD, CHART),
        (OLD, OLD, earlier.chart),
        (NEW, NEW, CHART),
    ):
        release.upgrade(agent=agent, operator=operator, chart=chart)
        wanted = {f"localhost/numapin-agent:{agent}", f"localhost/numapin-operator:{operator}"}
        eventually(
            lambda wanted=wanted: release.images() == wanted, seconds=120, what=f"only {wanted} run"
        )
        _works_on_both_nodes(world)
    for name in sampled:
        pin = world.pin(name)
        assert pin is not None
        assert pin.metadata.uid == before[name].metadata.uid
        assert pin.spec.socket == before[name].spec.socket
        socket = world.socket_of(pin)
        for inside in ("main", "idle"):
            found = parse(world.exec(name, "cat", FILE, inside=inside))
            assert len(found) >= LEAST_SAMPLES
            where = f"{name}/{inside}: {len(found)} samples, longest gap {longest_gap(found)} s"
            assert strays(found, cpus=str(socket.cpus), mems=str(socket.mems)) == [], where


def _works_on_both_nodes(world: World) -> None:
    """This pair of versions plans and pins a new pod, and lets it go again."""
    names = [f"fresh-{node}" for node in NODES]
    try:
        for name, node in zip(names, NODES, strict=True):
            world.cluster.create(pod(name, node=node))
        for name in names:
            pin = world.await_phase(name, "Pinned", seconds=420)
            world.cluster.await_ready(NAMESPACE, name, seconds=420)
            assert world.inside(name) == world.socket_of(pin)
    finally:
        world.cluster.delete(NAMESPACE, names)
