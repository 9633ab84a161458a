from pathlib import Path

from numapin_lab.deploy import values
from numapin_lab.images import Image


def images(digest: str) -> list[Image]:
    return [
        Image(f"localhost/numapin-{name}:lab", Path("/layout"), digest)
        for name in ("operator", "agent")
    ]


def test_images_come_from_the_node_alone() -> None:
    assert values(images("sha256:1"))["agent"]["image"] == {
        "repository": "localhost/numapin-agent",
        "tag": "lab",
        "pullPolicy": "Never",
    }


def test_another_image_under_the_same_tag_changes_the_pods() -> None:
    assert values(images("sha256:1")) != values(images("sha256:2"))
