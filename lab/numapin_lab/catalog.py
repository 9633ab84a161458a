"""The images that every node of the lab holds, and what each is built from."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from numapin_lab import wheels
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
    def stage(context: Path) -> None:
        wheels.stage(component, context, cache=builder.cache, steps=builder.steps)

    return builder.ensure(
        f"localhost/numapin-{component}:lab",
        dockerfile=checkout() / component / "Dockerfile",
        inputs=wheels.inputs(component),
        stage=stage,
    )


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
