"""BTF of real kernels, cut down by tests/agent/counters/record_btf.py."""

from pathlib import Path

DATA = Path(__file__).parents[1] / "agent/counters/data"
KERNELS = ("6.1", "6.12", "6.18", "7.3")


def slice_of(version: str) -> bytes:
    return (DATA / f"linux-{version}-x86_64.btf").read_bytes()
