"""Starts and ends nodes: disk overlay, seed, QEMU.

Deliberately no pods here, and nothing about images: a node boots with what its disk holds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from numapin_api.errors import LabError
from numapin_lab import ports, qemu
from numapin_lab.cache import key_of
from numapin_lab.config import Topology
from numapin_lab.controlplane import GUEST_SEES_HOST, ControlPlane
from numapin_lab.disk import make_seed
from numapin_lab.paths import LabPaths
from numapin_lab.process import spawn, stop
from numapin_lab.state import NodeState
from numapin_lab.steps import run


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What a node shall be.

    Attributes:
        name: node name.
        index: its number, which chooses its pod addresses.
        topology: what to imitate.
        memory_mib: of the guest.
        disk: raw root disk, shared and not written.
        root: guest root that the disk was made of (kernel and initramfs are taken from it).
        kvm: hardware virtualisation.
        images: what the disk holds, reference to digest.
    """

    name: str
    index: int
    topology: Topology
    memory_mib: int
    disk: Path
    root: Path
    kvm: bool
    images: Mapping[str, str]


def recipe(spec: NodeSpec, api_port: int) -> str:
    """Key of what only a new boot can change; images are not part of it."""
    return key_of(
        {
            "topology": spec.topology.name,
            "root": spec.root.parent.name,
            "api": str(api_port),
            "kvm": str(spec.kvm),
            "name": spec.name,
        }
    )


def start(spec: NodeSpec, paths: LabPaths, control_plane: ControlPlane) -> NodeState:
    """Start a node's QEMU; returns at once, join.await_ready waits.

    Raises:
        LabError: QEMU is not there or ended at once.
    """
    home = paths.node(spec.name)
    home.mkdir(parents=True, exist_ok=True)
    chosen = ports.choose(("ssh", "kubelet"))
    overlay = home / "disk.qcow2"
    overlay.unlink(missing_ok=True)
    run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", spec.disk, overlay],
        log=paths.logs / "nodes.log",
    )
    seed = home / "seed.tar"
    make_seed(seed, seed_files(spec, paths, control_plane, kubelet_port=chosen["kubelet"]))
    serial = paths.console(spec.name)
    serial.unlink(missing_ok=True)
    guest = qemu.Guest(
        name=spec.name,
        topology=spec.topology,
        memory_mib=spec.memory_mib,
        kernel=_one(spec.root, "boot/vmlinuz-*"),
        initrd=_one(spec.root, "boot/initrd.img-*"),
        disk=overlay,
        seed=seed,
        serial_log=serial,
        ssh_port=chosen["ssh"],
        kubelet_port=chosen["kubelet"],
        kvm=spec.kvm,
    )
    process = spawn(qemu.arguments(guest), log=paths.logs / f"{spec.name}.qemu.log", detached=True)
    return NodeState(
        process=process,
        ssh_port=chosen["ssh"],
        kubelet_port=chosen["kubelet"],
        memory_mib=spec.memory_mib,
        recipe=recipe(spec, control_plane.ports["kube-apiserver"]),
        images=dict(spec.images),
    )


def seed_files(
    spec: NodeSpec, paths: LabPaths, control_plane: ControlPlane, *, kubelet_port: int
) -> dict[str, tuple[str, int]]:
    """What only this node has: absolute path to (text, mode)."""
    api = f"{GUEST_SEES_HOST}:{control_plane.ports['kube-apiserver']}"
    kubeconfig = paths.node(spec.name) / "kubelet.conf"
    control_plane.write_kubeconfig(kubeconfig, user=spec.name, server=f"https://{api}")
    return {
        "/etc/lab.env": (f"NODE_NAME={spec.name}\nAPI_SERVER={api}\n", 0o644),
        "/etc/kubernetes/kubelet.conf": (kubeconfig.read_text(), 0o600),
        "/etc/kubernetes/ca.crt": (control_plane.ca.read_text(), 0o644),
        "/etc/kubernetes/kubelet.yaml": (yaml.safe_dump(kubelet_config(kubelet_port)), 0o644),
        "/etc/cni/net.d/10-lab.conflist": (json.dumps(cni_config(spec.index)), 0o644),
        "/root/.ssh/authorized_keys": (_public_key(paths.ssh_key), 0o600),
        "/etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n", 0o644),
    }


def kubelet_config(port: int) -> dict[str, object]:
    """The kubelet's configuration; numapin asks for nothing special of it."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "port": port,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/etc/kubernetes/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        # Pods need no names of Services here; QEMU's own server answers instead of a cluster's.
        "clusterDNS": ["10.0.2.3"],
        "resolvConf": "/etc/resolv.conf",
        "failSwapOn": False,
        "systemReserved": {"cpu": "200m", "memory": "200Mi"},
        # Cheap under emulation: nobody here wants figures of every filesystem each 10 s.
        "volumeStatsAggPeriod": "0s",
    }


def cni_config(index: int) -> dict[str, object]:
    """Pod network of one node; pods of different nodes don't meet in the lab."""
    subnet = f"10.244.{index}.0/24"
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, portmap]}


def ssh(state: NodeState, paths: LabPaths, command: list[str]) -> list[str]:
    """Command line that runs `command` in a node as root (a shell when it is empty)."""
    return [
        *("ssh", "-i", str(paths.ssh_key), "-p", str(state.ssh_port)),
        # The other end is our own process behind a loopback port; its key changes with disks.
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
        *("-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=30"),
        "root@127.0.0.1",
        *command,
    ]


def ensure_ssh_key(paths: LabPaths) -> None:
    """Make this checkout's key pair when it is missing."""
    if paths.ssh_key.exists():
        return
    paths.ssh_key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "numapin-lab", "-f", paths.ssh_key],
        log=paths.logs / "nodes.log",
    )


def end(state: NodeState) -> None:
    """End a node's QEMU; its disk overlay is thrown away at the next start."""
    stop(state.process)


def _public_key(private: Path) -> str:
    return private.with_name(private.name + ".pub").read_text()


def _one(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        raise LabError(f"{root} holds no {pattern}: remove that directory, it is damaged")
    return found[-1]
