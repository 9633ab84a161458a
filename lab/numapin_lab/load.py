"""Puts images into running nodes: only the blobs that a node does not hold yet travel.

Deliberately no registry in between: OCI layouts stream over ssh into containerd's import, all
images of a node at once, because each login costs seconds in an emulated guest.
"""

import contextlib
import io
import json
import subprocess
import tarfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from numapin_api.errors import LabError
from numapin_lab import nodes
from numapin_lab.images import Image
from numapin_lab.paths import LabPaths
from numapin_lab.state import NodeState

_CTR = ("ctr", "-n", "k8s.io")
_OCI_LAYOUT = {"imageLayoutVersion": "1.0.0"}


def changed(images: Iterable[Image], held: dict[str, str]) -> list[Image]:
    """Images whose digest differs from what a node holds under that name."""
    return [image for image in images if held.get(image.reference) != image.digest]


def merged_index(indexes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One OCI index that names the images of all."""
    manifests = [manifest for index in indexes for manifest in index["manifests"]]
    return {"schemaVersion": 2, "manifests": manifests}


def blobs_to_send(layouts: Iterable[Path], held: Collection[str]) -> dict[str, Path]:
    """Blobs of OCI layouts that a node lacks: name in the archive to file, each once.

    Args:
        layouts: OCI image layouts.
        held: digests ("sha256:…") in the node's content store.
    """
    return {
        f"blobs/sha256/{file.name}": file
        for layout in layouts
        for file in sorted((layout / "blobs" / "sha256").iterdir())
        if f"sha256:{file.name}" not in held
    }


def load(images: Sequence[Image], state: NodeState, paths: LabPaths) -> None:
    """Import images into a running node.

    Raises:
        LabError: the node can't be reached, or containerd refused; with its words.
    """
    layouts = [image.layout for image in images]
    blobs = blobs_to_send(layouts, _held(state, paths))
    index = merged_index(json.loads((layout / "index.json").read_text()) for layout in layouts)
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
            _add(archive, "oci-layout", _OCI_LAYOUT)
            for name, file in blobs.items():
                archive.add(file, arcname=name)
            _add(archive, "index.json", index)
        with contextlib.suppress(BrokenPipeError):
            importer.stdin.close()
        said = importer.stderr.read().decode(errors="replace")
    if importer.returncode != 0:
        names = ", ".join(image.reference for image in images)
        raise LabError(f"{names} could not be imported: {said.strip()}")


def _add(archive: tarfile.TarFile, name: str, document: dict[str, Any]) -> None:
    data = json.dumps(document).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


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
