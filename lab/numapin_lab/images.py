"""Builds container images from Dockerfiles without a registry, kept as OCI layouts.

buildah runs as root with a storage of its own inside the cache, so that nothing of the user's
other images is seen or changed. It is asked not to compress layers, which travel over loopback
only; some versions do it all the same.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from numapin_lab.cache import Cache, hash_tree
from numapin_lab.guestroot import SUITE, debootstrap, mirror
from numapin_lab.steps import Steps, run

BASE = "docker.io/library/debian:trixie-slim"
_BASE_DATE = 946_684_800
"""2000-01-01 as seconds since 1970: any day will do, for it only has to be the same each time."""


@dataclass(frozen=True, slots=True)
class Image:
    """A built image.

    Attributes:
        reference: name and tag, as pods say it.
        layout: OCI image layout directory (index.json, blobs/).
        digest: of the manifest: the same content has the same digest.
    """

    reference: str
    layout: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds images into a cache.

    Attributes:
        cache: where images and buildah's layers are kept.
        steps: where to show progress.
    """

    cache: Cache
    steps: Steps

    def ensure(
        self,
        reference: str,
        *,
        dockerfile: Path,
        inputs: dict[str, str],
        stage: Callable[[Path], None],
        arguments: Mapping[str, str] = MappingProxyType({}),
    ) -> Image:
        """Return an image, built when its inputs have changed.

        Args:
            reference: name and tag.
            dockerfile: is part of the inputs by its content.
            inputs: what else the image depends on (hashes of files).
            stage: fills the build context, an empty directory.
            arguments: of the build (ARG in the Dockerfile).

        Raises:
            LabError: the build failed; names the log.
        """
        recipe = _Recipe(reference, dockerfile, stage, arguments)
        everything = {
            **inputs,
            **arguments,
            "reference": reference,
            "dockerfile": hash_tree(dockerfile),
            "base": key_of_base(),
        }
        return self._artefact(reference, everything, lambda out: self._bud(recipe, out))

    def build_anew(
        self,
        reference: str,
        *,
        dockerfile: Path,
        stage: Callable[[Path], None],
        arguments: Mapping[str, str],
        out: Path,
    ) -> Image:
        """Build an image without any cached layer, to compare it with another build.

        Args:
            reference: name and tag; the cached image of that name stays as it is.
            dockerfile: see ensure.
            stage: see ensure.
            arguments: see ensure.
            out: an empty directory, for the layout.

        Raises:
            LabError: the build failed; names the log.
        """
        self._bud(_Recipe(reference, dockerfile, stage, arguments), out, "--no-cache")
        return _image(reference, out)

    def ensure_pause(self, programs: Path) -> Image:
        """The sandbox image of every pod: one static program."""
        reference = "localhost/pause:lab"

        def build(out: Path) -> None:
            (out / "context").mkdir()
            shutil.copy2(programs / "pause", out / "context" / "pause")
            dockerfile = out / "Dockerfile"
            dockerfile.write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
            self._build(_Recipe(reference, dockerfile, _nothing, {}), out / "context", out)

        return self._artefact(reference, {"programs": programs.name}, build)

    def ensure_base(self) -> Path:
        """Debian trixie without extras, as a tar file: what BASE is made of."""
        inputs = {"base": key_of_base()}
        kind = "base"

        def build(out: Path) -> None:
            extra = ['--customize-hook=rm -f "$1/etc/machine-id" "$1/etc/hostname"']
            log = self.cache.root / "logs" / "base.log"
            packages = ["ca-certificates"]
            debootstrap(out / "base.tar", packages, log=log, extra=extra, dated=_BASE_DATE)

        if self.cache.path(kind, inputs).exists():
            return self.cache.ensure(kind, inputs, build) / "base.tar"
        with self.steps.step("base image: Debian trixie by mmdebstrap"):
            return self.cache.ensure(kind, inputs, build) / "base.tar"

    def _artefact(
        self, reference: str, inputs: dict[str, str], build: Callable[[Path], None]
    ) -> Image:
        kind = "image-" + reference.rpartition("/")[2].partition(":")[0]
        if self.cache.path(kind, inputs).exists():
            made = self.cache.ensure(kind, inputs, build)
        else:
            with self.steps.step(f"image {reference}"):
                made = self.cache.ensure(kind, inputs, build)
        return _image(reference, made)

    def _bud(self, recipe: "_Recipe", out: Path, *flags: str) -> None:
        self._load_base(self.ensure_base())
        context = out / "context"
        context.mkdir()
        recipe.stage(context)
        self._build(recipe, context, out, *flags)

    def _load_base(self, tar: Path) -> None:
        """Put BASE into buildah's storage unless it is there already (same tar)."""
        mark = self.cache.root / "buildah" / "base-is"
        with self.cache.locked("buildah-base"):
            if mark.exists() and mark.read_text() == tar.parent.name:
                return
            dockerfile = tar.with_name("Dockerfile")
            dockerfile.write_text(f'FROM scratch\nADD {tar.name} /\nCMD ["bash"]\n')
            self._buildah(
                # With --layers its history has no time of the build in it.
                *("bud", "--layers", "--isolation", "chroot", "--timestamp", "0", "--tag", BASE),
                *("--file", str(dockerfile), str(tar.parent)),
            )
            mark.write_text(tar.parent.name)

    def _build(self, recipe: "_Recipe", context: Path, out: Path, *flags: str) -> None:
        layout, reference = out / "layout", recipe.reference
        arguments = [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]
        # Another clone may build other code under the same name: none between tag and push.
        with self.cache.locked("buildah-tags"):
            # A fixed time stamp makes the same files the same layer.
            self._buildah(
                "bud",
                *("--pull-never", "--isolation", "chroot", "--layers", "--timestamp", "0"),
                *flags,
                *arguments,
                *("--tag", reference, "--file", str(recipe.dockerfile), str(context)),
            )
            self._buildah(
                "push", "--quiet", "--disable-compression", reference, f"oci:{layout}:lab"
            )
        shutil.rmtree(context)
        _name(layout, reference)

    def _buildah(self, *args: str) -> None:
        storage = self.cache.root / "buildah"
        run(
            ["buildah", "--root", storage / "root", "--runroot", storage / "run", *args],
            log=self.cache.root / "logs" / "buildah.log",
        )


def key_of_base() -> str:
    """What BASE depends on."""
    return f"{SUITE} minbase ca-certificates {mirror()} dated {_BASE_DATE} layered"


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What an image is built from; see Builder.ensure."""

    reference: str
    dockerfile: Path
    stage: Callable[[Path], None]
    arguments: Mapping[str, str]


def _nothing(_: Path) -> None:
    """The context is filled already."""


def _image(reference: str, made: Path) -> Image:
    layout = made / "layout"
    index = json.loads((layout / "index.json").read_text())
    return Image(reference, layout, index["manifests"][0]["digest"])


def _name(layout: Path, reference: str) -> None:
    """Write the image's name into its index: containerd's import takes it from there."""
    file = layout / "index.json"
    index = json.loads(file.read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": reference}
    file.write_text(json.dumps(index))
