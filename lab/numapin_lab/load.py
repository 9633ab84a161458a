"""Puts images into running nodes: only the blobs that a node does not hold yet travel.

Deliberately no registry in between: an OCI layout streams over ssh into containerd's import.
"""

import contextlib
import subprocess
import tarfile
from collections.abc import Collection, Iterable
from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab import nodes
from numapin_lab.images import Image
from numapin_lab.paths import LabPaths
from numapin_lab.state import NodeState

_CTR = ("ctr", "-n", "k8s.io")


def changed(images: Iterable[Image], held: dict[str, str]) -> list[Image]:
    """Images whose digest differs from what a node holds under that name."""
    return [image for image in images if held.get(image.reference) != image.digest]


def files_to_send(layout: Path, held: Collection[str]) -> list[str]:
    """Files of an OCI layout that a node lacks, relative; blobs by their digests.

    Args:
        layout: OCI image layout.
        held: digests ("sha256:…") in the node's content store.
    """
    blobs = sorted(p.name for p in (layout / "blobs" / "sha256").iterdir())
    return [
        "oci-layout",
        "index.json",
        *(f"blobs/sha256/{name}" for name in blobs if f"sha256:{name}" not in held),
    ]


def load(image: Image, state: NodeState, paths: LabPaths) -> None:
    """Import an image into a running node.

    Raises:
        LabError: the node can't be reached, or containerd refused; with its words.
    """
    names = files_to_send(image.layout, _held(state, paths))
    command = nodes.ssh(state, paths, [*_CTR, "images", "import", "--local", "-"])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as importer:
        if importer.stdin is None or importer.stderr is None:
            raise LabError("ssh was started without its streams")
        # A broken pipe means that the importer ended early: its own words below say why.
        with (
            contextlib.suppress(BrokenPipeError),
            tarfile.open(fileobj=importer.stdin, mode="w|") as archive,
        ):
            for name in names:
                archive.add(image.layout / name, arcname=name)
        with contextlib.suppress(BrokenPipeError):
            importer.stdin.close()
        said = importer.stderr.read().decode(errors="replace")
    if importer.returncode != 0:
        raise LabError(f"{image.reference} could not be imported: {said.strip()}")


def _held(state: NodeState, paths: LabPaths) -> set[str]:
    listed = subprocess.run(
        nodes.ssh(state, paths, [*_CTR, "content", "ls", "--quiet"]),
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        raise LabError(f"the node can't be asked for its images: {listed.stderr.strip()}")
    return set(listed.stdout.split())
