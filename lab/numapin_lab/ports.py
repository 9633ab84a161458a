"""Chooses TCP ports that are free on the loopback address.

Ports come from below Linux's default range for outgoing connections (32768-60999), so that
no client of this machine can take one between our look and the server's bind.
"""

import random
import socket

_RANGE = range(20000, 32000)


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(names: tuple[str, ...]) -> dict[str, int]:
    """A different free port for each name."""
    chosen: dict[str, int] = {}
    # Two labs that start at once must not walk the same list.
    for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
        if len(chosen) == len(names):
            break
        if is_free(port):
            chosen[names[len(chosen)]] = port
    return chosen
