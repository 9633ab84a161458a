"""The chart, rendered and installed by the helm that the lab builds, and by helm 4."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from numapin_lab import binaries
from numapin_lab.cache import Cache, hash_tree
from numapin_lab.paths import cache_root

CHART = Path(__file__).parents[2] / "charts" / "numapin"
_HELM4 = Path(__file__).parents[1] / "chart" / "helm4"
NAMESPACE = "numapin-system"
# helm built from its module knows of no release of Kubernetes.
_KUBERNETES = binaries.KUBERNETES_VERSION.removeprefix("v")

SCENARIOS = sorted((CHART / "ci").glob("*-values.yaml"))
"""Values files, each of which has to be rendered to something valid."""
EVERYTHING: dict[str, object] = yaml.safe_load((CHART / "ci/everything-values.yaml").read_text())
"""Each value set to another than its default."""

Helm = Callable[..., subprocess.CompletedProcess[str]]
Object = dict[str, Any]


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Runs helm 3; the result has stdout, stderr and the exit status."""
    return _runner(binaries.ensure() / "helm")


@pytest.fixture(scope="session")
def helm4() -> Helm:
    """Runs helm 4."""
    return _runner(_built_helm4() / "helm")


@pytest.fixture(scope="session", params=["helm", "helm4"])
def any_helm(request: pytest.FixtureRequest) -> Helm:
    """Runs helm 3, and in another round of tests helm 4."""
    found: Helm = request.getfixturevalue(request.param)
    return found


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build helm 4 before the first test, whose time limit it would exceed."""
    wanted = any({"helm4", "any_helm"} & set(getattr(i, "fixturenames", ())) for i in session.items)
    if wanted and not session.config.option.collectonly:
        _built_helm4()


def _built_helm4() -> Path:
    """The directory that holds helm 4; built the first time, which takes minutes."""

    def build(out: Path) -> None:
        # Debian's and the Go project's own places, besides PATH.
        places = f"{os.environ['PATH']}:/usr/local/go/bin:/usr/lib/go/bin"
        go = shutil.which("go", path=places)
        assert go is not None, "helm 4 is built with Go, and no `go` is in PATH"
        subprocess.run(
            [go, "build", "-trimpath", "-ldflags=-s -w", f"-o={out}/", "helm.sh/helm/v4/cmd/helm"],
            cwd=_HELM4,
            env=os.environ
            | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"},
            check=True,
        )

    return Cache(cache_root()).ensure("helm4", {"module": hash_tree(_HELM4)}, build)


def _runner(program: Path) -> Helm:
    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, args)], capture_output=True, text=True, check=False, timeout=50
        )

    return run


def settings(values: dict[str, object]) -> Sequence[str]:
    """Arguments that set values by their dotted paths."""
    return [f"--set-json={path}={json.dumps(value)}" for path, value in values.items()]


def render(
    helm: Helm, values: dict[str, object] | None = None, *, file: Path | None = None
) -> list[Object]:
    """All objects of a release called numapin, its hooks as well."""
    done = helm(
        "template",
        "numapin",
        CHART,
        f"--namespace={NAMESPACE}",
        f"--kube-version={_KUBERNETES}",
        *([f"--values={file}"] if file else []),
        *settings(values or {}),
    )
    assert done.returncode == 0, done.stderr
    # libyaml's loader: the CRDs alone are 1,200 lines, and tests render dozens of times.
    objects = [o for o in yaml.load_all(done.stdout, yaml.CSafeLoader) if o]
    strange = [o for o in objects if "kind" not in o]
    assert not strange, f"{strange} of {done.stdout}"
    return objects


def one(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The only object of that kind, or of that kind and name."""
    (found,) = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let snapshots be written instead of compared."""
    parser.addoption("--renew-snapshots", action="store_true", help="write the chart's snapshots")
