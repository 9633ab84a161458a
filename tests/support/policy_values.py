"""What the chart's values may say of the default policy, by the contract's own schema."""

from typing import Any

from numapin_api import crd

_NOT_FOR_A_DEFAULT = ("priority", "podSelector", "namespaceSelector")


def policy_values() -> dict[str, Any]:
    """JSON schema of a NumaPolicySpec without what selects pods; unknown keys are refused."""
    kind = next(k for k in crd.KINDS if k.model.KIND == "NumaPolicy")
    found = _strict(crd.schema(kind)["properties"]["spec"])
    for name in _NOT_FOR_A_DEFAULT:
        del found["properties"][name]
    return found


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    found = {
        k: v
        for k, v in schema.items()
        if not k.startswith("x-kubernetes-") and k not in ("default", "format")
    }
    if "properties" in found:
        found["properties"] = {k: _strict(v) for k, v in found["properties"].items()}
        found["additionalProperties"] = False
    return found
