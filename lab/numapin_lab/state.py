"""What this checkout's lab consists of now, in one JSON file.

Written whole or not at all. Deliberately no history.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numapin_api.errors import LabError
from numapin_lab.binaries import DEFAULT_KUBERNETES
from numapin_lab.process import Process


@dataclass(frozen=True, slots=True)
class NodeState:
    """One running (or once running) node.

    Attributes:
        process: its QEMU.
        ssh_port: on 127.0.0.1.
        kubelet_port: on 127.0.0.1 and in the guest.
        memory_mib: of the guest.
        recipe: key of all that it was started from; another key means another machine.
        images: image reference to the digest that the node holds.
    """

    process: Process
    ssh_port: int
    kubelet_port: int
    memory_mib: int
    recipe: str
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabState:
    """The whole lab.

    Attributes:
        topology: name of the topology.
        kernel: kernel series.
        kubernetes: minor version of control plane and kubelets.
        nodes: by name, in order.
    """

    topology: str
    kernel: str
    kubernetes: str = DEFAULT_KUBERNETES
    nodes: Mapping[str, NodeState] = field(default_factory=dict)


def read(path: Path) -> LabState | None:
    """State of the lab, None when there is none.

    Raises:
        LabError: the file is not ours or was damaged; says what to do.
    """
    if not path.exists():
        return None
    try:
        return from_json(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{path} can't be read ({error!r}): end the lab's QEMU by hand if it runs, "
            "then remove the file"
        ) from error


def write(path: Path, state: LabState) -> None:
    """Replace the state file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(asdict(state), indent=1))
    aside.rename(path)


def from_json(data: Mapping[str, Any]) -> LabState:
    """Build the state from its JSON form (the inverse of `dataclasses.asdict`)."""
    nodes = {
        name: NodeState(**{**node, "process": Process(**node["process"])})
        for name, node in data["nodes"].items()
    }
    return LabState(**{**data, "nodes": nodes})
