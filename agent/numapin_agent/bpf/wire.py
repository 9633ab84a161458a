"""The wire between the agent and a loader child: JSON messages with descriptors attached.

SOCK_SEQPACKET, so that messages stay apart and a child that crashes has said all that it sent.
Used by both ends; it starts no process and knows no BPF.
"""

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

_MAX_MESSAGE: Final = 1 << 20
_MAX_FDS: Final = 64


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
