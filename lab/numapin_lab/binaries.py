"""Builds Kubernetes, etcd, helm and the pause program from their Go modules.

No registry and no downloads of prebuilt programs: versions and hashes are pinned by the
go.mod and go.sum files in lab/go, and in lab/go-kubernetes for the other versions of Kubernetes
that can be tried. Deliberately no version without pins: there is nothing to check it against.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from numapin_api.errors import LabError
from numapin_lab.cache import Cache, hash_tree
from numapin_lab.paths import cache_root
from numapin_lab.steps import Steps, run

VERSIONS: Mapping[str, str] = MappingProxyType(
    {
        "1.33": "v1.33.13",
        "1.34": "v1.34.4",
        "1.35": "v1.35.4",
        "1.36": "v1.36.3",
        "1.37": "v1.37.2",
    }
)
"""Minor version of Kubernetes to the release that its go.mod pins."""
DEFAULT_KUBERNETES = "1.35"
KUBERNETES_VERSION = VERSIONS[DEFAULT_KUBERNETES]
CHOOSE_KUBERNETES = "NUMAPIN_KUBERNETES"
"""Environment variable: the version that integration tests run against."""
GO_MODULES = Path(__file__).resolve().parents[1] / "go"
OTHER_VERSIONS = GO_MODULES.with_name("go-kubernetes")
_MIN_GO = (1, 25)
_ETCD = "go.etcd.io/etcd/server/v3"
_SERVERS = (_ETCD, "k8s.io/kubernetes/cmd/kube-apiserver")
_KUBERNETES = (
    *_SERVERS,
    *(
        f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-controller-manager", "kube-scheduler", "kubectl", "kubelet")
    ),
)


def ensure(
    steps: Steps | None = None, *, cache: Cache | None = None, kubernetes: str = DEFAULT_KUBERNETES
) -> Path:
    """Directory with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl,
    kubelet, helm and pause, built when it is missing (5 min cold on 2 cores).

    Args:
        steps: where to show progress; None is silent.
        cache: where to keep it; None is the cache shared by all clones.
        kubernetes: a key of VERSIONS.

    Raises:
        LabError: no such version, no Go toolchain, too old a one, or a build failed.
    """  # noqa: D205 - the list of programs needs its second line
    packages = (
        (module_of(kubernetes), _KUBERNETES, version_flags(kubernetes)),
        (GO_MODULES / "helm", ("helm.sh/helm/v3/cmd/helm",), ""),
        (GO_MODULES / "pause", (".",), ""),
    )
    modules = [GO_MODULES]
    if kubernetes != DEFAULT_KUBERNETES:
        modules = [module for module, *_ in packages]
    return _ensure("binaries", packages, modules=modules, steps=steps, cache=cache)


def ensure_servers(
    steps: Steps | None = None, *, cache: Cache | None = None, kubernetes: str | None = None
) -> Path:
    """Directory with etcd and kube-apiserver at least, built when it is missing.

    Args:
        steps: where to show progress; None is silent.
        cache: where to keep it; None is the cache shared by all clones.
        kubernetes: a key of VERSIONS; None is what NUMAPIN_KUBERNETES says, else the default.

    Raises:
        LabError: as for ensure.
    """
    wanted = kubernetes or os.environ.get(CHOOSE_KUBERNETES) or DEFAULT_KUBERNETES
    if wanted == DEFAULT_KUBERNETES:
        return ensure(steps, cache=cache)
    module = module_of(wanted)
    packages = ((module, _SERVERS, version_flags(wanted)),)
    return _ensure("servers", packages, modules=[module], steps=steps, cache=cache)


def module_of(kubernetes: str) -> Path:
    """Directory of the go.mod that pins a version of Kubernetes.

    Raises:
        LabError: no such version; names those that there are.
    """
    if kubernetes not in VERSIONS:
        raise LabError(
            f"Kubernetes {kubernetes!r} is not pinned here; allowed are {', '.join(VERSIONS)}"
        )
    if kubernetes == DEFAULT_KUBERNETES:
        return GO_MODULES / "kubernetes"
    return OTHER_VERSIONS / kubernetes


def version_flags(kubernetes: str) -> str:
    """Linker flags that make programs say which version they are."""
    package = "k8s.io/component-base/version"
    major, minor = kubernetes.split(".")
    return (
        f"-X {package}.gitVersion={VERSIONS[kubernetes]} "
        f"-X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )


_Packages = tuple[tuple[Path, tuple[str, ...], str], ...]
"""Module directory, packages of it to build, linker flags."""


def _ensure(
    kind: str,
    packages: _Packages,
    *,
    modules: list[Path],
    steps: Steps | None,
    cache: Cache | None,
) -> Path:
    steps = steps or Steps()
    cache = cache or Cache(cache_root())
    inputs = {
        "modules": hash_tree(*modules),
        "flags": packages[0][2],
        "packages": " ".join(packages[0][1]),
    }
    if cache.path(kind, inputs).exists():
        return cache.ensure(kind, inputs, lambda _: None)
    go = find_go()
    with steps.step("Kubernetes, etcd and helm from Go modules"):
        log = cache.root / "logs" / "binaries.log"
        return cache.ensure(kind, inputs, lambda out: _build(go, out, packages, log))


def go_version(text: str) -> tuple[int, int]:
    """Major and minor of `go version`'s answer.

    Raises:
        LabError: it does not read like one.
    """
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    if found is None:
        raise LabError(f"go version says {text.strip()!r}, no version is in it")
    return int(found[1]), int(found[2])


def find_go() -> str:
    """The Go toolchain.

    Raises:
        LabError: there is none, or too old a one.
    """
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


def _build(go: str, out: Path, wanted: _Packages, log: Path) -> None:
    for module, packages, flags in wanted:
        build(go, out, module=module, packages=packages, flags=flags, log=log)
    # The package is called server; everybody else calls the program etcd.
    (out / "server").rename(out / "etcd")


def build(  # noqa: PLR0913 -- all by keyword
    go: str,
    out: Path,
    *,
    module: Path,
    packages: tuple[str, ...],
    flags: str,
    log: Path,
    tags: str = "",
) -> None:
    """Build programs of a pinned Go module.

    Args:
        go: the toolchain.
        out: directory for the programs.
        module: directory with go.mod and go.sum.
        packages: to build.
        flags: of the linker.
        log: where the compiler's output goes.
        tags: build tags.

    Raises:
        LabError: a build failed; names the log.
    """
    linked = f"-s -w {flags}"
    run(
        [go, "build", "-trimpath", "-tags", tags, "-ldflags", linked, "-o", f"{out}/", *packages],
        log=log,
        # GOFLAGS of the user could ask for a vendor folder or a changed go.mod.
        env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"},
        cwd=module,
    )
