"""values.yaml, its schema and the programs' own defaults say the same."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.chart import CHART, EVERYTHING

from numapin_api.errors import ChartError
from numapin_api.policy import NumaPolicySpec
from numapin_chart import values
from numapin_chart.__main__ import drift
from numapin_chart.schema import schema
from numapin_operator.config import read_policy

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def objects_of(schema: dict[str, Any], path: str = "values") -> Iterator[tuple[str, dict]]:
    if schema.get("type") == "object":
        yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from objects_of(below, f"{path}.{name}")
    if "items" in schema:
        yield from objects_of(schema["items"], f"{path}[]")


def test_schema_refuses_unknown_keys_everywhere():
    # Deep inside Kubernetes' own types, which the API server checks.
    free = re.compile(r"values\.global|.*Affinity|.*\.matchExpressions\[\]")
    for path, found in objects_of(SCHEMA):
        assert free.fullmatch(path) or "additionalProperties" in found, path


def test_generated_files_are_what_values_and_models_say():
    assert drift() == ()


def leaves(value: values.Value) -> Iterator[values.Value]:
    """The values that are set one by one: a free map is one of them."""
    if value.below and value.extra.get("use") in {None, "policy"}:
        for part in value.below:
            yield from leaves(part)
    else:
        yield value


def test_scenario_everything_sets_every_value_to_another():
    there = [v for top in values.read((CHART / "values.yaml").read_text()) for v in leaves(top)]
    same = {v.dotted for v in there if at(EVERYTHING, v.path, v.default) == v.default}
    assert same == {
        "crds.install",
        # At most one of the two monitors may be on.
        *(f"monitoring.serviceMonitor.{name}" for name in ("enabled", "labels", "interval")),
    }


def at(tree: Any, path: tuple[str, ...], default: Any) -> Any:
    for name in path:
        if name not in tree:
            return default
        tree = tree[name]
    return tree


def of(text: str) -> dict[str, Any]:
    return schema(values.read(text))["properties"]


def test_comment_directly_above_is_the_documentation():
    found = of(
        "# Not of a.\n\n# What a is,\n# and more.\n# @schema {minimum: 1}\na: 5\nb: x # no\n"
    )
    assert found["a"] == {
        "description": "What a is, and more.",
        "type": "integer",
        "minimum": 1,
    }
    assert found["b"] == {"type": "string"}


def test_maps_are_closed_and_know_their_keys():
    assert of("a:\n  # Deep.\n  b: true\n")["a"] == {
        "type": "object",
        "additionalProperties": False,
        "properties": {"b": {"description": "Deep.", "type": "boolean"}},
        "required": ["b"],
    }


@pytest.mark.parametrize(
    ("value", "needed"),
    [
        ("true", True),
        ("0", True),
        ('""', False),
        ("x", False),
        ("x # @schema {enum: [x]}", True),
        ("x # @schema {minLength: 1}", True),
        ('"" # @schema {pattern: "^(a+)?$"}', False),
        ('a # @schema {pattern: "^a+$"}', True),
        ("[] # @schema {use: tolerations}", False),
        ("[1] # @schema {use: ports}", True),
        ("{} # @schema {use: strings}", False),
        ("{b: x}", True),
    ],
)
def test_what_can_not_be_empty_has_to_be_there(value, needed):
    default, _, directive = value.partition(" # ")
    text = f"# {directive}\na: {default}\n" if directive else f"a: {default}\n"
    assert schema(values.read(text))["required"] == (["a"] if needed else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "no mapping"),
        ("a: 1\na: 2\n", "a is there twice"),
        ("a: {}\n", "a: say by `@schema` what is allowed"),
        ("a:\n  b: []\n", "a.b: say by `@schema` what is allowed"),
        ("# @schema {use: nothing}\na: 1\n", "a: 'nothing' is no shape"),
        ("# @schema minimum 1\na: 1\n", "is no mapping like"),
        ("# @schema {minimum: [}\na: 1\n", "a: '@schema {minimum: [}'"),
    ],
)
def test_source_that_is_not_understood_is_refused(text, said):
    with pytest.raises(ChartError, match=re.escape(said)):
        of(text)


def test_default_policy_is_the_built_in_one():
    assert read_policy(yaml.safe_dump(VALUES["defaultPolicy"])) == NumaPolicySpec()


def test_default_policy_shows_every_field():
    shown = NumaPolicySpec().wire()
    for name in ("priority", "podSelector", "namespaceSelector"):
        del shown[name]
    assert VALUES["defaultPolicy"] == shown


@pytest.mark.parametrize("key", ["version", "appVersion"])
def test_chart_is_of_the_version_of_the_programs(key):
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    assert f'version = "{chart[key]}"' in project
