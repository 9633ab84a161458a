"""Gathers the signs of neighbours; what they mean is decided in ``numapin_agent.neighbours``."""

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from numapin_agent.neighbours import PodSign, may_be_dra_cpu
from numapin_agent.pods import PodView

CONNECT_SECONDS = 1.0


def pod_signs(pods: Iterable[PodView]) -> tuple[PodSign, ...]:
    """Signs of the pods that run and have directories of the host."""
    return tuple(
        PodSign(
            app=pod.metadata.labels.app,
            koord_app=pod.metadata.labels.koord_app,
            host_paths=pod.host_paths,
        )
        for pod in pods
        if pod.status.phase == "Running" and pod.host_paths
    )


def registered(registry: Path) -> frozenset[str]:
    """Sockets of drivers in the kubelet's plugin registry on which somebody listens.

    A driver that was killed leaves its socket behind, so each is tried: the kubelet does the same.

    Args:
        registry: the directory; may be absent.
    """
    return frozenset(p.name for p in _sockets(registry) if _listens(p))


def _sockets(registry: Path) -> Iterator[Path]:
    try:
        yield from (p for p in sorted(registry.iterdir()) if may_be_dra_cpu(p.name))
    except OSError:
        return


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(CONNECT_SECONDS)
        try:
            stream.connect(str(path))
        except OSError:
            return False
        return True
