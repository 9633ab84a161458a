"""Kubernetes manifests as people keep them, as the objects that a plan is made from. Pure.

YAML or JSON, several documents, Lists. What an API server would fill in (a namespace, requests
from limits) is filled in; what it would refuse is refused with the file, the object, the field,
its value and what may stand there. Objects of kinds that a plan doesn't need are counted, not
refused: manifests are seldom pods alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from numapin_api.base import Resource
from numapin_api.errors import ManifestError
from numapin_api.names import GROUP
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_api.policy import NumaPolicy
from numapin_cli.planning.defaults import defaulted
from numapin_cli.planning.documents import documents, objects
from numapin_cli.planning.faults import MISSING, Fault, no_text
from numapin_cli.planning.fields import mapping_faults, metadata_faults, pod_faults
from numapin_cli.planning.schema import kind_faults

Json = Mapping[str, Any]

DEFAULT_NAMESPACE: Final = "default"
_OURS: Final[Mapping[str, type[Resource]]] = {
    "NumaNode": NumaNode,
    "NumaPolicy": NumaPolicy,
    "NumaPin": NumaPin,
}
_GROUPS: Final = {"Pod": "v1", "Namespace": "v1"} | dict.fromkeys(_OURS, GROUP)
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_NAMESPACED: Final = frozenset({"Pod", "NumaPin"})


@dataclass(frozen=True, slots=True)
class Objects:
    """What a plan is made from, each kind in the order in which it was read.

    Attributes:
        others: the kinds of objects that a plan doesn't need, one for each.
        notes: what is worth saying of what was read, by what it is said of.
    """

    nodes: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    policies: list[Json] = field(default_factory=list)
    pins: list[Json] = field(default_factory=list)
    namespaces: list[Json] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    _read: dict[str, tuple[str, Json]] = field(default_factory=dict)
    """File and object, by kind and name."""

    def take(self, obj: Json, *, source: str) -> None:
        """Add one object, by its kind; one that is there already is passed over.

        Args:
            obj: a valid one, of a kind that a plan needs.
            source: the file that it is of.

        Raises:
            ManifestError: another object of that name was read before.
        """
        by_kind = {
            "NumaNode": self.nodes,
            "Pod": self.pods,
            "NumaPolicy": self.policies,
            "NumaPin": self.pins,
            "Namespace": self.namespaces,
        }
        name = title(obj)
        known = self._read.setdefault(name, (source, obj))
        if known[1] is obj:
            by_kind[obj["kind"]].append(obj)
        elif not _same(known[1], obj):
            where = "there, too" if known[0] == source else f"in {known[0]}"
            raise ManifestError(
                f"{source}: {name}: metadata.name: {obj['metadata']['name']!r}: another object of "
                f"that name stands {where}: leave one of them out"
            )

    def where(self, obj: Json) -> str:
        """How messages call an object: with its file, if it is of one."""
        name = title(obj)
        return f"{self._read[name][0]}: {name}" if name in self._read else name


def _same(one: Json, other: Json) -> bool:
    try:
        return one == other
    except RecursionError:
        # A field that nobody reads refers to itself.
        return False


def title(obj: Json) -> str:
    """Kind, namespace and name of an object; items of an API server's list have no kind."""
    meta, kind = obj["metadata"], obj.get("kind", "")
    space = f"{meta['namespace']}/" if kind in {"", *_NAMESPACED} and "namespace" in meta else ""
    return f"{kind} {space}{meta['name']}".strip()


def read(text: str, *, source: str, into: Objects) -> None:
    """Read a file's objects.

    Args:
        text: YAML or JSON.
        source: how messages call the file.
        into: where they are added.

    Raises:
        ManifestError: it holds something that is no object, or one that is not valid.
    """
    for number, document in enumerate(documents(text, source=source), start=1):
        where = f"document {number}"
        for found in objects(document, where=f"{source}: {where}"):
            kind, version = found["kind"], found.get("apiVersion")
            if kind in _GROUPS and not isinstance(version, str):
                fault = Fault("apiVersion", MISSING if version is None else version, _wanted(kind))
                raise ManifestError(f"{source}: {kind} in {where}: {fault}")
            if kind not in _GROUPS or str(version).split("/")[0] != _GROUPS[kind]:
                into.others.append(kind)
                continue
            into.take(_valid(found, source=source, where=where, notes=into.notes), source=source)


def _wanted(kind: str) -> str:
    model = _OURS.get(kind)
    return (
        f"must be {_GROUPS[kind] if model is None else model.model_fields['api_version'].default}"
    )


def _valid(found: Json, *, source: str, where: str, notes: dict[str, str]) -> dict[str, Any]:
    """An object with what an API server would have filled in.

    Args:
        found: of a kind that a plan needs.
        source: its file.
        where: its document.
        notes: added to.

    Raises:
        ManifestError: it is not valid.
    """
    kind, meta = found["kind"], found.get("metadata")
    nameless = f"{source}: {kind} in {where}"
    _refuse(mapping_faults(meta, "metadata"), nameless)
    _refuse(_nameless(meta or {}), nameless)
    filled: dict[str, Any] = dict(meta or {})
    if kind in _NAMESPACED and filled.get("namespace") in (None, ""):
        filled["namespace"] = DEFAULT_NAMESPACE
    obj = {**found, "metadata": filled}
    name = f"{source}: {title(obj)}"
    _refuse(metadata_faults(filled), name)
    if kind == "Pod":
        _refuse(pod_faults(obj), name)
        return defaulted(obj)
    if kind in _OURS:
        for fault in kind_faults(obj, kind):
            if not (fault.strange and fault.field.startswith("status.")):
                raise ManifestError(f"{name}: {fault}")
            # An agent of a later version may have written it, on each node and in each entry.
            known = _INDEX.sub("", fault.field)
            notes.setdefault(f"{kind} {known}", f"{name}: {fault}; it is passed over")
        _refuse(_unreadable(obj, _OURS[kind]), name)
    return obj


def _refuse(faults: Iterator[Fault], what: str) -> None:
    """Raise a ManifestError of the first fault, if there is any."""
    first = next(faults, None)
    if first is not None:
        raise ManifestError(f"{what}: {first}")


def _nameless(meta: Json) -> Iterator[Fault]:
    if not meta.get("name") or not isinstance(meta["name"], str):
        yield no_text("metadata.name", meta.get("name") or MISSING)


def _unreadable(obj: Json, model: type[Resource]) -> Iterator[Fault]:
    """What the model says of an object that has nothing wrong with it by the schema."""
    try:
        model.read(obj)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        yield Fault(path.removeprefix("."), first["input"], first["msg"])
