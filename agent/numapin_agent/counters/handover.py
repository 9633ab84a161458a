"""The wire between the agent and the loader child: JSON messages with descriptors attached.

One SOCK_SEQPACKET message per signal, sent as soon as it is attached, so that a compiler that
crashes or hangs on one costs only that one. Used by both ends; it starts no process and knows
no BPF.
"""

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from numapin_agent.counters.signals import CgroupVersion

_MAX_MESSAGE: Final = 1 << 20
_MAX_FDS: Final = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What the child needs to know.

    Attributes:
        btf: path of the kernel's BTF.
        kprobe_pmu: path of the file with the number of the kprobe PMU.
        machine: as ``uname -m`` says.
        cpu_sockets: per CPU number the index of its socket + 1, 0 where unknown.
        node_sockets: the same per NUMA node.
        always_crosses: whether every page that changes NUMA node changes socket.
        other_nodes: per NUMA node the other one + 1 where there are two in all, else 0.
        nodes: how many NUMA nodes there are.
        cgroup_version: 2, or 1 where pods are in the hierarchies of v1.
        max_cgroups: size of the maps.
        max_pairs: size of the map of pairs of NUMA nodes.
        macros: override those that BTF gives; for tests that need events of another kind.
        store: directory for compiled programs, or None to compile each time.
        no_dram: why DRAM fills are not to be counted; None when they are.
    """

    btf: str
    kprobe_pmu: str
    machine: str
    cpu_sockets: tuple[int, ...]
    node_sockets: tuple[int, ...]
    always_crosses: bool
    other_nodes: tuple[int, ...]
    nodes: int
    cgroup_version: CgroupVersion
    max_cgroups: int
    max_pairs: int
    macros: Mapping[str, int]
    store: str | None = None
    no_dram: str | None = None

    def encode(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def decode(cls, message: Mapping[str, Any]) -> "Request":
        """From JSON values."""
        return cls(
            **{
                **message,
                "cpu_sockets": tuple(message["cpu_sockets"]),
                "node_sockets": tuple(message["node_sockets"]),
                "other_nodes": tuple(message["other_nodes"]),
            }
        )


def send(channel: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message; the receiver gets descriptors of its own."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    channel.sendmsg([json.dumps(message).encode()], rights)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Wait for one message; None when the other end is closed.

    Raises:
        TimeoutError: the channel's own timeout passed.
        ValueError: the message was cut short, or is no JSON object.
    """
    size = array.array("i").itemsize
    data, ancillary, flags, _ = channel.recvmsg(
        _MAX_MESSAGE, socket.CMSG_SPACE(_MAX_FDS * size), socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % size])
    if not data:
        return None
    try:
        return _parse(data, cut=bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))), list(fds)
    except ValueError:
        for fd in fds:
            os.close(fd)
        raise


def _parse(data: bytes, *, cut: bool) -> dict[str, Any]:
    if cut:
        raise ValueError(f"a message of {len(data)} bytes was cut")
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError(f"{message!r} is no object")  # noqa: TRY004 — the sender's fault
    return message
