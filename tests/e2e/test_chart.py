"""``helm test`` in the lab: a pod is pinned and verified, and nothing of it stays."""

import re

import pytest
from support.chart import CHART
from support.world import World

from numapin_api.names import API_VERSION
from numapin_lab.deploy import NAMESPACE, RELEASE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200, func_only=True)]

# A minute's window would make an emulated test no surer.
POLICY = {
    "apiVersion": API_VERSION,
    "kind": "NumaPolicy",
    "metadata": {"name": "helm-test"},
    "spec": {
        "priority": 1000,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "verification": {"window": "20s"},
    },
}


def test_helm_test_sees_a_pod_pinned_and_leaves_nothing(world: World):
    world.apply(POLICY)
    # An emulated node that starts a dozen other pods needs minutes for one more.
    patience = ("--reuse-values", "--set", "test.timeoutSeconds=600")
    world.helm("upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, *patience)
    try:
        said = world.helm("test", RELEASE, "--namespace", NAMESPACE, "--timeout", "12m")
    finally:
        world.kubectl("delete", "numapolicy", "helm-test")
    assert set(re.findall(r"Phase:\s+(\w+)", said)) == {"Succeeded"}
    assert "verdict: Verified" in said
    assert "by policy helm-test" in said
    for kind in ("pods", "numapins", "serviceaccounts", "roles", "rolebindings"):
        left = world.kubectl("get", kind, "-n", NAMESPACE, "-o", "name")
        assert "numapin-test" not in left
    for kind in ("clusterroles", "clusterrolebindings"):
        assert "numapin-test" not in world.kubectl("get", kind, "-o", "name")
