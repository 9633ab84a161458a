import itertools
import json
from pathlib import Path

import pytest

from numapin_lab.config import TOPOLOGIES
from numapin_lab.qemu import Guest, arguments, kvm_works
from numapin_lab.steps import Steps


def guest(topology: str = "2s", *, kvm: bool = False) -> Guest:
    return Guest(
        name="numa-0",
        topology=TOPOLOGIES[topology],
        memory_mib=6144,
        kernel=Path("/root/boot/vmlinuz"),
        initrd=Path("/root/boot/initrd"),
        disk=Path("/state/disk.qcow2"),
        seed=Path("/state/seed.tar"),
        serial_log=Path("/logs/console.log"),
        ssh_port=20022,
        kubelet_port=20250,
        kvm=kvm,
    )


def options(args: list[str], flag: str) -> list[str]:
    return [value for name, value in itertools.pairwise(args) if name == flag]


SHAPES = {
    "2s": (
        "4,sockets=2,dies=1,cores=2,threads=1",
        ["node,nodeid=0,cpus=0-1,memdev=m0", "node,nodeid=1,cpus=2-3,memdev=m1"],
        3072,
    ),
    "2s-snc2": (
        "8,sockets=2,dies=2,cores=2,threads=1",
        [f"node,nodeid={n},cpus={2 * n}-{2 * n + 1},memdev=m{n}" for n in range(4)],
        1536,
    ),
    "4s": (
        "8,sockets=4,dies=1,cores=2,threads=1",
        [f"node,nodeid={n},cpus={2 * n}-{2 * n + 1},memdev=m{n}" for n in range(4)],
        1536,
    ),
    "1s": (
        "4,sockets=1,dies=1,cores=4,threads=1",
        ["node,nodeid=0,cpus=0-3,memdev=m0"],
        6144,
    ),
}


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_sockets_and_numa_nodes(topology: str) -> None:
    args = arguments(guest(topology))
    smp, nodes, share = SHAPES[topology]
    assert options(args, "-smp") == [smp]
    numa = options(args, "-numa")
    assert [value for value in numa if value.startswith("node,")] == nodes
    assert options(args, "-object") == [
        f"memory-backend-ram,id=m{n},size={share}M" for n in range(len(nodes))
    ]
    distances = [value for value in numa if value.startswith("dist,")]
    assert len(distances) == len(nodes) * (len(nodes) - 1)


def test_emulation_hides_the_broken_cmpxchg16b() -> None:
    args = arguments(guest())
    assert options(args, "-cpu") == ["EPYC,-cx16"]
    assert options(args, "-accel") == ["tcg,thread=multi,tb-size=1024"]


def test_kvm_uses_the_real_cpu() -> None:
    args = arguments(guest(kvm=True))
    assert options(args, "-accel") == ["kvm"]
    assert options(args, "-cpu") == ["host"]


def test_ports_are_on_loopback_only() -> None:
    (network,) = options(arguments(guest()), "-netdev")
    assert network == (
        "user,id=n0,hostfwd=tcp:127.0.0.1:20022-:22,hostfwd=tcp:127.0.0.1:20250-:20250"
    )


@pytest.mark.skipif(not Path("/dev/kvm").exists(), reason="no /dev/kvm here: never probed")
@pytest.mark.parametrize("works", [True, False])
def test_the_answer_about_kvm_of_this_boot_is_not_asked_again(tmp_path: Path, works: bool) -> None:
    answer = tmp_path / "kvm.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer.write_text(json.dumps({"boot": boot, "works": works}))
    steps = Steps()
    assert kvm_works(Path("/none"), Path("/none"), answer=answer, steps=steps) is works
    assert steps.seconds == {}
