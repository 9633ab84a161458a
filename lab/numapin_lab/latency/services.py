"""What ipvsadm is told to make many virtual services, as kube-proxy in IPVS mode would. Pure."""

from collections.abc import Iterator

MOST = 65_536
"""Addresses of 10.96.0.0/16, the lab's range for Services."""


def rules(services: int) -> str:
    """Input of ``ipvsadm --restore``: a service of one backend for each address.

    Args:
        services: how many, at most ``MOST``.

    Raises:
        ValueError: too many, or none.
    """
    if not 0 < services <= MOST:
        raise ValueError(f"{services} services: must be from 1 to {MOST:,}")
    return "\n".join(_lines(services)) + "\n"


def _lines(services: int) -> Iterator[str]:
    for number in range(services):
        address = f"10.96.{number >> 8}.{number & 255}:80"
        yield f"-A -t {address} -s rr"
        yield f"-a -t {address} -r 10.244.0.{number % 250 + 1}:80 -m"
