"""Installs numapin from the checkout into the running lab, with its own chart.

What a user's `helm install` would do, plus the lab's images and a wait until agents have
told of their nodes. Deliberately no other knobs: whoever wants those uses `lab/lab helm`.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numapin_api.errors import LabError
from numapin_lab.images import Image
from numapin_lab.paths import checkout
from numapin_lab.steps import Steps, run

NAMESPACE = "numapin-system"
RELEASE = "numapin"
_WAIT = "300s"
_WORKLOADS = ("deployment/numapin-operator", "daemonset/numapin-agent")


def values(images: Sequence[Image]) -> dict[str, Any]:
    """Chart values for the lab's images.

    The tag never changes, so the digest goes into a pod annotation: another image makes
    another pod template, and the pods are rolled.
    """
    digests = {image.reference: image.digest for image in images}
    chosen: dict[str, dict[str, Any]] = {
        component: {
            "image": {
                "repository": f"localhost/numapin-{component}",
                "tag": "lab",
                "pullPolicy": "Never",
            },
            "podAnnotations": {
                "numapin.io/image-digest": digests[f"localhost/numapin-{component}:lab"]
            },
        }
        for component in ("operator", "agent")
    }
    # Nobody depends on these nodes: all agents may be replaced at once.
    chosen["agent"]["maxUnavailable"] = "100%"
    return chosen


def deploy(  # noqa: PLR0913 - the lab's parts, each named by its one caller
    steps: Steps,
    *,
    programs: Path,
    kubeconfig: Path,
    images: Sequence[Image],
    nodes: Sequence[str],
    scratch: Path,
) -> None:
    """Install or upgrade numapin and wait until operator, agents and NumaNodes are ready.

    Args:
        steps: where to show progress.
        programs: directory with helm and kubectl.
        kubeconfig: the lab's.
        images: as the nodes hold them.
        nodes: names of the lab's nodes.
        scratch: directory for the values file and the log.

    Raises:
        LabError: helm failed, or something was not ready in 5 minutes; shows what the pods
            say.
    """
    log = scratch / "logs" / "deploy.log"
    file = scratch / "values.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values(images), indent=1))
    kube = [str(programs / "kubectl"), "--kubeconfig", str(kubeconfig)]
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            # The agent mounts host paths, which the other levels forbid.
            "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
        },
    }
    with steps.step("helm upgrade --install numapin"):
        _apply(kube, namespace)
        run(
            [
                *(programs / "helm", "--kubeconfig", kubeconfig, "upgrade", "--install"),
                *(RELEASE, checkout() / "charts" / "numapin", "--namespace", NAMESPACE),
                *("--values", file),
            ],
            log=log,
        )
    try:
        for workload in _WORKLOADS:
            with steps.step(f"{workload} ready"):
                command = [*kube, "-n", NAMESPACE, "rollout", "status", workload]
                run([*command, f"--timeout={_WAIT}"], log=log)
        for node in nodes:
            with steps.step(f"numanode/{node} ready"):
                _await_numanode(kube, node, log)
    except LabError as error:
        raise LabError(f"{error}\n{_what_pods_say(kube)}") from error


def _await_numanode(kube: list[str], node: str, log: Path) -> None:
    # The object is the agent's first word; `create` waits for it, the condition for the rest.
    run([*kube, "wait", "--for=create", f"numanode/{node}", f"--timeout={_WAIT}"], log=log)
    wait = [*kube, "wait", "--for=condition=Ready", f"numanode/{node}", f"--timeout={_WAIT}"]
    run(wait, log=log)


def _apply(kube: list[str], document: Mapping[str, Any]) -> None:
    done = subprocess.run(
        [*kube, "apply", "--server-side", "--field-manager=lab", "-f", "-"],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"kubectl apply failed: {done.stderr.strip()}")


def _what_pods_say(kube: list[str]) -> str:
    """Pods and the last lines of their logs, for a failed step's message."""
    said = []
    for args in (
        ["get", "pods", "-o", "wide"],
        ["logs", "--prefix", "--tail=8", "-l", "app.kubernetes.io/name=numapin"],
    ):
        done = subprocess.run(
            [*kube, "-n", NAMESPACE, *args], capture_output=True, text=True, check=False
        )
        said.append(done.stdout + done.stderr)
    return "\n".join(said)
