"""Why a pod has no pin, as explain says it."""

import pytest
from support.texts import unspaced

from numapin_cli.views.unpinned import Surroundings, explain_unpinned

POD = {
    "metadata": {
        "name": "redis-0",
        "namespace": "shop",
        "uid": "0c2b",
        "labels": {"numapin.io/pin": "true"},
        "creationTimestamp": "2026-11-23T11:59:50Z",
    },
    "spec": {"nodeName": "numa-0"},
    "status": {"phase": "Running"},
}


OPERATOR = {
    "metadata": {"name": "np-operator", "namespace": "numapin-system"},
    "status": {"availableReplicas": 1},
}


@pytest.fixture
def around(numa_node):
    def around(**change):
        usual = {"installed": True, "operators": [OPERATOR], "nodes": [numa_node()]}
        return Surroundings(**(usual | change))

    return around


def labelled(value: str | None) -> dict:
    return {"metadata": {**POD["metadata"], "labels": value and {"numapin.io/pin": value}}}


LABEL_IT = "kubectl label pod redis-0 -n shop --overwrite numapin.io/pin=true"


@pytest.mark.parametrize(
    ("pod", "change", "failed", "said"),
    [
        (labelled(None), {}, "label", ("does not have the label numapin.io/pin=true", LABEL_IT)),
        (labelled("yes"), {}, "label", ('label numapin.io/pin is "yes"; only "true"', LABEL_IT)),
        (
            {},
            {"installed": False, "nodes": None},
            "installed",
            ("numapin is not installed", "helm install"),
        ),
        ({}, {"operators": []}, "operator", ("no Deployment of numapin's", "helm upgrade")),
        (
            {},
            {"operators": [{**OPERATOR, "status": {}}]},
            "operator",
            ("operator is not available", "describe deployment np-operator -n numapin-system"),
        ),
        ({"status": {"phase": "Succeeded"}}, {}, "alive", ("has ended (Succeeded)", "")),
        (
            {"metadata": {**POD["metadata"], "deletionTimestamp": "2026-11-23T12:00:00Z"}},
            {},
            "alive",
            ("the pod is being deleted", ""),
        ),
        (
            {"spec": {}},
            {"nodes": None},
            "scheduled",
            ("the pod has not been scheduled yet", "kubectl describe pod redis-0 -n shop"),
        ),
        (
            {},
            {"nodes": []},
            "agent",
            ("no numapin agent has reported from node numa-0", "spec.nodeName=numa-0"),
        ),
        ({}, {}, None, ("operator has made no NumaPin yet", "logs deployment/np-operator")),
        (
            {},
            {"operators": None, "nodes": None},
            None,
            ("has made no NumaPin yet", "component=operator"),
        ),
    ],
)
def test_why_a_pod_has_no_pin(  # noqa: PLR0917
    around, shown, pod, change, failed, said
):
    e = explain_unpinned({**POD, **pod}, around(**change))
    assert [c.name for c in e.checks if c.ok is False] == ([failed] if failed else [])
    message, advice = said
    assert message in e.message
    assert advice in " ".join(e.next)
    seen = shown(e)
    assert "not pinned" in seen.splitlines()[0]
    assert message in unspaced(seen)


def test_a_node_whose_agent_is_not_ready(around, numa_node):
    broken = numa_node(status={"conditions": []})
    e = explain_unpinned(POD, around(nodes=[broken]))
    assert "the agent of node numa-0 is not ready: no condition Ready" in e.message
