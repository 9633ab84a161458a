"""The Prometheus Operator's kinds in a test's cluster, as far as the chart uses them."""

from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import NotFoundException
from support.resources import Resources, request
from support.wait import until

GROUP = "monitoring.coreos.com"
KINDS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())


def install(admin: ApiClient) -> None:
    """Install the three CRDs and wait until they are served."""
    there = Resources(admin, "customresourcedefinitions", base="/apis/apiextensions.k8s.io/v1")
    for kind in KINDS:
        there.create(_crd(kind))

    def served() -> bool:
        try:
            found = request(admin, "GET", f"/apis/{GROUP}/v1")["resources"]
        except NotFoundException:
            return False  # not even the group is known yet
        return {kind["plural"] for kind in KINDS} <= {r["name"] for r in found}

    until(served, what="the Prometheus Operator's kinds to be served", seconds=30)


def _crd(kind: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": kind["spec"]}, "required": ["spec"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind['plural']}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind["kind"],
                "plural": kind["plural"],
                "singular": kind["kind"].lower(),
            },
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
