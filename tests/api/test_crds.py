"""The generated CRDs in a real API server."""

import pytest
from kubernetes.client import ApiClient, ApiextensionsV1Api, CustomObjectsApi

from numapin_api import crd, names

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.name)
def test_crd_is_established_without_complaint(kube: ApiClient, crds, kind):
    found = ApiextensionsV1Api(kube).read_custom_resource_definition(kind.name)
    conditions = {c.type: (c.status, c.message) for c in found.status.conditions}
    assert conditions["Established"][0] == "True"
    assert conditions["NamesAccepted"][0] == "True"
    # Set when a schema is not structural.
    assert "NonStructuralSchema" not in conditions


def test_defaults_are_filled_in(kube: ApiClient, namespace):
    made = CustomObjectsApi(kube).create_cluster_custom_object(
        names.GROUP,
        names.VERSION,
        "numapolicies",
        {
            "apiVersion": names.API_VERSION,
            "kind": "NumaPolicy",
            "metadata": {"name": "all"},
            "spec": {"placement": {"strategy": "Pack"}, "verification": {"window": "5m"}},
        },
    )
    assert made["spec"] == {
        "priority": 0,
        "podSelector": {},
        "namespaceSelector": {},
        "mode": "Enforce",
        "granularity": "Socket",
        "placement": {"strategy": "Pack", "onUnplaceable": "Skip"},
        "memory": "Strict",
        "memoryHeadroom": "10%",
        "verification": {
            "window": "5m",
            "maxCrossSocketPagesPerSecond": 10,
            "minLocalPercent": 95,
            "onFailure": "Warn",
        },
    }
