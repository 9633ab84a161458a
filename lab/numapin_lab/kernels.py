"""The kernels that the lab's nodes can run, and which Debian suite brings each.

The rest of a node is always Debian trixie: only the kernel's package changes. Deliberately no
version within a series: it is the suite's of the day, as for all of Debian's packages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from numapin_api.errors import LabError


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel to run nodes with.

    Attributes:
        suite: of Debian, which has it; None is the nodes' own.
    """

    suite: str | None = None

    @property
    def package(self) -> str:
        """What to install, as apt takes it: a suite named with a package comes before others."""
        return f"{_PACKAGE}/{self.suite}" if self.suite else _PACKAGE


_PACKAGE: Final = "linux-image-cloud-amd64"
KERNELS: Final[Mapping[str, Kernel]] = MappingProxyType(
    {
        "5.10": Kernel("bullseye"),
        "6.1": Kernel("bookworm"),
        "6.12": Kernel(),
        "newest": Kernel("trixie-backports"),
    }
)
"""By what users type, oldest first."""
DEFAULT_KERNEL: Final = "6.12"


def find(name: str) -> Kernel:
    """Look a kernel up.

    Raises:
        LabError: unknown; lists what is allowed.
    """
    if name not in KERNELS:
        raise LabError(f"kernel {name!r} is unknown; allowed are {', '.join(KERNELS)}")
    return KERNELS[name]


def setup(kernel: Kernel, *, suite: str) -> list[str]:
    """Arguments of mmdebstrap that make a kernel's package known to apt.

    The nodes' own sources are repeated with the kernel's suite, so that it comes from the same
    mirror and is checked with the same keys. Neither an older suite nor backports (NotAutomatic)
    brings anything but what is asked of it by name.

    Args:
        kernel: wanted.
        suite: of the nodes.
    """
    if kernel.suite is None:
        return []
    sources = '"$1/etc/apt/sources.list'
    change = f"s/ {suite} / {kernel.suite} /"
    return [f"--setup-hook=sed '{change}' {sources}\" > {sources}.d/kernel.list\""]
