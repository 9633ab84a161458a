"""What an API server would refuse of numapin's own kinds. Pure.

Read off the schemas that the CustomResourceDefinitions have, with two things that a schema can't
say without an API server: CEL rules, as Python by their text, and cpulists, of which the schema
knows the letters alone. Fields that no schema knows are told, as kubectl's strict validation
does. Metadata is checked elsewhere, for all kinds alike.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from numapin_api.cpulist import MAX_ID, CpuSet
from numapin_api.crd import KINDS, schema
from numapin_api.errors import CpuListError
from numapin_api.policy import seconds
from numapin_cli.planning.faults import MISSING, Fault, no_text

Json = Mapping[str, Any]

_LABEL_KEY: Final = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_WITHOUT_VALUES: Final = ("Exists", "DoesNotExist")
RULES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "size(self.distances) == 0 || size(self.distances) == size(self.nodes) && "
    "self.distances.all(row, size(row) == size(self.nodes))": lambda topology: (
        {len(topology["distances"]), *map(len, topology["distances"])}
        in ({0}, {len(topology["nodes"])})
    ),
    "has(self.socket) == has(self.cpus)": lambda pin: _has(pin, "socket") == _has(pin, "cpus"),
    "!has(self.mems) || has(self.cpus)": lambda pin: not _has(pin, "mems") or _has(pin, "cpus"),
    "self.memory != 'None' || !has(self.mems)": lambda pin: (
        pin.get("memory") != "None" or not _has(pin, "mems")
    ),
    "self == oldSelf": lambda _: True,  # nothing was there before
    "duration(self) >= duration('10s') && duration(self) <= duration('60m')": lambda window: (
        10 <= seconds(window) <= 3600
    ),
    "self.all(key, !format.qualifiedName().validate(key).hasValue())": lambda labels: all(
        _LABEL_KEY.fullmatch(key) for key in labels
    ),
    "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0": lambda one: (
        one["operator"] not in _WITHOUT_VALUES or not one.get("values")
    ),
    "self.operator in ['Exists', 'DoesNotExist'] || has(self.values) && size(self.values) > 0": (
        lambda one: one["operator"] in _WITHOUT_VALUES or bool(one.get("values"))
    ),
}
"""Every CEL rule of these kinds, by its text."""
CPULISTS: Final = frozenset(
    {
        r"^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$",
        r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$",
    }
)
"""The patterns by which a schema knows a cpulist."""
_TYPES: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "object": (Mapping, "must be a mapping"),
    "array": (list, "must be a list"),
    "string": (str, "must be a string"),
    "integer": (int, "must be an integer"),
    "number": ((int, float), "must be a number"),
    "boolean": (bool, "must be true or false"),
}
_LIMITS: Final[tuple[tuple[str, Callable[[Any, int], bool], str], ...]] = (
    ("minimum", lambda value, limit: value >= limit, "must be at least {}"),
    ("maximum", lambda value, limit: value <= limit, "must be at most {}"),
    ("minLength", lambda value, limit: len(value) >= limit, "must have at least {} characters"),
    ("maxLength", lambda value, limit: len(value) <= limit, "must have at most {} characters"),
    ("maxItems", lambda value, limit: len(value) <= limit, "must have at most {} entries"),
    ("maxProperties", lambda value, limit: len(value) <= limit, "must have at most {} entries"),
)
INT64: Final = 1 << 63


@cache
def schema_of(kind: str) -> Json:
    """The structural schema of one of numapin's kinds."""
    return schema(next(one for one in KINDS if kind == one.model.KIND))


def _has(value: Json, field: str) -> bool:
    return value.get(field) is not None


def kind_faults(obj: Json, kind: str) -> Iterator[Fault]:
    """What is wrong with an object apart from its metadata.

    The status of a NumaPin and of a NumaPolicy is left out: a plan needs little of it, and what a
    later version wrote there counts as absent (``NumaPin.read``).

    Args:
        obj: the object.
        kind: one of numapin's.

    Returns:
        Faults, of which each is true only if all before it are ``strange``.
    """
    left_out = {"metadata"} if kind == "NumaNode" else {"metadata", "status"}
    parts = {name: part for name, part in obj.items() if name not in left_out}
    yield from faults(parts, schema_of(kind), path="")
    if kind == "NumaNode":
        yield from _machine_faults(obj.get("status") or {})


