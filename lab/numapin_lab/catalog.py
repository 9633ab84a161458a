"""The images that every node of the lab holds, and what each is built from."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from numapin_lab import revision, wheels
from numapin_lab.images import Builder, Image
from numapin_lab.paths import checkout


def ensure_all(builder: Builder, *, programs: Path) -> Sequence[Image]:
    """All images, built where the checkout has changed.

    Args:
        builder: builds and keeps them.
        programs: directory with the pause program.

    Raises:
        LabError: a build failed; names the log.
    """
    return [
        builder.ensure_pause(programs),
        *(_own(builder, component) for component in wheels.COMPONENTS),
        _workloads(builder),
    ]


def _own(builder: Builder, component: str) -> Image:
    return builder.ensure(
        f"localhost/numapin-{component}:lab",
        dockerfile=checkout() / component / "Dockerfile",
        inputs=wheels.inputs(component),
        stage=_stage(builder, component),
        arguments=_arguments(component),
    )


def ensure_earlier(builder: Builder, *, root: Path, tag: str) -> Sequence[Image]:
    """Images of agent and operator of another version, by its own Dockerfiles and lock files.

    Args:
        builder: builds and keeps them.
        root: that version's source tree.
        tag: of the images.

    Raises:
        LabError: a build failed; names the log.
    """
    return [
        builder.ensure(
            f"localhost/numapin-{component}:{tag}",
            dockerfile=root / component / "Dockerfile",
            inputs=wheels.inputs(component, root),
            stage=_stage(builder, component, root),
        )
        for component in wheels.COMPONENTS
    ]


def build_twice(builder: Builder, component: str, *, scratch: Path) -> tuple[Image, Image]:
    """Build a component's image two times without cached layers.

    Args:
        builder: builds them.
        component: one of wheels.COMPONENTS.
        scratch: an empty directory, for both layouts.

    Raises:
        LabError: a build failed; names the log.
    """
    made = []
    for name in ("first", "second"):
        out = scratch / name
        out.mkdir()
        made.append(
            builder.build_anew(
                f"localhost/numapin-{component}:{name}",
                dockerfile=checkout() / component / "Dockerfile",
                stage=_stage(builder, component),
                arguments=_arguments(component),
                out=out,
            )
        )
    return made[0], made[1]


def _stage(builder: Builder, component: str, root: Path | None = None) -> Callable[[Path], None]:
    def stage(context: Path) -> None:
        wheels.stage(component, context, cache=builder.cache, steps=builder.steps, root=root)

    return stage


def _arguments(component: str) -> dict[str, str]:
    return {"REVISION": revision.of(checkout(), wheels.sources(component))}


def _workloads(builder: Builder) -> Image:
    folder = checkout() / "lab" / "workloads"

    def stage(context: Path) -> None:
        shutil.copy2(folder / "Dockerfile", context)

    return builder.ensure(
        "localhost/numapin-workloads:lab",
        dockerfile=folder / "Dockerfile",
        inputs={},
        stage=stage,
    )
