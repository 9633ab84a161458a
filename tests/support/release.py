"""Versions of numapin in the lab's cluster: which image tag agent and operator run."""

import json
from dataclasses import dataclass
from pathlib import Path

from support.world import World

from numapin_lab.deploy import NAMESPACE, RELEASE
from numapin_lab.paths import checkout
from numapin_lab.steps import run

CHART = checkout() / "charts" / "numapin"
_WAIT = "900s"
"""An emulated node takes minutes for a new agent's first compilation."""


@dataclass(frozen=True)
class Release:
    """The release that the lab has installed.

    Attributes:
        world: the lab.
        scratch: for values and log.
    """

    world: World
    scratch: Path

    def upgrade(self, *, agent: str, operator: str, chart: Path = CHART) -> None:
        """Upgrade to these image tags, one agent at a time; returns when all pods are new.

        Raises:
            LabError: helm failed, or a pod was not ready in time.
        """
        values = {
            component: {
                "image": {
                    "repository": f"localhost/numapin-{component}",
                    "tag": tag,
                    "pullPolicy": "Never",
                }
            }
            for component, tag in (("agent", agent), ("operator", operator))
        }
        values["agent"]["maxUnavailable"] = 1
        file = self.scratch / "values.json"
        file.write_text(json.dumps(values))
        programs, kubeconfig = self.world.lab.programs(), self.world.lab.paths.kubeconfig
        log = self.scratch / "helm.log"
        helm = [programs / "helm", "--kubeconfig", kubeconfig, "--namespace", NAMESPACE]
        run([*helm, "upgrade", "--install", RELEASE, chart, "--values", file], log=log)
        kubectl = [programs / "kubectl", "--kubeconfig", kubeconfig, "--namespace", NAMESPACE]
        for workload in ("deployment/numapin-operator", "daemonset/numapin-agent"):
            run([*kubectl, "rollout", "status", workload, f"--timeout={_WAIT}"], log=log)

    def tag(self, *, old: str, new: str) -> None:
        """Give the images on all nodes a second name; what they hold stays the same."""
        now = self.world.lab.state()
        assert now is not None
        for node in now.nodes:
            for component in ("agent", "operator"):
                name = f"localhost/numapin-{component}"
                self.world.ssh(node, f"ctr -n k8s.io images tag --force {name}:{old} {name}:{new}")

    def images(self) -> set[str]:
        """Images of all pods of the release that are not on their way out."""
        listed = self.world.cluster.core.list_namespaced_pod(
            NAMESPACE, label_selector="app.kubernetes.io/component in (agent, operator)"
        )
        return {
            container.image
            for pod in listed.items
            if pod.metadata.deletion_timestamp is None
            for container in pod.spec.containers
        }
