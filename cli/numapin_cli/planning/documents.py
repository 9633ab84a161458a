"""YAML and JSON as Kubernetes reads them: documents of a file, and objects of a document. Pure.

Differs from plain YAML 1.1 in two points: a timestamp is text, as it is for the API server, and
there is an end to nesting and to digits. It deliberately knows no kind and no field but ``kind``,
``apiVersion`` and ``items``.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import yaml

from numapin_api.errors import ManifestError
from numapin_cli.planning.faults import shown

if TYPE_CHECKING:
    _Yaml = yaml.SafeLoader
else:
    # libyaml's, where PyYAML was built with it, is ten times as fast.
    _Yaml = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Json = Mapping[str, Any]

DEEPEST: Final = 200
"""Levels of YAML. libyaml's composer is recursive C: without an end the process would be."""
DEEPEST_LISTS: Final = 8
"""Lists of objects within one another; a list in itself has no end."""
LONGEST_NUMBER: Final = 64
"""Digits of an integer."""
_SPACE: Final = re.compile(r"[ \t\r\n]*")


class _Loader(_Yaml):
    """Safe YAML with the differences above."""

    depth = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:  # noqa: ANN401
        """Called at each node: the one place of the C loader that knows how deep it is."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"nested deeper than {DEEPEST} levels")
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        """Called when a node is complete."""
        self.depth -= 1
        super().ascend_resolver()

    def integer(self, node: yaml.ScalarNode) -> int:
        """An integer; int() would refuse more than 4300 digits without saying where."""
        if len(node.value) > LONGEST_NUMBER:
            said = f"{shown(node.value)}: an integer has at most {LONGEST_NUMBER} digits"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        number: int = self.construct_yaml_int(node)
        return number

    def time(self, node: yaml.ScalarNode) -> str:
        """A time as it is written; one that does not exist is told of by who knows the field."""
        return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.integer)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.time)


def documents(text: str, *, source: str) -> list[Any]:
    """The documents of a file.

    Args:
        text: YAML, or JSON values one after the other.
        source: how messages call the file.

    Raises:
        ManifestError: it is neither.
    """
    try:
        if text.lstrip()[:1] in {"{", "["}:
            try:
                # YAML knows almost all of JSON, but not tabs, and takes a hundred times as long.
                return list(_json(text))
            except ValueError:
                pass
        return list(yaml.load_all(text, Loader=_Loader))
    except RecursionError as e:
        raise ManifestError(f"{source}: nested too deeply, or into itself") from e
    # What PyYAML lets through where a tag promises what is not there: !!bool x, !!float x.
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError) as e:
        where = " ".join(str(e).replace('in "<unicode string>", ', "at ").split())
        raise ManifestError(f"{source}: neither YAML nor JSON: {where}") from e


def _json(text: str) -> Iterator[Any]:
    """JSON values one after the other, as ``json.loads`` takes one."""
    decoder = json.JSONDecoder()
    at = _after_space(text, 0)
    while at < len(text):
        found, end = decoder.raw_decode(text, at)
        yield found
        at = _after_space(text, end)


def _after_space(text: str, at: int) -> int:
    m = _SPACE.match(text, at)
    return at if m is None else m.end()


def objects(found: object, *, where: str, depth: int = 0) -> Iterator[Json]:
    """Objects of a document, Lists taken apart.

    Args:
        found: the document.
        where: how messages call it.
        depth: of lists around it.

    Raises:
        ManifestError: something in it is no object.
    """
    if found is None:
        return
    if depth > DEEPEST_LISTS:
        raise ManifestError(
            f"{where}: lists nested deeper than {DEEPEST_LISTS}, or into themselves"
        )
    if isinstance(found, list):
        for one in found:
            yield from objects(one, where=where, depth=depth + 1)
        return
    if not isinstance(found, Mapping) or not isinstance(found.get("kind"), str):
        raise ManifestError(f"{where}: {shown(found)} is no object: it has no kind")
    if found["kind"].endswith("List") and isinstance(found.get("items"), list):
        kind = found["kind"].removesuffix("List")
        for one in found["items"]:
            # Items of a typed list may leave their own kind out.
            known = {"kind": kind, "apiVersion": found.get("apiVersion")} if kind else {}
            full = {**known, **one} if isinstance(one, Mapping) else one
            yield from objects(full, where=where, depth=depth + 1)
        return
    yield found
