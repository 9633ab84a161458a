"""Which policy applies, and what annotations may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.machines import TWO, machine

from numapin_api.names import ANNOTATIONS
from numapin_api.policy import LabelSelector, NumaPolicySpec
from numapin_operator.pods import Key, Pod
from numapin_operator.select import Choice, Invalid, matches, policy_for, select

DEFAULT = NumaPolicySpec()


def pod(labels: dict[str, str] | None = None, **annotations: str) -> Pod:
    return Pod(
        key=Key("default", "p"),
        uid="u",
        node="numa-0",
        labels=labels or {},
        annotations={f"numapin.io/{k}": v for k, v in annotations.items()},
    )


def choose(subject: Pod, policies: dict[str, NumaPolicySpec] | None = None) -> Choice | Invalid:
    return select(
        subject,
        namespace_labels={},
        policies=policies or {},
        default=DEFAULT,
        topology=machine(TWO),
    )


def expression(key: str, operator: str, *values: str) -> dict[str, object]:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({}, {"a": "1"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchLabels": {"a": ""}}, {}, False),
        ({"matchLabels": {"a": "1", "b": "2"}}, {"a": "1"}, False),
        ({"matchExpressions": [expression("a", "In", "1", "2")]}, {"a": "2"}, True),
        ({"matchExpressions": [expression("a", "In", "1", "2")]}, {"a": "3"}, False),
        ({"matchExpressions": [expression("a", "In", "1")]}, {}, False),
        ({"matchExpressions": [expression("a", "NotIn", "1")]}, {}, True),
        ({"matchExpressions": [expression("a", "NotIn", "1")]}, {"a": "1"}, False),
        ({"matchExpressions": [expression("a", "NotIn", "1")]}, {"a": "2"}, True),
        ({"matchExpressions": [expression("a", "Exists")]}, {"a": ""}, True),
        ({"matchExpressions": [expression("a", "Exists")]}, {"b": ""}, False),
        ({"matchExpressions": [expression("a", "DoesNotExist")]}, {"b": ""}, True),
        ({"matchExpressions": [expression("a", "DoesNotExist")]}, {"a": ""}, False),
        (
            {"matchLabels": {"a": "1"}, "matchExpressions": [expression("b", "Exists")]},
            {"a": "1"},
            False,
        ),
    ],
)
def test_label_selectors(selector: dict[str, object], labels: dict[str, str], selected: bool):
    assert matches(LabelSelector.model_validate(selector), labels) is selected


def policy(
    priority: int = 0, app: str | None = None, team: str | None = None, **more: object
) -> NumaPolicySpec:
    return NumaPolicySpec.model_validate(
        {
            "priority": priority,
            "podSelector": {"matchLabels": {"app": app} if app else {}},
            "namespaceSelector": {"matchLabels": {"team": team} if team else {}},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("policies", "wanted"),
    [
        ({}, None),
        ({"b": policy(), "a": policy()}, "a"),
        ({"b": policy(1), "a": policy()}, "b"),
        ({"b": policy(1, app="mysql"), "a": policy()}, "a"),
        ({"b": policy(1, app="redis"), "a": policy()}, "b"),
        ({"b": policy(1, team="data"), "a": policy(-5)}, "b"),
        ({"b": policy(1, team="web"), "a": policy(-5)}, "a"),
        ({"b": policy(1, team="web")}, None),
    ],
)
def test_highest_priority_then_first_name(policies: dict[str, NumaPolicySpec], wanted: str | None):
    subject = pod({"app": "redis"})
    assert policy_for(subject, namespace_labels={"team": "data"}, policies=policies) == wanted
    backwards = dict(reversed(policies.items()))
    assert policy_for(subject, namespace_labels={"team": "data"}, policies=backwards) == wanted


def test_without_a_policy_the_default_applies():
    found = choose(pod())
    assert isinstance(found, Choice)
    assert (found.policy, found.mode, found.memory, found.headroom_percent) == (
        "(default)",
        "Enforce",
        "Strict",
        10,
    )


def test_annotations_override_the_policy():
    policies = {
        "a": policy(5),
        "b": policy(app="other", memory="None", memoryHeadroom="20%", mode="Observe"),
    }
    found = choose(pod(policy="b", socket="1", memory="Preferred", mode="Enforce"), policies)
    assert isinstance(found, Choice)
    assert (found.policy, found.socket, found.memory, found.mode, found.headroom_percent) == (
        "b",
        1,
        "Preferred",
        "Enforce",
        20,
    )


@pytest.mark.parametrize(
    ("annotations", "reason", "message"),
    [
        (
            {"socket": "7"},
            "InvalidAnnotation",
            'numapin.io/socket: "7" is no socket of node numa-0; allowed: 0, 1',
        ),
        (
            {"socket": ""},
            "InvalidAnnotation",
            'numapin.io/socket: "" is no socket number; allowed: 0, 1',
        ),
        (
            {"memory": "strict"},
            "InvalidAnnotation",
            'numapin.io/memory: "strict" is no memory mode; allowed: Strict, Preferred, None',
        ),
        (
            {"mode": "Off"},
            "InvalidAnnotation",
            'numapin.io/mode: "Off" is no mode; allowed: Enforce, Observe',
        ),
        (
            {"policy": "zz"},
            "UnknownPolicy",
            'numapin.io/policy: "zz" is no NumaPolicy; allowed: a, b',
        ),
        (
            {"sockets": "1"},
            "InvalidAnnotation",
            '"numapin.io/sockets" is no annotation of numapin.io; allowed: numapin.io/policy, '
            "numapin.io/socket, numapin.io/memory, numapin.io/mode",
        ),
        (
            {"policy": "zz", "socket": "x"},
            "InvalidAnnotation",
            'numapin.io/policy: "zz" is no NumaPolicy; allowed: a, b; '
            'numapin.io/socket: "x" is no socket number; allowed: 0, 1',
        ),
    ],
)
def test_messages_name_annotation_value_and_what_is_allowed(
    annotations: dict[str, str], reason: str, message: str
):
    found = choose(pod(**annotations), {"b": policy(), "a": policy()})
    assert found == Invalid(reason, message)


@pytest.mark.parametrize(
    "value",
    ["1.0", " 1", "1 ", "-1", "+1", "01", "٣", "1e0", "0x1", "1,0", "0-1", "\n1", "1_0", "²"],
)
def test_only_plain_numbers_are_sockets(value: str):
    assert isinstance(choose(pod(socket=value)), Invalid)


def test_socket_is_only_checked_to_be_a_number_while_the_machine_is_unknown():
    def unknown(value: str) -> Choice | Invalid:
        return select(pod(socket=value), namespace_labels={}, policies={}, default=DEFAULT)

    assert isinstance(unknown("7"), Choice)
    refused = unknown("seven")
    assert isinstance(refused, Invalid)
    assert refused.message.endswith("allowed: a socket number such as 0")


@given(st.sampled_from(ANNOTATIONS), st.text(max_size=300))
def test_any_value_is_understood_or_refused_readably(name: str, value: str):
    found = choose(pod(**{name.partition("/")[2]: value}), {"p": policy()})
    allowed = {
        "numapin.io/policy": {"p"},
        "numapin.io/socket": {"0", "1"},
        "numapin.io/memory": {"Strict", "Preferred", "None"},
        "numapin.io/mode": {"Enforce", "Observe"},
    }[name]
    assert isinstance(found, Choice) is (value in allowed)
    if isinstance(found, Invalid):
        assert name in found.message
        assert found.message.isascii()
        assert found.message.isprintable()
        assert len(found.message) < 1000
