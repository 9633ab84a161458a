"""What every loader child does around its work: hears its task, works, lets go and exits.

Run by whichever interpreter can import bcc, so it uses nothing but the standard library; it
ends when its parent does. What it loads and what it says of it is its caller's.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from numapin_agent.bpf.compiler import NoCompilerError
from numapin_agent.bpf.wire import receive, send

_PR_SET_PDEATHSIG = 1


def run(serve: Callable[[socket.socket, Mapping[str, Any]], None]) -> NoReturn:
    """Serve one task over the descriptor that is the first argument, and end this process.

    Args:
        serve: does what the message asks and reports over the channel; may raise
            ``NoCompilerError``.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    channel = socket.socket(fileno=int(sys.argv[1]))
    task = receive(channel)
    # Only kernels before 5.11 charge maps against this limit; they say so when it is too low.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    try:
        if task is not None:
            serve(channel, task[0])
    except NoCompilerError as error:
        send(channel, {"unavailable": str(error)})
    channel.close()
    # bcc's exit handlers would disable the perf events that are now the parent's.
    os._exit(0)


def peak_rss_bytes(status: str) -> int:
    """VmHWM of a /proc/PID/status; getrusage would report the parent's when that is larger."""
    line = next(x for x in status.splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
