"""values.yaml, its schema and the programs' own defaults say the same."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.chart import CHART
from support.policy_values import policy_values

from numapin_api.policy import NumaPolicySpec
from numapin_operator.config import read_policy

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# Helm hands it to every chart that is part of another one.
NOT_IN_VALUES = {"global"}


def places(values: Any, schema: dict[str, Any], path: str) -> Iterator[tuple[str, set[str]]]:
    """Each object of the schema that lists its keys, with the keys that differ."""
    if "properties" in schema:
        yield path, values.keys() ^ (schema["properties"].keys() - NOT_IN_VALUES)
        for name, below in schema["properties"].items():
            if name in values:
                yield from places(values[name], below, f"{path}.{name}")


def test_values_and_schema_know_the_same_keys():
    assert [(path, keys) for path, keys in places(VALUES, SCHEMA, "values") if keys] == []


def objects_of(schema: dict[str, Any], path: str = "values") -> Iterator[tuple[str, dict]]:
    if schema.get("type") == "object":
        yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from objects_of(below, f"{path}.{name}")


def test_schema_refuses_unknown_keys_everywhere():
    # These are Kubernetes' own types, which the API server checks.
    free = {"values.global", "values.operator.affinity", "values.agent.affinity"} | {
        f"values.{part}.resources" for part in ("operator", "agent")
    }
    for path, schema in objects_of(SCHEMA):
        assert path in free or "additionalProperties" in schema, path


def test_schema_of_the_default_policy_is_the_contracts():
    assert SCHEMA["properties"]["defaultPolicy"] == policy_values()


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
