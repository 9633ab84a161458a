"""The images that the nodes run: what their configuration says, and how large they are."""

import gzip
import json
import re
import tomllib
from pathlib import Path

import pytest
from support.world import World

from numapin_lab.images import Image
from numapin_lab.paths import checkout
from numapin_lab.wheels import COMPONENTS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

LABEL = "org.opencontainers.image"
MOST_MB = {"agent": 450, "operator": 180}
"""Unpacked, millions of bytes."""
USER = {"agent": "0:0", "operator": "65532:65532"}
_PIECE = 1 << 20


def blob(image: Image, digest: str) -> Path:
    return image.layout / "blobs" / digest.replace(":", "/")


def unpacked_bytes(layer: Path) -> int:
    """Size of a layer's tar file, however it is stored."""
    with layer.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return layer.stat().st_size
    with gzip.open(layer) as tar:
        return sum(len(piece) for piece in iter(lambda: tar.read(_PIECE), b""))


@pytest.fixture(scope="module", params=COMPONENTS)
def built(request: pytest.FixtureRequest, world: World) -> tuple[str, Image]:
    images = world.lab.images(world.lab.programs())
    name = f"localhost/numapin-{request.param}:lab"
    return request.param, next(image for image in images if image.reference == name)


def test_configuration(built):
    component, image = built
    index = json.loads((image.layout / "index.json").read_text())
    manifest = json.loads(blob(image, index["manifests"][0]["digest"]).read_text())
    found = json.loads(blob(image, manifest["config"]["digest"]).read_text())
    config, labels = found["config"], found["config"]["Labels"]
    project = tomllib.loads((checkout() / "pyproject.toml").read_text())["project"]
    assert (found["os"], found["architecture"]) == ("linux", "amd64")
    assert (config["User"], config["Entrypoint"]) == (
        USER[component],
        [f"numapin-{component}"],
    )
    assert labels[f"{LABEL}.title"] == f"numapin-{component}"
    assert labels[f"{LABEL}.version"] == project["version"]
    assert labels[f"{LABEL}.licenses"] == project["license"]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels[f"{LABEL}.revision"])
    assert f"{LABEL}.source" in labels
    # Nothing of the moment of the build.
    moments = {found["created"], *(step["created"] for step in found["history"])}
    assert moments == {"1970-01-01T00:00:00Z"}


def test_size(built):
    component, image = built
    index = json.loads((image.layout / "index.json").read_text())
    manifest = json.loads(blob(image, index["manifests"][0]["digest"]).read_text())
    size = sum(unpacked_bytes(blob(image, layer["digest"])) for layer in manifest["layers"])
    assert size / 1e6 <= MOST_MB[component]
