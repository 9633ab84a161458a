"""The chart's README: a head written by hand, and a table of all values."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from numapin_chart.schema import of
from numapin_chart.shapes import Schema
from numapin_chart.values import Value

_HEADER: Final = "<!-- Written by `make chart` from values.yaml and README.head.md. -->\n"


def text(head: str, values: Iterable[Value]) -> str:
    """The file README.md.

    Args:
        head: what stands above the tables.
        values: of values.yaml.
    """
    parts = [_HEADER + head.rstrip("\n")]
    loose: list[str] = []
    for value in values:
        if not value.below:
            loose += rows(value, of(value))
            continue
        if loose:
            parts.append(_table(loose))
            loose = []
        title = [f"### `{value.dotted}`"]
        if value.prose:
            title += ["", value.prose]
        parts.append("\n".join(title))
        below = [row for v in value.below for row in rows(v, _of_part(of(value), v))]
        parts.append(_table(below))
    if loose:
        parts.append(_table(loose))
    return "\n\n".join(parts) + "\n"


def rows(value: Value, schema: Schema) -> Iterator[str]:
    """Lines of the table: a map whose keys are known has one for each of them."""
    known = schema.get("properties", {})
    if value.below and {v.path[-1] for v in value.below} == known.keys():
        for part in value.below:
            yield from rows(part, known[part.path[-1]])
        return
    said = schema.get("description", "")
    if "enum" in schema:
        allowed = ", ".join(f"`{choice}`" for choice in schema["enum"])
        said = f"{said} One of {allowed}.".strip()
    default = json.dumps(value.default, ensure_ascii=False)
    yield f"| `{value.dotted}` | `{default}` | {said.replace('|', chr(92) + '|')} |"


def _of_part(schema: Schema, part: Value) -> Schema:
    found: Schema = schema["properties"][part.path[-1]]
    return found


def _table(lines: Iterable[str]) -> str:
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *lines])
