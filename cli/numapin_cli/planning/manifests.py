"""Kubernetes manifests as people keep them, as the objects that a plan is made from. Pure.

YAML or JSON, several documents, Lists. What an API server would fill in (a namespace, requests
from limits) is filled in; what it would refuse is refused with the file, the object and the field.
Objects of kinds that a plan doesn't need are counted, not refused: manifests are seldom
pods alone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from pydantic import ValidationError

from numapin_api.base import Resource
from numapin_api.errors import ManifestError
from numapin_api.names import GROUP
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_api.policy import NumaPolicy
from numapin_cli.planning.defaults import defaulted

Json = Mapping[str, Any]

DEFAULT_NAMESPACE: Final = "default"
_OURS: Final[Mapping[str, type[Resource]]] = {
    "NumaNode": NumaNode,
    "NumaPolicy": NumaPolicy,
    "NumaPin": NumaPin,
}
_GROUPS: Final = {"Pod": "v1", "Namespace": "v1"} | dict.fromkeys(_OURS, GROUP)


@dataclass(frozen=True, slots=True)
class Objects:
    """What a plan is made from, each kind in the order in which it was read.

    Attributes:
        others: how many objects of other kinds there were.
    """

    nodes: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    policies: list[Json] = field(default_factory=list)
    pins: list[Json] = field(default_factory=list)
    namespaces: list[Json] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def take(self, obj: Json) -> None:
        """Add one object, by its kind."""
        by_kind = {
            "NumaNode": self.nodes,
            "Pod": self.pods,
            "NumaPolicy": self.policies,
            "NumaPin": self.pins,
            "Namespace": self.namespaces,
        }
        kind = obj["kind"]
        if kind in by_kind:
            by_kind[kind].append(obj)
        else:
            self.others.append(kind)


def documents(text: str, *, source: str) -> list[Any]:
    """The documents of a file.

    Args:
        text: YAML or JSON.
        source: how messages call the file.

    Raises:
        ManifestError: it is neither.
    """
    if text.lstrip()[:1] in {"{", "["}:
        try:
            # YAML knows almost all of JSON, but not tabs, and takes a hundred times as long.
            return [json.loads(text)]
        except ValueError:
            pass
    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as e:
        where = " ".join(str(e).split())
        raise ManifestError(f"{source}: neither YAML nor JSON: {where}") from e


def _flat(found: object, source: str) -> Iterator[Json]:
    """Objects of a document, Lists taken apart."""
    if found is None:
        return
    if isinstance(found, list):
        for one in found:
            yield from _flat(one, source)
        return
    if not isinstance(found, Mapping) or not isinstance(found.get("kind"), str):
        raise ManifestError(f"{source}: {found!r:.60} is no object: it has no kind")
    if found["kind"].endswith("List") and isinstance(found.get("items"), list):
        kind = found["kind"].removesuffix("List")
        for one in found["items"]:
            # Items of a typed list may leave their own kind out.
            known = {"kind": kind, "apiVersion": found.get("apiVersion")} if kind else {}
            yield from _flat({**known, **one} if isinstance(one, Mapping) else one, source)
        return
    yield found


def _named(obj: Json, source: str) -> dict[str, Any]:
    """An object with what an API server would have filled in."""
    kind, meta = obj["kind"], obj.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str) or not meta["name"]:
        raise ManifestError(f"{source}: {kind}: metadata.name is missing")
    filled: dict[str, Any] = dict(meta)
    if kind in {"Pod", "NumaPin"}:
        filled["namespace"] = filled.get("namespace") or DEFAULT_NAMESPACE
    # A timestamp without quotes is a time to YAML.
    for key in ("creationTimestamp", "deletionTimestamp"):
        if filled.get(key) is not None:
            filled[key] = str(filled[key])
    return {**obj, "metadata": filled}


def read(text: str, *, source: str, into: Objects) -> None:
    """Read a file's objects.

    Args:
        text: YAML or JSON.
        source: how messages call the file.
        into: where they are added.

    Raises:
        ManifestError: it holds something that is no object, or one that is not valid.
    """
    for document in documents(text, source=source):
        for found in _flat(document, source):
            kind, group = found["kind"], str(found.get("apiVersion") or "").split("/")[0]
            if _GROUPS.get(kind) != group:
                into.others.append(kind)
                continue
            obj = _named(found, source)
            if kind in _OURS:
                _check(obj, source)
            elif kind == "Pod":
                obj = _filled(obj, source)
            into.take(obj)


def _filled(pod: Json, source: str) -> dict[str, Any]:
    meta = pod["metadata"]
    try:
        return defaulted(pod)
    except (TypeError, AttributeError, ValueError) as e:
        raise ManifestError(f"{source}: Pod {meta['namespace']}/{meta['name']}: {e}") from e


def _check(obj: Json, source: str) -> None:
    meta = obj["metadata"]
    try:
        _OURS[obj["kind"]].read(obj)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{source}: {obj['kind']} {meta['name']}"
        raise ManifestError(f"{what}: {where}: {first['input']!r:.60}: {first['msg']}") from e
