"""values.schema.json: from each default its type, from its comment the rest.

Every object is closed, so that a mistyped key is an error and not a value that silently does
nothing. And every key is required that can't be empty: helm leaves out what is set to null and,
with --reuse-values, what an older chart didn't have, and a template would take that for "no".
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from numapin_api.errors import ChartError
from numapin_chart.shapes import SHAPES, Schema, closed
from numapin_chart.values import Value

_TYPES: Final[dict[type, str]] = {bool: "boolean", int: "integer", str: "string"}
# Helm hands a parent chart's `global` to every chart in it.
_GLOBAL: Final[Schema] = {
    "type": "object",
    "description": "Of the chart that this one is part of; not used.",
}


def schema(values: Iterable[Value]) -> Schema:
    """The JSON schema of all values.

    Raises:
        ChartError: a value's type can't be told, or it uses an unknown shape.
    """
    found = _of_all(values)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the numapin chart",
        **found,
        "properties": {"global": _GLOBAL, **found["properties"]},
    }


def of(value: Value) -> Schema:
    """The JSON schema of one value.

    Raises:
        ChartError: its type can't be told, or it uses an unknown shape.
    """
    extra = dict(value.extra)
    used = extra.pop("use", None)
    if used is not None and used not in SHAPES:
        raise ChartError(f"values.yaml: {value.dotted}: {used!r} is no shape: {sorted(SHAPES)}")
    if used is not None:
        shape = SHAPES[used]
    elif value.below:
        shape = _of_all(value.below)
    elif type(value.default) in _TYPES:
        shape = {"type": _TYPES[type(value.default)]}
    else:
        raise ChartError(f"values.yaml: {value.dotted}: say by `@schema` what is allowed")
    described: dict[str, Any] = {"description": value.prose} if value.prose else {}
    return described | {k: v for k, v in shape.items() if k not in described} | extra


def _of_all(values: Iterable[Value]) -> Schema:
    properties = {v.path[-1]: of(v) for v in values}
    needed = [name for name, found in properties.items() if not _may_be_empty(found)]
    return {**closed(**properties), "required": needed}


def _may_be_empty(schema: Schema) -> bool:
    """Whether nothing means the same as an empty value, and that one is allowed."""
    match schema["type"]:
        case "string":
            empty = re.search(schema.get("pattern", ""), "") is not None
            return empty and "enum" not in schema and "minLength" not in schema
        case "array":
            return "minItems" not in schema
        case "object":
            return "required" not in schema
    return False


def text(values: Iterable[Value]) -> str:
    """The file values.schema.json."""
    return json.dumps(schema(values), indent=2, ensure_ascii=False) + "\n"
