"""Schemas that several values share, by the names that ``use`` in values.yaml knows them by.

Kubernetes' own types are closed as far as users mistype them; what lies deeper (a node affinity's
terms) the API server checks. The default policy's shape is the contract's; what JSON schema can't
say of it (a window of 10s to 60m) the chart's templates do.
"""

from collections.abc import Mapping
from typing import Any, Final

from numapin_agent.latency.probes import PROBES
from numapin_api import crd

Schema = dict[str, Any]

_NOT_FOR_A_DEFAULT: Final = ("priority", "podSelector", "namespaceSelector")


def closed(**properties: Schema) -> Schema:
    """An object with these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_STRING: Final[Schema] = {"type": "string"}
_STRINGS: Final[Schema] = {"type": "object", "additionalProperties": _STRING}
_FREE: Final[Schema] = {"type": "object"}
_NAME: Final[Schema] = {"type": "string", "minLength": 1}
_QUANTITIES: Final[Schema] = {
    "type": "object",
    "additionalProperties": {
        "type": ["string", "number"],
        "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        "minimum": 0,
    },
}
_SELECTOR: Final = closed(matchLabels=_STRINGS, matchExpressions=_list(_FREE))
_TOLERATION: Final = closed(
    key=_STRING,
    operator={"type": "string", "enum": ["Exists", "Equal", "Lt", "Gt"]},
    value=_STRING,
    effect={"type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
    tolerationSeconds={"type": "integer"},
)
_PEER: Final = closed(
    podSelector=_SELECTOR,
    namespaceSelector=_SELECTOR,
    ipBlock=closed(cidr=_NAME, **{"except": _list(_NAME)}) | {"required": ["cidr"]},
) | {"minProperties": 1}
_SECCOMP: Final[Schema] = {
    **closed(
        type={"type": "string", "enum": ["Unconfined", "RuntimeDefault", "Localhost"]},
        localhostProfile=_NAME,
    ),
    "required": ["type"],
    "if": {"properties": {"type": {"const": "Localhost"}}},
    "then": {"required": ["localhostProfile"]},
    "else": {"properties": {"localhostProfile": False}},
}


def policy() -> Schema:
    """A NumaPolicySpec without what selects pods; unknown and missing keys are refused."""
    kind = next(k for k in crd.KINDS if k.model.KIND == "NumaPolicy")
    spec = crd.schema(kind)["properties"]["spec"]
    fields = {k: v for k, v in spec["properties"].items() if k not in _NOT_FOR_A_DEFAULT}
    return _strict({**spec, "properties": fields})


def _strict(schema: Mapping[str, Any]) -> Schema:
    found = {
        k: v
        for k, v in schema.items()
        if not k.startswith("x-kubernetes-") and k not in {"default", "format"}
    }
    if "properties" in found:
        found["properties"] = {k: _strict(v) for k, v in found["properties"].items()}
        found["additionalProperties"] = False
        # What has no default may be absent: placement.colocate.
        found["required"] = [k for k, v in schema["properties"].items() if "default" in v]
    return found


SHAPES: Final[Mapping[str, Schema]] = {
    "affinity": closed(nodeAffinity=_FREE, podAffinity=_FREE, podAntiAffinity=_FREE),
    "latencyProbes": _list({"type": "string", "enum": list(PROBES)}) | {"uniqueItems": True},
    "path": {"type": "string", "pattern": "^/[^:]*$"},
    "peers": _list(_PEER),
    "policy": policy(),
    "ports": _list({"type": "integer", "minimum": 1, "maximum": 65535}) | {"minItems": 1},
    "resources": closed(
        requests=_QUANTITIES,
        limits=_QUANTITIES,
        claims=_list(closed(name=_NAME, request=_STRING) | {"required": ["name"]}),
    ),
    "seccomp": _SECCOMP,
    "secretNames": _list(closed(name=_NAME) | {"required": ["name"]}),
    "strings": _STRINGS,
    "tolerations": _list(_TOLERATION),
}
