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
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Architecture as images name it, to the one that wheels name."""
DEFAULT_ARCHITECTURE = "amd64"
_IMAGE_PYTHON = "313"
"""Debian trixie's Python, for which the wheels must be."""
_PLATFORMS = ("manylinux2014", "manylinux_2_28", "manylinux_2_34")
_VENV_SCRIPT = "lab/image/venv.sh"
_PACKAGES = (
    "crds/numapin_api",
    "operator/numapin_operator",
    "agent/numapin_agent",
    "cli/numapin_cli",
)
_PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE")


def lock_file(component: str, root: Path | None = None) -> Path:
    """Pinned dependencies of a component.

    Args:
        component: one of COMPONENTS.
        root: of the source tree; None is this checkout.

    Raises:
        LabError: no such component.
    """
    if component not in COMPONENTS:
        raise LabError(f"component {component!r} is unknown; allowed are {', '.join(COMPONENTS)}")
    return (root or checkout()) / "requirements" / f"{component}.lock"


def inputs(component: str, root: Path | None = None) -> dict[str, str]:
    """What a component's image depends on, besides its Dockerfile; see lock_file."""
    root = root or checkout()
    script = root / _VENV_SCRIPT
    return {
        "lock": hash_tree(lock_file(component, root)),
        "code": _code_hash(root),
        "venv": hash_tree(script) if script.exists() else "",
    }


def sources(component: str) -> tuple[str, ...]:
    """All paths in the checkout that a component's image is made from."""
    lock = str(lock_file(component).relative_to(checkout()))
    return (f"{component}/Dockerfile", lock, _VENV_SCRIPT, *_PROJECT_FILES, *_PACKAGES)


def stage(  # noqa: PLR0913 - a context has that many parts, each named by its caller
    component: str,
    context: Path,
    *,
    cache: Cache,
    steps: Steps,
    architecture: str = DEFAULT_ARCHITECTURE,
    root: Path | None = None,
) -> None:
    """Fill a build context: requirements.lock, venv.sh, wheels/dependencies, wheels/numapin.

    Args:
        component: one of COMPONENTS.
        context: an empty directory.
        cache: where wheels are kept.
        steps: where to show progress.
        architecture: a key of ARCHITECTURES.
        root: of the source tree; None is this checkout.

    Raises:
        LabError: a wheel can't be had or built; names the log.
    """
    root = root or checkout()
    lock = lock_file(component, root)
    shutil.copy2(lock, context / "requirements.lock")
    # An earlier version had all that is in it in its Dockerfiles.
    if (root / _VENV_SCRIPT).exists():
        shutil.copy2(root / _VENV_SCRIPT, context)
    dependencies = _dependencies(lock, cache, steps, ARCHITECTURES[architecture])
    shutil.copytree(dependencies, context / "wheels" / "dependencies")
    shutil.copytree(_numapin(root, cache, steps), context / "wheels" / "numapin")


def _dependencies(lock: Path, cache: Cache, steps: Steps, machine: str) -> Path:
    platforms = [f"{name}_{machine}" for name in _PLATFORMS]
    key = {"lock": hash_tree(lock), "python": _IMAGE_PYTHON, "platforms": " ".join(platforms)}

    def build(out: Path) -> None:
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"),
                *("--requirement", lock, "--dest", out / "wheels", "--only-binary=:all:"),
                *("--python-version", _IMAGE_PYTHON, "--implementation", "cp"),
                *(flag for name in platforms for flag in ("--platform", name)),
            ],
            log=cache.root / "logs" / "wheels.log",
        )

    kind = f"wheels-{lock.stem}-{machine}"
    if cache.path(kind, key).exists():
        return cache.ensure(kind, key, build) / "wheels"
    with steps.step(f"wheels of {lock.name} for {machine}"):
        return cache.ensure(kind, key, build) / "wheels"


def _numapin(root: Path, cache: Cache, steps: Steps) -> Path:
    key = {"code": _code_hash(root)}

    def build(out: Path) -> None:
        # From a copy: hatchling must not see, and the build not change, the rest of the tree.
        source = out / "source"
        for name in (*_PROJECT_FILES, *_PACKAGES):
            _copy(root / name, source / name)
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


def _code_hash(root: Path) -> str:
    return hash_tree(*(root / name for name in (*_PROJECT_FILES, *_PACKAGES)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)
