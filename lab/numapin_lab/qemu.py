"""Turns a topology into QEMU's command line, and finds out whether KVM really works.

The argument builder is pure. Deliberately no libvirt: one process per node is all there is.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from numapin_lab.config import Topology
from numapin_lab.steps import Steps, tail

QEMU = "qemu-system-x86_64"
_PROBE_SECONDS = 20.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Guest:
    """All that one node's QEMU needs to know.

    Attributes:
        name: node name, which becomes the host name.
        topology: what to imitate.
        memory_mib: memory of the whole guest.
        kernel: kernel image.
        initrd: its initramfs.
        disk: qcow2 overlay of the root disk.
        seed: tar archive with the node's own files, the second disk.
        serial_log: where the console goes.
        ssh_port: on this machine's loopback, forwarded to the guest's 22.
        kubelet_port: the same number inside and outside, because the API server takes it
            from the node's status.
        kvm: hardware virtualisation instead of emulation.
    """

    name: str
    topology: Topology
    memory_mib: int
    kernel: Path
    initrd: Path
    disk: Path
    seed: Path
    serial_log: Path
    ssh_port: int
    kubelet_port: int
    kvm: bool


def arguments(guest: Guest) -> list[str]:
    """QEMU's arguments for a node."""
    return [
        QEMU,
        *("-name", guest.name, "-machine", "q35", "-display", "none"),
        *_accelerator(kvm=guest.kvm),
        *_processors(guest.topology, guest.memory_mib),
        *("-kernel", str(guest.kernel), "-initrd", str(guest.initrd)),
        *("-append", kernel_command_line(guest.name)),
        *("-drive", f"file={guest.disk},if=virtio,format=qcow2,cache=unsafe"),
        *("-drive", f"file={guest.seed},if=virtio,format=raw,readonly=on"),
        *("-netdev", _network(guest)),
        *("-device", "virtio-net-pci,netdev=n0"),
        *("-device", "virtio-rng-pci"),
        *("-serial", f"file:{guest.serial_log}", "-monitor", "none"),
    ]


def kernel_command_line(name: str) -> str:
    """Kernel arguments of a node."""
    return (
        "root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.unified_cgroup_hierarchy=1 "
        # Emulated CPUs gain nothing from these, and pay for them.
        "mitigations=off audit=0 quiet "
        # A panic before /etc/sysctl.d is read would leave the node dead for good.
        f"panic=10 oops=panic systemd.hostname={name}"
    )


def _accelerator(*, kvm: bool) -> list[str]:
    if kvm:
        return ["-accel", "kvm", "-cpu", "host"]
    # Without -cx16 the guest kernel crashes: QEMU 7.2's emulated cmpxchg16b is wrong.
    return ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "EPYC,-cx16"]


def _processors(topology: Topology, memory_mib: int) -> list[str]:
    # NUMA nodes of one socket are dies of it, so that no last-level cache spans two nodes. An
    # emulated EPYC lacks topoext, so there the kernel guesses, warns once and goes on.
    shape = (
        f"{topology.cpus},sockets={topology.sockets},dies={topology.nodes_per_socket},"
        f"cores={topology.cpus_per_node},threads=1"
    )
    args = ["-m", f"{memory_mib}M", "-smp", shape]
    share = memory_mib // topology.nodes
    for node in range(topology.nodes):
        args += ["-object", f"memory-backend-ram,id=m{node},size={share}M"]
        args += ["-numa", f"node,nodeid={node},cpus={topology.cpulist(node)},memdev=m{node}"]
    for one in range(topology.nodes):
        for other in range(topology.nodes):
            if one != other:
                value = topology.distance(one, other)
                args += ["-numa", f"dist,src={one},dst={other},val={value}"]
    return args


def _network(guest: Guest) -> str:
    return (
        f"user,id=n0,hostfwd=tcp:127.0.0.1:{guest.ssh_port}-:22,"
        f"hostfwd=tcp:127.0.0.1:{guest.kubelet_port}-:{guest.kubelet_port}"
    )


def kvm_works(kernel: Path, initrd: Path, *, answer: Path, steps: Steps) -> bool:
    """Whether a guest boots with KVM here: asked once per boot of this machine.

    /dev/kvm alone proves nothing (nested virtualisation may hang every guest), so a guest is
    started whose init is missing on purpose: its kernel panics and QEMU ends, within seconds.

    Args:
        kernel: kernel to boot.
        initrd: its initramfs.
        answer: file that keeps the answer.
        steps: where to show that it is asked.
    """
    if not Path("/dev/kvm").exists():
        return False
    boot = _BOOT_ID.read_text().strip()
    if answer.exists():
        known = json.loads(answer.read_text())
        if known["boot"] == boot:
            return bool(known["works"])
    with steps.step("KVM: does a guest boot with it?"):
        works = _boots_with_kvm(kernel, initrd, answer.parent)
    aside = answer.with_name(f".{answer.name}.new")
    aside.write_text(json.dumps({"boot": boot, "works": works}))
    aside.rename(answer)
    if not works:
        steps.say("  no: /dev/kvm is there, but a probe guest hung; QEMU emulates instead")
    return works


def _boots_with_kvm(kernel: Path, initrd: Path, scratch: Path) -> bool:
    serial = scratch / "kvm-probe.log"
    serial.unlink(missing_ok=True)
    try:
        subprocess.run(
            [
                QEMU,
                *("-machine", "q35", *_accelerator(kvm=True), "-smp", "2", "-m", "512M"),
                *("-kernel", str(kernel), "-initrd", str(initrd), "-no-reboot"),
                *("-append", "console=ttyS0 panic=-1 rdinit=/no-init-on-purpose init=/none"),
                *("-display", "none", "-monitor", "none", "-serial", f"file:{serial}"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return False
    return "Kernel panic" in tail(serial, 200)
