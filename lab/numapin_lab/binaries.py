"""Builds Kubernetes, etcd, helm and the pause program from their Go modules.

No registry and no downloads of prebuilt programs: versions and hashes are pinned by the
go.mod and go.sum files in lab/go. Deliberately nothing newer than a Go 1.25 toolchain needs.
"""

import re
import shutil
import subprocess
from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab.cache import Cache, hash_tree
from numapin_lab.paths import cache_root
from numapin_lab.steps import Steps, run

KUBERNETES_VERSION = "v1.35.4"
GO_MODULES = Path(__file__).resolve().parents[1] / "go"
_MIN_GO = (1, 25)
_VERSION_FLAGS = (
    f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION} "
    "-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=35"
)
_KUBERNETES = (
    "go.etcd.io/etcd/server/v3",
    *(
        f"k8s.io/kubernetes/cmd/{name}"
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        )
    ),
)


def ensure(steps: Steps | None = None, *, cache: Cache | None = None) -> Path:
    """Directory with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl,
    kubelet, helm and pause, built when it is missing (5 min cold on 2 cores).

    Args:
        steps: where to show progress; None is silent.
        cache: where to keep it; None is the cache shared by all clones.

    Raises:
        LabError: no Go toolchain, too old a one, or a build failed.
    """  # noqa: D205 - the list of programs needs its second line
    steps = steps or Steps()
    cache = cache or Cache(cache_root())
    inputs = {
        "modules": hash_tree(GO_MODULES),
        "flags": _VERSION_FLAGS,
        "packages": " ".join(_KUBERNETES),
    }
    if cache.path("binaries", inputs).exists():
        return cache.ensure("binaries", inputs, lambda _: None)
    go = _go()
    with steps.step("Kubernetes, etcd and helm from Go modules"):
        return cache.ensure("binaries", inputs, lambda out: _build(go, out, cache.root / "logs"))


def go_version(text: str) -> tuple[int, int]:
    """Major and minor of `go version`'s answer.

    Raises:
        LabError: it does not read like one.
    """
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    if found is None:
        raise LabError(f"go version says {text.strip()!r}, no version is in it")
    return int(found[1]), int(found[2])


def _go() -> str:
    # Debian's and the Go project's own places, besides PATH.
    places = "/usr/local/go/bin:/usr/lib/go/bin"
    go = shutil.which("go") or shutil.which("go", path=places)
    want = ".".join(map(str, _MIN_GO))
    if go is None:
        raise LabError(
            f"Go ≥ {want} is not installed (no `go` in PATH): install it from your "
            "distribution or go.dev/dl; the lab builds Kubernetes with it"
        )
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    if go_version(said) < _MIN_GO:
        raise LabError(f"Go ≥ {want} is needed, {go} is {said.split()[2]}: install a newer one")
    return go


def _build(go: str, out: Path, logs: Path) -> None:
    log = logs / "binaries.log"
    modules = (
        ("kubernetes", _KUBERNETES, _VERSION_FLAGS),
        ("helm", ("helm.sh/helm/v3/cmd/helm",), ""),
        ("pause", (".",), ""),
    )
    for module, packages, flags in modules:
        run(
            [go, "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", f"{out}/", *packages],
            log=log,
            # GOFLAGS of the user could ask for a vendor folder or a changed go.mod.
            env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"},
            cwd=GO_MODULES / module,
        )
    # The package is called server; everybody else calls the program etcd.
    (out / "server").rename(out / "etcd")
