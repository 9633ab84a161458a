"""values.schema.json: from each default its type, from its comment the rest.

Every object is closed, so that a mistyped key is an error and not a value that silently does
nothing.
"""

import json
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
    properties = {v.path[-1]: of(v) for v in values}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the numapin chart",
        **closed(**{"global": _GLOBAL}, **properties),
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
        shape = closed(**{v.path[-1]: of(v) for v in value.below})
    elif type(value.default) in _TYPES:
        shape = {"type": _TYPES[type(value.default)]}
    else:
        raise ChartError(f"values.yaml: {value.dotted}: say by `@schema` what is allowed")
    described: dict[str, Any] = {"description": value.prose} if value.prose else {}
    return described | {k: v for k, v in shape.items() if k not in described} | extra


def text(values: Iterable[Value]) -> str:
    """The file values.schema.json."""
    return json.dumps(schema(values), indent=2, ensure_ascii=False) + "\n"
