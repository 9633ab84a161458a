"""What ``numapin plan`` reads: YAML and JSON as Kubernetes does, and junk without falling over."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.manifests import changed, node, pin, pod, policy

from numapin_api.errors import ManifestError, NumapinError
from numapin_api.policy import NumaPolicySpec
from numapin_cli.planning.decide import Planner
from numapin_cli.planning.documents import DEEPEST
from numapin_cli.planning.manifests import Objects, read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{a: b: c}", "neither YAML nor JSON: "),
        ("just words", "document 1: 'just words' is no object: it has no kind"),
        ("---\nkind: Secret\n---\n5", "document 2: 5 is no object: it has no kind"),
        ('{"kind": "Secret"} {"kind"', "neither YAML nor JSON: "),
        ("1" * 5000, "an integer has at most 64 digits at line 1, column 1"),
        ('{"a": ' + "1" * 5000 + "}", "an integer has at most 64 digits at line 1, column 7"),
        ("[" * 100_000, "nested too deeply, or into itself"),
        ("# \n" + "[" * 100_000, f"nested deeper than {DEEPEST} levels"),
        ("- " * 100_000, f"nested deeper than {DEEPEST} levels"),
        ("&a [*a]", "document 1: lists nested deeper than 8, or into themselves"),
        ("a: &a [*a]", "document 1: {'a': [[...]]} is no object: it has no kind"),
        ("a: !!bool x", "neither YAML nor JSON: "),
        ("a: !!float x", "neither YAML nor JSON: "),
        ("a: !!int ''", "neither YAML nor JSON: "),
        ("a: " + "1:" * 400 + "1.5", "neither YAML nor JSON: "),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_manifest(numapin, tmp_path, text: str, said: str):
    file = tmp_path / "f"
    file.write_text(text)
    run = numapin("plan", "-f", file)
    assert (run.status, run.out) == (1, "")
    assert run.err.startswith(f"numapin: {file}: ")
    assert said in run.err
    assert "Traceback" not in run.err


def test_a_time_without_quotes_is_text_as_for_the_api_server():
    found = Objects()
    text = yaml.safe_dump(pod("a")).replace(
        "name: a", "name: a\n  creationTimestamp: 2024-01-31T12:00:00Z"
    )
    read(text, source="f", into=found)
    assert found.pods[0]["metadata"]["creationTimestamp"] == "2024-01-31T12:00:00Z"


def test_what_a_cluster_lists_has_no_kind_and_no_file():
    listed = pod("a", "?", metadata={"namespace": "default"})
    del listed["kind"]
    with pytest.raises(ManifestError, match=r"^default/a: '\?' is no quantity"):
        Planner(Objects(pods=[listed]), NumaPolicySpec())


def test_a_resize_under_way_may_have_promised_more_than_the_limit_in_force():
    has = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}
    found = Objects()
    obj = changed(pod("a"), "status/containerStatuses", [{"name": "c", "resources": has}])
    read(json.dumps(obj), source="f", into=found)
    assert len(found.pods) == 1


def test_a_field_that_refers_to_itself_is_nobodys_business_unless_it_is_compared():
    text = yaml.safe_dump(pod("a")) + "etc: &a [*a]\n"
    found = Objects()
    read(text, source="f", into=found)
    assert len(found.pods) == 1
    with pytest.raises(ManifestError, match="another object of that name stands in f"):
        read(text, source="g", into=found)


def test_a_field_of_a_later_agent_is_told_of_once():
    machine = node()
    for entry in machine["status"]["topology"]["nodes"]:
        entry["speed"] = 7
    found = Objects()
    read(json.dumps([machine, {**machine, "metadata": {"name": "n2"}}]), source="f", into=found)
    (said,) = found.notes.values()
    assert said.startswith("f: NumaNode n1: status.topology.nodes[0].speed: 7: no such field")


def test_many_aliases_are_not_deep():
    text = "kind: Secret\na: &a {b: [1]}\nc: [" + "*a, " * (2 * DEEPEST) + "]\n"
    found = Objects()
    read(text + "---\n" + yaml.safe_dump(pod("a")), source="f", into=found)
    assert (found.others, len(found.pods)) == (["Secret"], 1)


def _paths(value: Any, path: str = "") -> list[str]:
    here = [path] if path else []
    steps: Any = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return here + [
        p for step, one in steps for p in _paths(one, f"{path}/{step}" if path else str(step))
    ]


WHOLE = changed(
    changed(
        pod(
            "a",
            metadata={
                "namespace": "default",
                "uid": "u",
                "annotations": {"numapin.io/socket": "0"},
            },
        ),
        "spec/initContainers",
        [{"name": "i", "restartPolicy": "Always", "resources": {"limits": {"cpu": 1}}}],
    ),
    "status",
    {
        "phase": "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ],
        "containerStatuses": [
            {
                "name": "c",
                "resources": {"requests": {"cpu": "1"}},
                "allocatedResources": {"cpu": "1"},
            }
        ],
    },
)
MACHINE = node(
    devices=[{"namespace": "default", "name": "a", "numaNodes": [0]}],
    usage={
        "sockets": [{"id": 0, "cpuMillicores": 5}],
        "nodes": [{"id": 0, "memoryAvailableBytes": 5}],
    },
    capabilities={
        "kernel": "6.12",
        "cgroupVersion": 2,
        "cgroupDriver": "systemd",
        "numaBalancing": True,
        "signals": [{"name": "pinMoves", "level": "none"}],
    },
)
EACH = [
    WHOLE,
    MACHINE,
    pin("a", 0),
    policy(
        "p",
        placement={"rebalance": {"after": "5m"}, "onUnplaceable": "Split"},
        podSelector={"matchLabels": {"a": "b"}},
    ),
]
PLACES = [(i, path) for i, obj in enumerate(EACH) for path in _paths(obj)]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
JUNK = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.sampled_from(PLACES), JUNK)
def test_junk_at_any_place_is_decided_or_refused_with_its_file(place: tuple[int, str], junk: Any):
    which, path = place
    objects = [changed(obj, path, junk) if i == which else obj for i, obj in enumerate(EACH)]
    found = Objects()
    try:
        read(json.dumps(objects), source="f", into=found)
        Planner(found, NumaPolicySpec()).answer(explain=True, moves=True)
    except NumapinError as e:
        assert str(e).startswith("f: ")  # noqa: PT017 (one that is decided is as good)
