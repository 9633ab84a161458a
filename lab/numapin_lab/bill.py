"""Lists what is in an image: Debian's packages and wheels, as CycloneDX JSON.

Read from the layers themselves, not from what was asked for: what is listed is in the image.
Deliberately no search for vulnerabilities: scanners take such a list as input.
"""

import json
import tarfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from numapin_api.errors import LabError
from numapin_lab.images import Image

_DPKG_STATUS = "var/lib/dpkg/status"
_NAMESPACE = uuid.UUID("5f0f3b1c-6d56-4c6e-9d39-8f0f6a0c2b57")
_LONGEST_LICENCE = 80
"""Some packages put the whole text into the field; a name is shorter."""


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One package in an image.

    Attributes:
        kind: type of its package URL, "deb" or "pypi".
        name: as its packager says it.
        version: likewise.
        licence: SPDX expression or name, empty when the package says none.
        architecture: of a Debian package.
    """

    kind: str
    name: str
    version: str
    licence: str = ""
    architecture: str = ""

    @property
    def url(self) -> PackageURL:
        """Its package URL (purl)."""
        qualifiers = {"arch": self.architecture} if self.architecture else None
        namespace = "debian" if self.kind == "deb" else None
        return PackageURL(self.kind, namespace, self.name, self.version, qualifiers)


def debian_parts(status: str) -> Iterator[Part]:
    """Installed packages, from dpkg's status file (deb822, see deb822(5))."""
    for stanza in filter(str.strip, status.split("\n\n")):
        found = HeaderParser().parsestr(stanza)
        if found["Status"] and found["Status"].split()[-1] == "installed":
            yield Part(
                "deb",
                str(found["Package"]),
                str(found["Version"]),
                architecture=str(found["Architecture"]),
            )


def wheel_part(metadata: str) -> Part:
    """A wheel, from its METADATA (core metadata specification)."""
    found = HeaderParser().parsestr(metadata)
    licence = str(found["License-Expression"] or found["License"] or "").strip()
    if "\n" in licence or len(licence) > _LONGEST_LICENCE:
        licence = ""
    return Part("pypi", str(found["Name"]), str(found["Version"]), licence)


def document(image: Image, parts: Iterable[Part]) -> str:
    """The list as CycloneDX JSON; the same image gives the same text."""
    root = Component(
        name=image.reference, version=image.digest, type=ComponentType.CONTAINER, bom_ref="image"
    )
    found = [
        Component(
            name=part.name,
            version=part.version,
            type=ComponentType.LIBRARY,
            purl=part.url,
            bom_ref=part.url.to_string(),
            licenses=[DisjunctiveLicense(name=part.licence)] if part.licence else None,
        )
        for part in sorted(set(parts))
    ]
    made = Bom(
        components=found,
        serial_number=uuid.uuid5(_NAMESPACE, image.digest),
        # Like the image's own: the moment of the build is no part of it.
        metadata=BomMetaData(component=root, timestamp=datetime(1970, 1, 1, tzinfo=UTC)),
    )
    made.register_dependency(root, found)
    outputter = make_outputter(made, OutputFormat.JSON, SchemaVersion.V1_6)
    return outputter.output_as_string(indent=1) + "\n"


def parts_of(layout: Path) -> list[Part]:
    """All packages in an OCI layout.

    Raises:
        LabError: no package is in it, so it is not read right.
    """
    files = _files(layout)
    status = files.get(_DPKG_STATUS, "")
    wheels = [text for name, text in files.items() if name != _DPKG_STATUS]
    found = [*debian_parts(status), *map(wheel_part, wheels)]
    if not found:
        raise LabError(f"{layout} holds no Debian package and no wheel")
    return found


def write(image: Image, directory: Path) -> Path:
    """Write an image's list.

    Args:
        image: a built image.
        directory: made when missing.

    Returns:
        The file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = image.reference.rpartition("/")[2].partition(":")[0]
    file = directory / f"{name}.cdx.json"
    file.write_text(document(image, parts_of(image.layout)))
    return file


def _files(layout: Path) -> dict[str, str]:
    """Package lists of all layers, a later layer's in the place of an earlier one's."""
    found: dict[str, str] = {}
    for digest in _layers(layout):
        with tarfile.open(_blob(layout, digest), "r|*") as layer:
            for member in layer:
                path = PurePosixPath(member.name.removeprefix("./"))
                whole = str(path)
                if path.name.startswith(".wh."):
                    gone = str(path.with_name(path.name.removeprefix(".wh.")))
                    found = {n: t for n, t in found.items() if not f"{n}/".startswith(f"{gone}/")}
                elif whole == _DPKG_STATUS or (
                    path.name == "METADATA" and path.parent.suffix == ".dist-info"
                ):
                    content = layer.extractfile(member)
                    if content is not None:
                        found[whole] = content.read().decode(errors="replace")
    return found


def _layers(layout: Path) -> list[str]:
    index = json.loads((layout / "index.json").read_text())
    manifest = _json(layout, index["manifests"][0]["digest"])
    return [layer["digest"] for layer in manifest["layers"]]


def _json(layout: Path, digest: str) -> Mapping[str, list[dict[str, str]]]:
    return dict(json.loads(_blob(layout, digest).read_text()))


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")