def faults(value: Any, wanted: Json, *, path: str) -> Iterator[Fault]:  # noqa: ANN401
    """What is wrong with a value; each is true only if those before it are strange.

    Args:
        value: of JSON.
        wanted: a structural schema.
        path: of the value in its object.
    """
    kind, must = _TYPES[wanted["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and wanted["type"] != "boolean"):
        yield no_text(path, value) if kind is str else Fault(path, value, must)
    if wanted.get("format") == "int64" and not -INT64 <= value < INT64:
        yield Fault(path, value, "must be an integer of 64 bits")
    if "enum" in wanted and value not in wanted["enum"]:
        yield Fault(path, value, f"must be one of {', '.join(map(str, wanted['enum']))}")
    for name, holds, words in _LIMITS:
        if name in wanted and not holds(value, wanted[name]):
            yield Fault(path, value, words.format(wanted[name]))
    if "pattern" in wanted:
        yield from _form_faults(value, wanted["pattern"], path)
    if isinstance(value, Mapping):
        yield from _field_faults(value, wanted, path)
    elif "items" in wanted:
        for number, one in enumerate(value):
            yield from faults(one, wanted["items"], path=f"{path}[{number}]")
    for rule in wanted.get("x-kubernetes-validations", ()):
        if not RULES[rule["rule"]](value):
            field = rule.get("fieldPath", "")
            blamed = value.get(field[1:], MISSING) if field else value
            yield Fault(path + field, blamed, rule["message"])


def _form_faults(value: str, pattern: str, path: str) -> Iterator[Fault]:
    if pattern not in CPULISTS:
        if re.fullmatch(pattern, value) is None:
            yield Fault(path, value, f"must be of the form {pattern}")
        return
    if re.fullmatch(pattern, value) is None:
        yield Fault(path, value, "must be a cpulist like 0-3,8")
    try:
        CpuSet.parse(value)
    except CpuListError as e:
        yield Fault(path, value, f"must be a cpulist like 0-3,8: {e}")


def _field_faults(value: Json, wanted: Json, path: str) -> Iterator[Fault]:
    known: Json = wanted.get("properties", {})
    # As for an API server, null is as good as absent.
    for name in wanted.get("required", ()):
        if value.get(name) is None:
            yield Fault(_below(path, name), MISSING, _TYPES[known[name]["type"]][1])
    for name, one in value.items():
        if name in known:
            if one is not None:
                yield from faults(one, known[name], path=_below(path, name))
        elif "properties" in wanted:
            allowed = f"no such field is known; there are {', '.join(known)}"
            yield Fault(_below(path, name), one, allowed, strange=True)
        elif "additionalProperties" in wanted:
            yield from faults(one, wanted["additionalProperties"], path=f"{path}[{name}]")


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _machine_faults(status: Json) -> Iterator[Fault]:
    """Ids that a schema takes and that no pin could have."""
    topology = status.get("topology") or {}
    for number, socket in enumerate(topology.get("sockets", ())):
        path = f"status.topology.sockets[{number}]"
        if socket["id"] < 0:
            yield Fault(f"{path}.id", socket["id"], "must be at least 0")
        yield from _id_faults(socket["nodes"], f"{path}.nodes")
    for number, node in enumerate(topology.get("nodes", ())):
        yield from _id_faults([node["id"]], f"status.topology.nodes[{number}].id")
    for number, held in enumerate(status.get("devices") or ()):
        yield from _id_faults(held.get("numaNodes") or (), f"status.devices[{number}].numaNodes")


def _id_faults(ids: Any, path: str) -> Iterator[Fault]:  # noqa: ANN401
    yield from (
        Fault(path, one, f"ids are between 0 and {MAX_ID}") for one in ids if not 0 <= one <= MAX_ID
    )
