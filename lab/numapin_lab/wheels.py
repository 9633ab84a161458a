"""Stages the build context of numapin's own images: its wheels and nothing else.

Dependencies come as wheels pinned by hash, cached by their lock file; numapin's own wheel is
built from the checkout. So a Dockerfile needs no package index, and a change of numapin's
code leaves the layer with the dependencies as it is.
"""

import shutil
import sys
from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab.cache import Cache, hash_tree
from numapin_lab.paths import checkout
from numapin_lab.steps import Steps, run

COMPONENTS = ("operator", "agent")
_IMAGE_PYTHON = "313"
"""Debian trixie's Python, for which the wheels must be."""
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")
_PACKAGES = (
    "crds/numapin_api",
    "operator/numapin_operator",
    "agent/numapin_agent",
    "cli/numapin_cli",
)
_PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE")


def lock_file(component: str) -> Path:
    """Pinned dependencies of a component.

    Raises:
        LabError: no such component.
    """
    if component not in COMPONENTS:
        raise LabError(f"component {component!r} is unknown; allowed are {', '.join(COMPONENTS)}")
    return checkout() / "requirements" / f"{component}.lock"


def inputs(component: str) -> dict[str, str]:
    """What a component's image depends on, besides its Dockerfile."""
    return {"lock": hash_tree(lock_file(component)), "code": _code_hash()}


def stage(component: str, context: Path, *, cache: Cache, steps: Steps) -> None:
    """Fill a build context: requirements.lock, wheels/dependencies, wheels/numapin.

    Args:
        component: one of COMPONENTS.
        context: an empty directory.
        cache: where wheels are kept.
        steps: where to show progress.

    Raises:
        LabError: a wheel can't be had or built; names the log.
    """
    lock = lock_file(component)
    shutil.copy2(lock, context / "requirements.lock")
    shutil.copytree(_dependencies(lock, cache, steps), context / "wheels" / "dependencies")
    shutil.copytree(_numapin(cache, steps), context / "wheels" / "numapin")


def _dependencies(lock: Path, cache: Cache, steps: Steps) -> Path:
    key = {"lock": hash_tree(lock), "python": _IMAGE_PYTHON, "platforms": " ".join(_PLATFORMS)}

    def build(out: Path) -> None:
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"),
                *("--requirement", lock, "--dest", out / "wheels", "--only-binary=:all:"),
                *("--python-version", _IMAGE_PYTHON, "--implementation", "cp"),
                *(flag for name in _PLATFORMS for flag in ("--platform", name)),
            ],
            log=cache.root / "logs" / "wheels.log",
        )

    kind = f"wheels-{lock.stem}"
    if cache.path(kind, key).exists():
        return cache.ensure(kind, key, build) / "wheels"
    with steps.step(f"wheels of {lock.name}"):
        return cache.ensure(kind, key, build) / "wheels"


def _numapin(cache: Cache, steps: Steps) -> Path:
    key = {"code": _code_hash()}

    def build(out: Path) -> None:
        # From a copy: hatchling must not see, and the build not change, the rest of the tree.
        source = out / "source"
        for name in (*_PROJECT_FILES, *_PACKAGES):
            _copy(checkout() / name, source / name)
        # The build backend is one of our pinned packages, so no index is asked.
        run(
            [
                *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
                *("--no-build-isolation", "--wheel-dir", out / "wheels", source),
            ],
            log=cache.root / "logs" / "wheels.log",
        )
        shutil.rmtree(source)

    if cache.path("wheel-numapin", key).exists():
        return cache.ensure("wheel-numapin", key, build) / "wheels"
    with steps.step("wheel of numapin"):
        return cache.ensure("wheel-numapin", key, build) / "wheels"


def _code_hash() -> str:
    return hash_tree(*(checkout() / name for name in (*_PROJECT_FILES, *_PACKAGES)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)
