"""Where the lab keeps things: the checkout, the shared cache, this checkout's state.

Deliberately only names: nothing is created or read here.
"""

import os
from dataclasses import dataclass
from pathlib import Path


def checkout() -> Path:
    """Root of the checkout that this module was loaded from."""
    return Path(__file__).resolve().parents[2]


def cache_root() -> Path:
    """Artefacts shared by all clones: `${XDG_CACHE_HOME:-~/.cache}/numapin-lab`.

    An XDG_CACHE_HOME that is not absolute is ignored, as its specification says.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = given if given.is_absolute() else Path.home() / ".cache"
    return base / "numapin-lab"


@dataclass(frozen=True, slots=True)
class LabPaths:
    """Every path below one checkout's state directory.

    Attributes:
        root: the state directory, `.lab` in the checkout.
    """

    root: Path

    @classmethod
    def of_checkout(cls) -> "LabPaths":
        """State directory of the checkout that this module was loaded from."""
        return cls(checkout() / ".lab")

    @property
    def state(self) -> Path:
        """What is up: topology, nodes, process ids."""
        return self.root / "state.json"

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def control_plane(self) -> Path:
        """Certificates, tokens and etcd's data."""
        return self.root / "control-plane"

    @property
    def logs(self) -> Path:
        """One file per component and per build step."""
        return self.root / "logs"

    @property
    def ssh_key(self) -> Path:
        """Private key whose public half every node trusts."""
        return self.root / "ssh" / "id_ed25519"

    def console(self, node: str) -> Path:
        """What a node wrote on its serial console."""
        return self.logs / f"{node}.console.log"

    def node(self, name: str) -> Path:
        """Disk overlay, seed and sockets of one node."""
        return self.root / "nodes" / name
