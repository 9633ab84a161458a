"""What is made for a try, and what pod and pin are taken to say."""

from typing import Any, get_args

import pytest
from support.objects import example

from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin, Verdict
from numapin_operator.selftest.judge import eligible, look, pod

OWN = {
    "metadata": {"name": "numapin-test", "namespace": "numapin-system", "uid": "t-1"},
    "spec": {
        "imagePullSecrets": [{"name": "registry"}],
        "securityContext": {"runAsNonRoot": True},
        "containers": [
            {
                "name": "test",
                "image": "example.org/operator:v1",
                "imagePullPolicy": "IfNotPresent",
                "securityContext": {"readOnlyRootFilesystem": True},
            }
        ],
    },
}


def numa_node(name: str, *, sockets: int = 2, ready: str = "True") -> NumaNode:
    obj = example("NumaNode")
    obj["metadata"] = {"name": name}
    obj["status"]["topology"]["sockets"] = obj["status"]["topology"]["sockets"][:sockets]
    obj["status"]["conditions"][0]["status"] = ready
    return NumaNode.read(obj)


def made(**status: Any) -> dict[str, Any]:
    found = pod(OWN, ["numa-0"], seconds=60)
    found["metadata"]["uid"] = "p-1"
    if status.pop("scheduled", True):
        found["spec"]["nodeName"] = "numa-0"
    return found | {"status": {"phase": "Running"} | status}


def numa_pin(verdict: str | None = None, *, uid: str = "p-1", **status: Any) -> NumaPin:
    obj = example("NumaPin")
    obj["spec"]["podUID"] = uid
    obj["status"] = {"verdict": verdict, "conditions": []} | status
    return NumaPin.read(obj)


def test_only_ready_nodes_with_two_sockets_will_do():
    nodes = [
        numa_node("b"),
        numa_node("a"),
        numa_node("single", sockets=1),
        numa_node("away", ready="False"),
        NumaNode.read({**example("NumaNode"), "status": None}),
    ]
    assert eligible(nodes) == ("a", "b")


def test_pod_is_got_and_secured_as_the_tester_is_and_goes_with_it():
    found = pod(OWN, ["a", "b"], seconds=60)
    assert found["metadata"]["labels"]["numapin.io/pin"] == "true"
    assert found["metadata"]["ownerReferences"][0]["uid"] == "t-1"
    spec = found["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["securityContext"] == {"runAsNonRoot": True}
    (container,) = spec["containers"]
    assert container["image"] == "example.org/operator:v1"
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["securityContext"] == {"readOnlyRootFilesystem": True}
    assert spec["activeDeadlineSeconds"] > 60
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [t["matchFields"][0]["values"] for t in required["nodeSelectorTerms"]] == [["a"], ["b"]]


def test_pod_of_a_big_cluster_stays_small():
    found = pod(OWN, [f"n{i}" for i in range(5000)], seconds=60)
    required = found["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert len(required["nodeSelectorTerms"]) == 50


@pytest.mark.parametrize(
    ("obj", "pin", "last", "passed"),
    [
        (made(scheduled=False, phase="Pending"), None, "pin: none yet", None),
        (made(), None, "pin: none yet", None),
        (made(), numa_pin("Verified", uid="another"), "pin: none yet", None),
        (made(), numa_pin(None), "verdict: none yet", None),
        (made(), numa_pin("Verified", evidence="Measured"), "verdict: Verified (Measured)", True),
        (made(), numa_pin("Observing"), "verdict: Observing", True),
        (made(), numa_pin("Pending"), "verdict: Pending", None),
        (made(), numa_pin("NoSignal"), "verdict: NoSignal", None),
        (made(), numa_pin("Conflict"), "verdict: Conflict", False),
        (
            made(phase="Failed", reason="OOMKilled"),
            numa_pin("Verified"),
            "the pod ended before it was judged: OOMKilled",
            False,
        ),
    ],
)
def test_last_line_is_what_counts(obj, pin, last, passed):
    seen = look(obj, pin)
    assert seen.lines[-1].startswith(last)
    assert seen.passed is passed


def test_every_verdict_is_an_end_or_a_reason_to_wait():
    waits = {v for v in get_args(Verdict) if look(made(), numa_pin(v)).passed is None}
    assert waits == {"Pending", "NoSignal"}


def test_scheduler_and_conditions_are_repeated():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit"}
    waiting = made(scheduled=False, phase="Pending", conditions=[condition])
    assert look(waiting, None).lines[0] == "pod: Pending; no node: 0/3 nodes fit"
    said = look(made(), NumaPin.read(example("NumaPin") | {}))
    assert said.lines[0] == "pod: Running on node numa-0"
    obj = example("NumaPin")
    obj["spec"]["podUID"] = "p-1"
    lines = look(made(), NumaPin.read(obj)).lines
    assert lines[1] == "pin: socket 1, CPUs 2-3, NUMA nodes 1, by policy databases"
    assert any(line.startswith("Pinned=True: ") for line in lines)
