"""The chart, rendered and installed by the helm that the lab builds."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from numapin_lab import binaries

CHART = Path(__file__).parents[2] / "charts" / "numapin"
NAMESPACE = "numapin-system"
# helm built from its module knows of no release of Kubernetes.
_KUBERNETES = binaries.KUBERNETES_VERSION.removeprefix("v")

EVERYTHING: dict[str, object] = {
    "fullnameOverride": "pins",
    "imagePullSecrets": [{"name": "registry"}],
    "crds.keep": False,
    "defaultPolicy": {"mode": "Observe", "memory": "None"},
    **{
        f"{part}.{key}": value
        for part in ("operator", "agent")
        for key, value in {
            "image.repository": f"example.org/team/{part}",
            "image.tag": "v9",
            "image.pullPolicy": "Always",
            "logLevel": "debug",
            "resources": {"limits": {"memory": "1Gi"}},
            "priorityClassName": "important",
            "nodeSelector": {"pool": "a"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "podAnnotations": {"a": "b"},
            "serviceAccount.annotations": {"c": "d"},
        }.items()
    },
    "agent.interval": "5s",
    "agent.kubeletDir": "/var/snap/kubelet",
    "agent.maxUnavailable": 3,
}
"""Each value set to another than its default."""

Helm = Callable[..., subprocess.CompletedProcess[str]]
Object = dict[str, Any]


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Runs helm; the result has stdout, stderr and the exit status."""
    program = binaries.ensure() / "helm"

    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, args)], capture_output=True, text=True, check=False, timeout=50
        )

    return run


def settings(values: dict[str, object]) -> Sequence[str]:
    """Arguments that set values by their dotted paths."""
    return [f"--set-json={path}={json.dumps(value)}" for path, value in values.items()]


def render(helm: Helm, values: dict[str, object] | None = None) -> list[Object]:
    """All objects of a release called numapin."""
    done = helm(
        "template",
        "numapin",
        CHART,
        f"--namespace={NAMESPACE}",
        f"--kube-version={_KUBERNETES}",
        *settings(values or {}),
    )
    assert done.returncode == 0, done.stderr
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def one(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """The only object of that kind, or of that kind and name."""
    (found,) = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    return found
