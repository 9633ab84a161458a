"""Reads values.yaml together with its comments: the one source of the chart's schema and README.

A comment directly above a key, at its own indentation, is that value's documentation; a line
``@schema {…}`` in it holds what the default can't tell (keywords of JSON schema, or ``use``
with the name of a shape). Comments behind a value are for readers of the file only.
It deliberately judges no value: that is what the schema is for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from numapin_api.errors import ChartError

_DIRECTIVE: Final = "@schema "


@dataclass(frozen=True, slots=True)
class Value:
    """One key of values.yaml.

    Attributes:
        path: the keys that lead to it.
        default: its value in the file.
        prose: its documentation, lines joined; empty without a comment.
        extra: the keywords that its comment adds.
        below: the keys of a map, in the file's order.
    """

    path: tuple[str, ...]
    default: object
    prose: str
    extra: Mapping[str, Any]
    below: tuple["Value", ...]

    @property
    def dotted(self) -> str:
        """The path as ``helm --set`` takes it."""
        return ".".join(self.path)


def read(text: str) -> tuple[Value, ...]:
    """All top-level values of a values.yaml.

    Raises:
        ChartError: it is no mapping, a key repeats, or a comment's ``@schema`` can't be read.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ChartError("values.yaml: no mapping")
    return _below(root, yaml.safe_load(text), text.splitlines(), ())


def _below(
    node: yaml.MappingNode, defaults: Mapping[str, Any], lines: Sequence[str], path: tuple[str, ...]
) -> tuple[Value, ...]:
    found: list[Value] = []
    for key, value in node.value:
        here = (*path, str(key.value))
        if here in {v.path for v in found}:
            raise ChartError(f"values.yaml: {'.'.join(here)} is there twice")
        prose, extra = _comment(lines, key.start_mark.line, key.start_mark.column, here)
        default = defaults[key.value]
        below = _below(value, default, lines, here) if isinstance(value, yaml.MappingNode) else ()
        found.append(Value(here, default, prose, extra, below))
    return tuple(found)


def _comment(
    lines: Sequence[str], line: int, column: int, path: tuple[str, ...]
) -> tuple[str, Mapping[str, Any]]:
    """Prose and keywords of the comment that ends above a line."""
    prefix = " " * column + "#"
    first = line
    while first > 0 and lines[first - 1].startswith(prefix):
        first -= 1
    prose: list[str] = []
    extra: dict[str, Any] = {}
    for text in (each.removeprefix(prefix).strip() for each in lines[first:line]):
        if not text.startswith(_DIRECTIVE):
            prose.append(text)
            continue
        try:
            keywords = yaml.safe_load(text.removeprefix(_DIRECTIVE))
        except yaml.YAMLError as error:
            raise ChartError(f"values.yaml: {'.'.join(path)}: {text!r}: {error}") from error
        if not isinstance(keywords, dict):
            raise ChartError(f"values.yaml: {'.'.join(path)}: {text!r} is no mapping like {{…}}")
        extra |= keywords
    return " ".join(prose), extra
