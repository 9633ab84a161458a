"""What ``numapin plan`` refuses: told with file, object, field, value and what is allowed."""

from typing import Any

import pytest
import yaml
from support.manifests import changed, node, pin, pod, policy

from numapin_cli.planning.schema import CPULISTS, RULES, schema_of

QUANTITY = "must be a number, alone or with an exponent or one of the suffixes"
STRING = "must be a string: put it in quotes"
CPU = "spec.containers[0].resources.requests[cpu]"
MEMORY = "spec.containers[0].resources.requests[memory]"


def topology(**changes: Any) -> dict[str, Any]:
    found = node()
    found["status"]["topology"] |= changes
    return found


LONE: Any = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
DEEP: Any = {"name": "c", "resources": {"requests": {"cpu": {"a": {"b": {"c": {"d": 1}}}}}}}
CAPABILITIES: Any = {"kernel": "6.12", "cgroupVersion": 3, "cgroupDriver": "systemd"}
POD, PIN = pod("a"), pin("a", 0)
REFUSED: list[tuple[dict[str, Any], str, str, str, str]] = [
    # object, how it is called, field, value, what is allowed
    (pod("a", "-8"), "Pod default/a", CPU, "'-8'", "must be at least 0"),
    (pod("a", "1", "-16Gi"), "Pod default/a", MEMORY, "'-16Gi'", "must be at least 0"),
    (pod("a", True), "Pod default/a", CPU, "true", QUANTITY),
    (pod("a", "abc"), "Pod default/a", CPU, "'abc'", QUANTITY),
    (pod("a", "\u0661"), "Pod default/a", CPU, "'\u0661'", QUANTITY),
    (pod("a", None), "Pod default/a", CPU, "null", QUANTITY),
    (pod("a", ["1"]), "Pod default/a", CPU, "['1']", QUANTITY),
    (pod("a", "1", "1 Gi"), "Pod default/a", MEMORY, "'1 Gi'", QUANTITY),
    (pod("a", "1", "1_0Gi"), "Pod default/a", MEMORY, "'1_0Gi'", QUANTITY),
    (pod("a", resources=LONE), "Pod default/a", CPU, "'2'", "must be at most the limit, 1"),
    (
        changed(POD, "spec/overhead", {"cpu": "x"}),
        "Pod default/a",
        "spec.overhead[cpu]",
        "'x'",
        QUANTITY,
    ),
    (
        changed(POD, "spec/resources", {"limits": {"cpu": -1}}),
        *("Pod default/a", "spec.resources.limits[cpu]", "-1", "must be at least 0"),
    ),
    (
        changed(
            POD, "spec/initContainers", [{"name": "i", "resources": {"limits": {"memory": "?"}}}]
        ),
        *("Pod default/a", "spec.initContainers[0].resources.limits[memory]", "'?'", QUANTITY),
    ),
    (
        changed(
            POD, "status/containerStatuses", [{"name": "c", "allocatedResources": {"cpu": "?"}}]
        ),
        *("Pod default/a", "status.containerStatuses[0].allocatedResources[cpu]", "'?'", QUANTITY),
    ),
    (
        pod("a", metadata={"labels": {"numapin.io/pin": True}}),
        *("Pod default/a", "metadata.labels[numapin.io/pin]", "true", STRING),
    ),
    (
        pod("a", metadata={"annotations": {"numapin.io/socket": 1}}),
        *("Pod default/a", "metadata.annotations[numapin.io/socket]", "1", STRING),
    ),
    (
        pod("a", metadata={"labels": ["x"]}),
        "Pod default/a",
        "metadata.labels",
        "['x']",
        "must be a mapping",
    ),
    (
        pod("a", metadata={"labels": {5: "x"}}),
        "Pod default/a",
        "metadata.labels, a key",
        "5",
        STRING,
    ),
    (pod("a", metadata={"uid": 5}), "Pod default/a", "metadata.uid", "5", STRING),
    (pod("a", metadata={"uid": 0}), "Pod default/a", "metadata.uid", "0", STRING),
    (
        pod("a", metadata={"uid": "a_b"}),
        "Pod default/a",
        "metadata.uid",
        "'a_b'",
        "must be of letters",
    ),
    (pod("a", metadata={"namespace": 5}), "Pod 5/a", "metadata.namespace", "5", STRING),
    (
        pod("a", metadata={"name": "A"}),
        "Pod default/A",
        "metadata.name",
        "'A'",
        "must be of lower-case",
    ),
    (
        pod("a", metadata={"creationTimestamp": "2024-13-45"}),
        *(
            "Pod default/a",
            "metadata.creationTimestamp",
            "'2024-13-45'",
            "must be a time like 2026-",
        ),
    ),
    (
        pod("a", metadata={"ownerReferences": [{"controller": True, "kind": "ReplicaSet"}]}),
        *("Pod default/a", "metadata.ownerReferences[0].name", "is missing", "must be a string"),
    ),
    (changed(POD, "spec/nodeName", 5), "Pod default/a", "spec.nodeName", "5", STRING),
    (
        changed(POD, "spec/nodeName", "N_1"),
        "Pod default/a",
        "spec.nodeName",
        "'N_1'",
        "must be of lower-case",
    ),
    (
        changed(POD, "spec/containers", "abc"),
        "Pod default/a",
        "spec.containers",
        "'abc'",
        "must be a list",
    ),
    (
        changed(POD, "spec/containers/0", "c"),
        "Pod default/a",
        "spec.containers[0]",
        "'c'",
        "must be a mapping",
    ),
    (
        changed(POD, "spec/containers/0", {}),
        *("Pod default/a", "spec.containers[0].name", "is missing", "must be a string"),
    ),
    (
        changed(POD, "spec/containers/0", DEEP),
        "Pod default/a",
        CPU,
        "{'a': {'b': {...}}}",
        QUANTITY,
    ),
    (changed(POD, "status", "x"), "Pod default/a", "status", "'x'", "must be a mapping"),
    (
        changed(POD, "metadata", {}),
        "Pod in document 1",
        "metadata.name",
        "is missing",
        "must be a string",
    ),
    (changed(POD, "metadata/name", 5), "Pod in document 1", "metadata.name", "5", STRING),
    (
        changed(POD, "apiVersion", None),
        "Pod in document 1",
        "apiVersion",
        "is missing",
        "must be v1",
    ),
    (
        {**node(), "apiVersion": 1},
        *("NumaNode in document 1", "apiVersion", "1", "must be numapin.io/v1alpha1"),
    ),
    (
        {**node(), "apiVersion": "numapin.io/v2"},
        *("NumaNode n1", "apiVersion", "'numapin.io/v2'", "Input should be 'numapin.io/v1alpha1'"),
    ),
    (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": "x"}},
        *("Namespace shop", "metadata.labels", "'x'", "must be a mapping"),
    ),
    (
        topology(distances=[[10]]),
        "NumaNode n1",
        "status.topology.distances",
        "[[10]]",
        "must be square",
    ),
    (
        topology(distances=[[10, 21], [21]]),
        *("NumaNode n1", "status.topology.distances", "[[10, 21], [21]]", "must be square"),
    ),
    (
        changed(node(), "status/topology/sockets/0/cpus", "7-0"),
        *(
            "NumaNode n1",
            "status.topology.sockets[0].cpus",
            "'7-0'",
            "must be a cpulist like 0-3,8",
        ),
    ),
    (
        changed(node(), "status/topology/sockets/0/cpus", 0),
        *("NumaNode n1", "status.topology.sockets[0].cpus", "0", STRING),
    ),
    (
        changed(node(), "status/topology/sockets/0/nodes", [-1]),
        *("NumaNode n1", "status.topology.sockets[0].nodes", "-1", "ids are between 0 and 65536"),
    ),
    (
        changed(node(), "status/topology/sockets/0/id", -1),
        *("NumaNode n1", "status.topology.sockets[0].id", "-1", "must be at least 0"),
    ),
    (
        changed(node(), "status/topology/nodes/0/memoryBytes", "1Gi"),
        *("NumaNode n1", "status.topology.nodes[0].memoryBytes", "'1Gi'", "must be an integer"),
    ),
    (
        changed(node(), "status/topology/nodes/0/memoryBytes", 1 << 63),
        *(
            "NumaNode n1",
            "status.topology.nodes[0].memoryBytes",
            str(1 << 63),
            "must be an integer of 64",
        ),
    ),
    (
        node(reservedCpus="a"),
        "NumaNode n1",
        "status.reservedCpus",
        "'a'",
        "must be a cpulist like 0-3,8",
    ),
    (
        changed(node(), "status/topology", {"sockets": []}),
        *("NumaNode n1", "status.topology.nodes", "is missing", "must be a list"),
    ),
    (
        node(capabilities=CAPABILITIES),
        *(
            "NumaNode n1",
            "status.capabilities.numaBalancing",
            "is missing",
            "must be true or false",
        ),
    ),
    (
        node(capabilities={**CAPABILITIES, "numaBalancing": True}),
        *("NumaNode n1", "status.capabilities.cgroupVersion", "3", "must be one of 1, 2"),
    ),
    (
        policy("p", placement={"stratgy": "Pack"}),
        *(
            "NumaPolicy p",
            "spec.placement.stratgy",
            "'Pack'",
            "no such field is known; there are strategy,",
        ),
    ),
    (
        {**policy("p"), "specs": {}},
        "NumaPolicy p",
        "specs",
        "{}",
        "no such field is known; there are",
    ),
    (
        policy("p", memory="Perhaps"),
        "NumaPolicy p",
        "spec.memory",
        "'Perhaps'",
        "must be one of Strict, ",
    ),
    (
        policy("p", placement={"rebalance": {"after": "1s"}}),
        *("NumaPolicy p", "spec.placement.rebalance.after", "'1s'", "must be between 10s and 60m"),
    ),
    (
        policy("p", memoryHeadroom="100%"),
        *(
            "NumaPolicy p",
            "spec.memoryHeadroom",
            "'100%'",
            "must be of the form ^(0|[1-9][0-9]?)%$",
        ),
    ),
    (
        policy("p", podSelector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
        *(
            "NumaPolicy p",
            "spec.podSelector.matchExpressions[0]",
            "{'key': 'a'",
            "In and NotIn need",
        ),
    ),
    (
        policy("p", podSelector={"matchLabels": {"-": "a"}}),
        *("NumaPolicy p", "spec.podSelector.matchLabels", "{'-': 'a'}", "keys must be label keys"),
    ),
    (
        policy("p", placement={"rebalance": {"maxMoving": 0}}),
        "NumaPolicy p",
        "spec.placement.rebalance.maxMoving",
        "0",
        "must be at least 1",
    ),
    (
        changed(PIN, "spec/cpus", "7-0"),
        "NumaPin default/a",
        "spec.cpus",
        "'7-0'",
        "must be a cpulist",
    ),
    (
        changed(PIN, "spec/cpus", None),
        "NumaPin default/a",
        "spec.cpus",
        "null",
        "socket and cpus must be given together",
    ),
    (
        changed(PIN, "spec/memory", "None"),
        "NumaPin default/a",
        "spec.mems",
        "'0'",
        "must be absent when",
    ),
    (
        changed(PIN, "spec/podUID", None),
        "NumaPin default/a",
        "spec.podUID",
        "is missing",
        "must be a string",
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row[2]} {row[3]}")
def test_what_an_api_server_would_refuse(
    numapin, tmp_path, row: tuple[dict[str, Any], str, str, str, str]
):
    obj, called, field, value, allowed = row
    file = tmp_path / "f.yaml"
    file.write_text(yaml.safe_dump(obj, allow_unicode=True))
    run = numapin("plan", "-f", file)
    told = f"{field} {value}: " if value == "is missing" else f"{field}: {value}"
    assert run.status == 1
    assert run.err.startswith(f"numapin: {file}: {called}: {told}")
    assert f": {allowed}" in run.err
    assert run.out == ""


def _said(part: Any, name: str) -> set[str]:
    """Every value of that name in a schema."""
    if isinstance(part, list):
        return set().union(*(_said(one, name) for one in part))
    if not isinstance(part, dict):
        return set()
    own = {part[name]} if isinstance(part.get(name), str) else set()
    return own.union(*(_said(one, name) for one in part.values()))


def test_every_rule_of_the_schemas_is_known():
    schemas = [schema_of(kind) for kind in ("NumaNode", "NumaPolicy", "NumaPin")]
    assert set().union(*(_said(one, "rule") for one in schemas)) == set(RULES)
    assert set().union(*(_said(one, "pattern") for one in schemas)) >= CPULISTS
