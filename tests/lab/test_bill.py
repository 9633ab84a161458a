"""What is in an image, from its layers."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_lab import bill
from numapin_lab.bill import Part, debian_parts, document, parts_of, wheel_part
from numapin_lab.images import Image

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12+deb13u1
Description: GNU C Library
 with a second line

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b-4
"""
KOPF = "Metadata-Version: 2.4\nName: kopf\nVersion: 1.45.2\nLicense: MIT\n\n# kopf\nVersion: no\n"
SITE = "opt/numapin/lib/python3.13/site-packages"


def layout(folder: Path, *layers: dict[str, str]) -> Path:
    """An OCI layout with these files in its layers."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    digests = []
    for n, files in enumerate(layers):
        with tarfile.open(blobs / f"layer{n}", "w:gz") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        digests.append({"digest": f"sha256:layer{n}"})
    (blobs / "manifest").write_text(json.dumps({"layers": digests}))
    index = {"manifests": [{"digest": "sha256:manifest"}]}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def test_only_what_is_installed():
    assert list(debian_parts(STATUS)) == [
        Part("deb", "libc6", "2.41-12+deb13u1", architecture="amd64"),
        Part("deb", "tzdata", "2025b-4", architecture="all"),
    ]


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License: MIT", "MIT"),
        ("License-Expression: Apache-2.0 OR MIT\nLicense: x", "Apache-2.0 OR MIT"),
        ("Summary: s", ""),
        ("License: Permission is hereby granted\n        to everybody", ""),
        (f"License: {'w' * 81}", ""),
    ],
)
def test_licence_of_a_wheel(lines, licence):
    assert wheel_part(f"Name: a\nVersion: 1\n{lines}\n\nbody\n") == Part("pypi", "a", "1", licence)


def test_later_layers_count(tmp_path: Path):
    made = layout(
        tmp_path,
        {"./var/lib/dpkg/status": STATUS, f"{SITE}/old-1.dist-info/METADATA": "Name: old\n"},
        {
            "var/lib/dpkg/status": STATUS.replace("2025b-4", "2026a-1"),
            f"{SITE}/kopf-1.45.2.dist-info/METADATA": KOPF,
            f"{SITE}/.wh.old-1.dist-info": "",
        },
    )
    assert sorted(parts_of(made)) == [
        Part("deb", "libc6", "2.41-12+deb13u1", architecture="amd64"),
        Part("deb", "tzdata", "2026a-1", architecture="all"),
        Part("pypi", "kopf", "1.45.2", "MIT"),
    ]


def test_an_image_of_nothing_is_not_taken_for_an_empty_list(tmp_path: Path):
    with pytest.raises(LabError, match="holds no Debian package and no wheel"):
        parts_of(layout(tmp_path, {"etc/hostname": "x"}))


def test_document_is_cyclonedx_and_the_same_each_time(tmp_path: Path):
    made = layout(
        tmp_path / "image", {"var/lib/dpkg/status": STATUS, f"{SITE}/k.dist-info/METADATA": KOPF}
    )
    image = Image("localhost/numapin-operator:lab", made, "sha256:0")
    file = bill.write(image, tmp_path / "out")
    assert file.name == "numapin-operator.cdx.json"
    found = json.loads(file.read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert found["metadata"]["component"]["version"] == "sha256:0"
    assert sorted(part["purl"] for part in found["components"]) == [
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64",
        "pkg:deb/debian/tzdata@2025b-4?arch=all",
        "pkg:pypi/kopf@1.45.2",
    ]
    assert document(image, parts_of(made)) == file.read_text()
