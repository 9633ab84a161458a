from pathlib import Path

from numapin_lab.images import Image
from numapin_lab.load import changed, files_to_send


def image(reference: str, digest: str) -> Image:
    return Image(reference, Path("/layout"), digest)


def test_only_images_with_another_digest_are_loaded() -> None:
    images = [image("a:lab", "sha256:1"), image("b:lab", "sha256:2"), image("c:lab", "sha256:3")]
    held = {"a:lab": "sha256:1", "b:lab": "sha256:9"}
    assert [i.reference for i in changed(images, held)] == ["b:lab", "c:lab"]


def test_blobs_that_the_node_holds_are_not_sent(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for name in ("aa", "bb", "cc"):
        (blobs / name).touch()
    assert files_to_send(tmp_path, {"sha256:bb", "sha256:zz"}) == [
        "oci-layout",
        "index.json",
        "blobs/sha256/aa",
        "blobs/sha256/cc",
    ]
