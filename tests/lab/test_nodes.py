import tarfile
from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_lab.binaries import go_version
from numapin_lab.config import TOPOLOGIES
from numapin_lab.disk import make_seed
from numapin_lab.nodes import NodeSpec, cni_config, kubelet_config, recipe
from numapin_lab.wheels import lock_file

SPEC = NodeSpec(
    name="numa-0",
    index=0,
    topology=TOPOLOGIES["2s"],
    memory_mib=6144,
    disk=Path("/cache/disk-1/disk.raw"),
    root=Path("/cache/guestroot-1/root"),
    kvm=False,
    images={},
)


@pytest.mark.parametrize(
    "other",
    [
        {"topology": TOPOLOGIES["4s"]},
        {"root": Path("/cache/guestroot-2/root")},
        {"kvm": True},
    ],
)
def test_another_machine_needs_another_boot(other: dict[str, object]) -> None:
    fields = {name: getattr(SPEC, name) for name in NodeSpec.__slots__}
    assert recipe(NodeSpec(**{**fields, **other}), 20000) != recipe(SPEC, 20000)


def test_changed_images_need_no_boot() -> None:
    fields = {name: getattr(SPEC, name) for name in NodeSpec.__slots__}
    other = {"images": {"a": "sha256:1"}, "disk": Path("/cache/disk-2/disk.raw")}
    assert recipe(NodeSpec(**{**fields, **other}), 20000) == recipe(SPEC, 20000)


def test_another_api_port_needs_another_boot() -> None:
    assert recipe(SPEC, 20000) != recipe(SPEC, 20001)


def test_pods_of_two_nodes_have_different_addresses() -> None:
    assert cni_config(0) != cni_config(1)


def test_the_kubelet_answers_only_whom_the_api_server_vouches_for() -> None:
    config = kubelet_config(20250)
    assert config["authentication"]["anonymous"] == {"enabled": False}  # type: ignore[index]
    assert config["authorization"] == {"mode": "Webhook"}


def test_seed_is_what_the_guest_unpacks(tmp_path: Path) -> None:
    seed = tmp_path / "node" / "seed.tar"
    make_seed(seed, {"/etc/lab.env": ("A=1\n", 0o644), "/root/.ssh/key": ("secret", 0o600)})
    with tarfile.open(seed) as archive:
        assert {m.name: m.mode for m in archive} == {"etc/lab.env": 0o644, "root/.ssh/key": 0o600}
    # The guest sees it as a disk, whose size is in sectors.
    assert seed.stat().st_size % 512 == 0
    assert seed.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.25rc1 linux/amd64", (1, 25)),
        ("go version devel go1.27-a1b2c3 linux/amd64", (1, 27)),
    ],
)
def test_go_version(text: str, version: tuple[int, int]) -> None:
    assert go_version(text) == version


def test_no_go_version() -> None:
    with pytest.raises(LabError, match="'gcc 12', no version"):
        go_version("gcc 12\n")


def test_unknown_component_names_what_is_allowed() -> None:
    with pytest.raises(LabError, match="'cli' is unknown; allowed are operator, agent"):
        lock_file("cli")
