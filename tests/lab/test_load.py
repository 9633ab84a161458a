from pathlib import Path

from numapin_lab.images import Image
from numapin_lab.load import blobs_to_send, changed, merged_index


def image(reference: str, digest: str) -> Image:
    return Image(reference, Path("/layout"), digest)


def test_only_images_with_another_digest_are_loaded() -> None:
    images = [image("a:lab", "sha256:1"), image("b:lab", "sha256:2"), image("c:lab", "sha256:3")]
    held = {"a:lab": "sha256:1", "b:lab": "sha256:9"}
    assert [i.reference for i in changed(images, held)] == ["b:lab", "c:lab"]


def layout(root: Path, *blobs: str) -> Path:
    for name in blobs:
        (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (root / "blobs" / "sha256" / name).touch()
    return root


def test_blobs_that_the_node_holds_are_not_sent_and_shared_ones_once(tmp_path: Path) -> None:
    one = layout(tmp_path / "one", "aa", "bb")
    other = layout(tmp_path / "other", "aa", "bb", "cc")
    assert list(blobs_to_send([one, other], {"sha256:bb", "sha256:zz"})) == [
        "blobs/sha256/aa",
        "blobs/sha256/cc",
    ]


def test_the_index_names_all_images() -> None:
    indexes = [{"manifests": [{"digest": f"sha256:{n}"}]} for n in "12"]
    assert [m["digest"] for m in merged_index(indexes)["manifests"]] == ["sha256:1", "sha256:2"]
