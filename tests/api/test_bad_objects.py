"""Bad objects are refused by the API server itself, and told which field is wrong."""

from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException
from support.objects import example
from support.resources import Resources

pytestmark = pytest.mark.integration

PLURALS = {
    "NumaPolicy": "numapolicies",
    "NumaNode": "numanodes",
    "NumaPin": "numapins",
    "NumaTrace": "numatraces",
}
NAMESPACED = {"NumaPin", "NumaTrace"}
ABSENT = object()
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Ok",
    "message": "",
    "lastTransitionTime": "2026-11-23T18:00:00Z",
}


def change(obj: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The object with the field at the dotted path set, or without it."""
    at = obj
    *above, last = path.split(".")
    for name in above:
        at = at.setdefault(name, {})
    if value is ABSENT:
        del at[last]
    else:
        at[last] = value
    return obj


SPEC = [
    # kind, field, value, the field that the message names, what it says
    ("NumaPolicy", "spec.mode", "enforce", "spec.mode", '"Enforce", "Observe"'),
    ("NumaPolicy", "spec.mode", "", "spec.mode", '"Enforce", "Observe"'),
    ("NumaPolicy", "spec.granularity", "Core", "spec.granularity", '"Socket", "NumaNode"'),
    ("NumaPolicy", "spec.priority", "high", "spec.priority", "must be of type integer"),
    ("NumaPolicy", "spec.priority", 1.5, "spec.priority", "must be of type integer"),
    ("NumaPolicy", "spec.placement.strategy", "Random", "spec.placement.strategy", '"Pack"'),
    ("NumaPolicy", "spec.placement.onUnplaceable", "Kill", "onUnplaceable", '"CpuOnly"'),
    ("NumaPolicy", "spec.placement", "Spread", "spec.placement", "must be of type object"),
    ("NumaPolicy", "spec.memory", "strict", "spec.memory", '"Strict", "Preferred", "None"'),
    ("NumaPolicy", "spec.memoryHeadroom", "100%", "spec.memoryHeadroom", "should match"),
    ("NumaPolicy", "spec.memoryHeadroom", "10", "spec.memoryHeadroom", "should match"),
    ("NumaPolicy", "spec.memoryHeadroom", 10, "spec.memoryHeadroom", "must be of type string"),
    ("NumaPolicy", "spec.verification.window", "9s", "verification.window", "10s and 60m"),
    ("NumaPolicy", "spec.verification.window", "61m", "verification.window", "10s and 60m"),
    ("NumaPolicy", "spec.verification.window", "1h", "verification.window", "should match"),
    ("NumaPolicy", "spec.verification.window", "60", "verification.window", "should match"),
    (
        "NumaPolicy",
        "spec.verification.minLocalPercent",
        101,
        "spec.verification.minLocalPercent",
        "less than or equal to 100",
    ),
    (
        "NumaPolicy",
        "spec.verification.maxCrossSocketPagesPerSecond",
        -1,
        "spec.verification.maxCrossSocketPagesPerSecond",
        "greater than or equal to 0",
    ),
    ("NumaPolicy", "spec.verification.onFailure", "Delete", "onFailure", '"Warn", "Unpin"'),
    (
        "NumaPolicy",
        "spec.podSelector",
        {"matchExpressions": [{"key": "app", "operator": "In"}]},
        "spec.podSelector.matchExpressions[0]",
        "need at least one value",
    ),
    (
        "NumaPolicy",
        "spec.podSelector",
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]},
        "spec.podSelector.matchExpressions[0]",
        "need at least one value",
    ),
    (
        "NumaPolicy",
        "spec.namespaceSelector",
        {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]},
        "spec.namespaceSelector.matchExpressions[0].values",
        "must be absent for Exists",
    ),
    (
        "NumaPolicy",
        "spec.podSelector",
        {"matchExpressions": [{"key": "app", "operator": "Like", "values": ["x"]}]},
        "spec.podSelector.matchExpressions[0].operator",
        '"DoesNotExist"',
    ),
    (
        "NumaPolicy",
        "spec.podSelector",
        {"matchExpressions": [{"key": "bad key", "operator": "Exists"}]},
        "spec.podSelector.matchExpressions[0].key",
        "should match",
    ),
    (
        "NumaPolicy",
        "spec.podSelector",
        {"matchLabels": {"-app": "redis"}},
        "spec.podSelector.matchLabels",
        "keys must be label keys",
    ),
    (
        "NumaPolicy",
        "spec.podSelector",
        {"matchLabels": {"app": "no spaces"}},
        "spec.podSelector.matchLabels.app",
        "should match",
    ),
    ("NumaPin", "spec", ABSENT, "spec", "Required value"),
    ("NumaPin", "spec.podUID", ABSENT, "spec.podUID", "Required value"),
    ("NumaPin", "spec.podUID", "../../system.slice", "spec.podUID", "should match"),
    ("NumaPin", "spec.nodeName", "", "spec.nodeName", "at least 1 chars"),
    ("NumaPin", "spec.nodeName", "Numa_0", "spec.nodeName", "should match"),
    ("NumaPin", "spec.policy", ABSENT, "spec.policy", "Required value"),
    ("NumaPin", "spec.socket", -1, "spec.socket", "greater than or equal to 0"),
    ("NumaPin", "spec.socket", "1", "spec.socket", "must be of type integer"),
    ("NumaPin", "spec.socket", ABSENT, "spec.cpus", "socket and cpus must be given together"),
    ("NumaPin", "spec.cpus", "0-3;8", "spec.cpus", "should match"),
    ("NumaPin", "spec.cpus", "", "spec.cpus", "at least 1 chars"),
    ("NumaPin", "spec.cpus", "1," * 2048 + "1", "spec.cpus", "may not be more than 4096"),
    ("NumaPin", "spec.mems", "all", "spec.mems", "should match"),
    ("NumaPin", "spec.memory", "None", "spec.mems", "must be absent when memory is None"),
    ("NumaPin", "spec.verification.window", "1s", "spec.verification.window", "10s and 60m"),
    ("NumaTrace", "spec.probe", "perf", "spec.probe", '"timers", "softirqs"'),
    ("NumaTrace", "spec.nodeName", ABSENT, "spec.nodeName", "Required"),
    ("NumaTrace", "spec.nodeName", "../numa-1", "spec.nodeName", "should match"),
    ("NumaTrace", "spec.podName", "", "spec.podName", "should be at least 1"),
    ("NumaTrace", "spec.podName", "a/b", "spec.podName", "should match"),
    ("NumaTrace", "spec.function", "a b", "spec.function", "should match"),
    ("NumaTrace", "spec.function", ABSENT, "spec.function", "needs the name of a kernel function"),
    ("NumaTrace", "spec.probe", "timers", "spec.function", "needs the name of a kernel function"),
    ("NumaTrace", "spec.thresholdNanoseconds", 1000, "thresholdNanoseconds", "take a threshold"),
    ("NumaTrace", "spec.durationSeconds", 601, "durationSeconds", "less than or equal to 600"),
    ("NumaTrace", "spec.durationSeconds", 0, "durationSeconds", "greater than or equal to 1"),
    ("NumaTrace", "spec.ttlSecondsAfterFinished", -1, "ttlSecondsAfterFinished", "greater than"),
]


def named(row: tuple[Any, ...]) -> str:
    return f"{row[0]}:{row[1]}={'absent' if row[2] is ABSENT else str(row[2])[:30]}"


def refusal(error: ApiException) -> str:
    """What the API server told; 422 is Invalid, 400 is not even decodable."""
    assert error.status == 422
    return error.body.replace('\\"', '"')


@pytest.mark.parametrize("row", SPEC, ids=named)
def test_bad_spec_is_refused(kube: ApiClient, namespace, row):
    kind, path, value, field, says = row
    obj = change(example(kind), path, value)
    inside = namespace if kind in NAMESPACED else None
    if inside:
        obj["metadata"]["namespace"] = inside
    with pytest.raises(ApiException) as caught:
        Resources(kube, PLURALS[kind], inside).create(obj)
    told = refusal(caught.value)
    assert field in told
    assert says in told


STATUS = [
    ("NumaPolicy", {"matched": -1}, "status.matched", "greater than or equal to 0"),
    ("NumaPin", {"verdict": "Fine"}, "status.verdict", '"Ineffective"'),
    ("NumaPin", {"evidence": "Hope"}, "status.evidence", '"ByPlacement"'),
    ("NumaPin", {"localPercent": 100.5}, "status.localPercent", "less than or equal to 100"),
    ("NumaPin", {"observed": {"phase": "Pinned"}}, "observed.generation", "Required value"),
    (
        "NumaPin",
        {"observed": {"generation": 1, "phase": "Asleep"}},
        "status.observed.phase",
        '"Refused"',
    ),
    (
        "NumaPin",
        {"observed": {"generation": 1, "phase": "Pinned", "threads": -2}},
        "status.observed.threads",
        "greater than or equal to 0",
    ),
    (
        "NumaPin",
        {
            "observed": {
                "generation": 1,
                "phase": "Pinned",
                "applied": {"cpus": "0-1", "mems": "0", "time": "yesterday"},
            }
        },
        "status.observed.applied.time",
        "date-time",
    ),
    (
        "NumaPin",
        {"conditions": [{**CONDITION, "status": "Yes"}]},
        "status.conditions[0].status",
        '"Unknown"',
    ),
    (
        "NumaPin",
        {"conditions": [{**CONDITION, "reason": "two words"}]},
        "status.conditions[0].reason",
        "should match",
    ),
    ("NumaPin", {"conditions": [CONDITION, CONDITION]}, "status.conditions[1]", "Duplicate"),
    (
        "NumaNode",
        {"topology": {"sockets": [], "nodes": [], "distances": [[10]]}},
        "status.topology.distances",
        "must be square",
    ),
    (
        "NumaNode",
        {
            "topology": {
                "sockets": [],
                "nodes": [{"id": 0, "cpus": "0-", "memoryBytes": 1}],
                "distances": [],
            }
        },
        "status.topology.nodes[0].cpus",
        "should match",
    ),
    ("NumaNode", {"reservedCpus": "none"}, "status.reservedCpus", "should match"),
    (
        "NumaNode",
        {
            "capabilities": {
                "kernel": "6.12",
                "cgroupVersion": 3,
                "cgroupDriver": "systemd",
                "numaBalancing": True,
            }
        },
        "status.capabilities.cgroupVersion",
        '"1", "2"',
    ),
    ("NumaTrace", {"phase": "Dune"}, "status.phase", '"Running", "Done"'),
    ("NumaTrace", {"result": "x" * (512 * 1024 + 1)}, "status.result", "Too long"),
]


@pytest.mark.parametrize("row", STATUS, ids=lambda row: f"{row[0]}:{row[2]}")
def test_bad_status_is_refused(kube: ApiClient, namespace, row):
    kind, status, field, says = row
    obj = example(kind)
    inside = namespace if kind in NAMESPACED else None
    if inside:
        obj["metadata"]["namespace"] = inside
    there = Resources(kube, PLURALS[kind], inside)
    there.create(obj)
    with pytest.raises(ApiException) as caught:
        there.merge(obj["metadata"]["name"], {"status": status}, status=True)
    told = refusal(caught.value)
    assert field in told
    assert says in told


@pytest.mark.parametrize(
    "spec", [{"nodeName": "numa-1"}, {"podName": "web-0"}, {"durationSeconds": 600}]
)
def test_a_question_never_changes(kube: ApiClient, namespace, spec):
    obj = example("NumaTrace")
    obj["metadata"]["namespace"] = namespace
    traces = Resources(kube, "numatraces", namespace)
    traces.create(obj)
    with pytest.raises(ApiException) as caught:
        traces.merge("trace-x7k2p", {"spec": spec})
    assert "can't be changed: make another NumaTrace" in refusal(caught.value)


@pytest.mark.parametrize("field", ["podUID", "nodeName"])
def test_identity_of_a_pin_never_changes(kube: ApiClient, namespace, field):
    obj = example("NumaPin")
    obj["metadata"]["namespace"] = namespace
    pins = Resources(kube, "numapins", namespace)
    pins.create(obj)
    with pytest.raises(ApiException) as caught:
        pins.merge("hopper", {"spec": {field: "another"}})
    told = refusal(caught.value)
    assert f"spec.{field}" in told
    assert "can't be changed" in told
    # The rest of the spec may: another socket is another plan for the same pod.
    moved = pins.merge("hopper", {"spec": {"socket": 0, "cpus": "0-1", "mems": "0"}})
    assert moved["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"mode": "Off"}, "spec.mode"),
        ({"memoryHeadroom": "lots"}, "spec.memoryHeadroom"),
        ({"memory": "None", "verification": {"window": "1h"}}, "spec.verification.window"),
        ({"priority": 7, "placement": {"strategy": "Best"}}, "spec.placement.strategy"),
    ],
)
def test_a_refused_edit_leaves_the_policy_as_it_was(kube: ApiClient, namespace, spec, field):
    policies = Resources(kube, "numapolicies")
    made = policies.create(example("NumaPolicy"))
    name = made["metadata"]["name"]
    with pytest.raises(ApiException) as caught:
        policies.merge(name, {"spec": spec})
    assert field in refusal(caught.value)
    assert policies.get(name) == made
