"""What sockets are by inode: a process' /proc/PID/net, read for all its network namespace.

Such a file may have a hundred thousand lines, so that it is not read for each socket anew.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from numapin_agent.trace.pause import Pause
from numapin_agent.trace.procfs import Process

_FAMILIES: Final = ("tcp", "tcp6", "udp", "udp6")
_LINES: Final = 16_384
"""Of one file at most; sockets beyond are told without addresses."""
_KEPT: Final = 3 * _LINES
"""Sockets kept of all namespaces."""


@dataclass(frozen=True, slots=True)
class _Table:
    found: dict[str, str]
    pause: Pause


class Sockets:
    """What sockets are connected to.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tables: dict[int, _Table] = {}

    def find(self, process: Process, inode: str) -> str | None:
        """Both ends of a process' socket, or the path of a local one; None where it is not known.

        A socket's inode is its own as long as it lives. One that is not among those read is new,
        or it lies in another namespace.

        Raises:
            OSError: the process has ended, or no right.
        """
        namespace = os.stat("ns/net", dir_fd=process.fd).st_ino
        table = self._tables.get(namespace)
        if table is None or (inode not in table.found and table.pause.over):
            table = self._read(process)
            if sum(len(one.found) for one in self._tables.values()) + len(table.found) > _KEPT:
                self._tables.clear()
            self._tables[namespace] = table
        told = table.found.get(inode)
        if told is None or told.startswith("unix"):
            return told
        family, here, there = told.split()
        return f"{family} {endpoint(here)} → {endpoint(there)}"

    def _read(self, process: Process) -> _Table:
        table = _Table({}, Pause(self._clock))
        with table.pause.after():
            for family in _FAMILIES:
                for line in _lines(process, family):
                    part = line.split()
                    table.found[part[9]] = f"{family} {part[1]} {part[2]}"
            for line in _lines(process, "unix"):
                # the side that has connected has no path; one with a path may have blanks in it
                part = line.split(maxsplit=7)
                path = part[7].rstrip("\n") if len(part) == 8 else ""
                table.found[part[6]] = f"unix {path}" if path else f"unix socket {part[6]}"
        return table


def _lines(process: Process, family: str) -> Iterator[str]:
    try:
        fd = os.open(f"net/{family}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process.fd)
    except OSError:
        return  # a kernel without IPv6
    with os.fdopen(fd, errors="replace") as lines:
        yield from islice(lines, 1, 1 + _LINES)


def endpoint(text: str) -> str:
    """An address of /proc/net/tcp, such as 0100007F:1F90, as people write it."""
    import ipaddress  # noqa: PLC0415 — only slow system calls on sockets need it

    address, port = text.split(":")
    words = bytes.fromhex(address)
    # each 32-bit word is printed as the machine holds it: little-endian here
    raw = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    ip = ipaddress.ip_address(raw)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return f"{ip}:{int(port, 16)}" if ip.version == 4 else f"[{ip}]:{int(port, 16)}"
