"""What an API server would refuse of metadata and of a Pod, as far as a plan reads them. Pure.

Types, names, times and amounts: what the operator takes for granted of an object that an API
server sent. Deliberately no validation of whole pods, for which there is ``kubectl apply
--dry-run=server``.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from numapin_cli.planning.faults import MISSING, Fault, no_text
from numapin_operator.requests import QUANTITIES, quantity

Json = Mapping[str, Any]


class _Form(NamedTuple):
    """What a string must look like."""

    pattern: re.Pattern[str]
    longest: int
    words: str


_SUBDOMAIN: Final = _Form(
    re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"),
    253,
    "must be of lower-case letters, digits, - and .",
)
_LABEL: Final = _Form(
    re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"), 63, "must be of lower-case letters, digits and -"
)
_UID: Final = _Form(
    re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?"), 64, "must be of letters, digits and -"
)
_ABSENT: Final = (None, "")
"""What an optional string may be where nothing is said."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def metadata_faults(meta: Json) -> Iterator[Fault]:
    """What is wrong with an object's metadata; each is true only if there is none before it.

    Args:
        meta: of the object.
    """
    yield from _formed(meta.get("name", MISSING), "metadata.name", _SUBDOMAIN)
    if meta.get("namespace") not in _ABSENT:
        yield from _formed(meta["namespace"], "metadata.namespace", _LABEL)
    if meta.get("uid") not in _ABSENT:
        yield from _formed(meta["uid"], "metadata.uid", _UID)
    yield from _text(meta.get("resourceVersion"), "metadata.resourceVersion")
    for field in ("creationTimestamp", "deletionTimestamp"):
        yield from _time(meta.get(field), f"metadata.{field}")
    for field in ("labels", "annotations"):
        path = f"metadata.{field}"
        yield from mapping_faults(meta.get(field), path)
        for name, value in (meta.get(field) or {}).items():
            yield from _text(name, f"{path}, a key", needed=True)
            yield from _text(value, f"{path}[{name}]", needed=True)
    yield from _list(meta.get("ownerReferences"), "metadata.ownerReferences")
    for number, one in enumerate(meta.get("ownerReferences") or ()):
        for field in ("kind", "name"):
            path = f"metadata.ownerReferences[{number}].{field}"
            yield from _text(one.get(field, MISSING), path, needed=True)


def pod_faults(pod: Json) -> Iterator[Fault]:
    """What is wrong with a v1 Pod; each is true only if there is none before it.

    Args:
        pod: as people write it, its metadata checked.
    """
    yield from mapping_faults(pod.get("spec"), "spec")
    spec: Json = pod.get("spec") or {}
    if spec.get("nodeName") not in _ABSENT:
        yield from _formed(spec["nodeName"], "spec.nodeName", _SUBDOMAIN)
    yield from _resources(spec.get("resources"), "spec.resources")
    yield from _amounts(spec.get("overhead"), "spec.overhead")
    for field in ("containers", "initContainers"):
        yield from _list(spec.get(field), f"spec.{field}")
        for number, one in enumerate(spec.get(field) or ()):
            path = f"spec.{field}[{number}]"
            yield from _formed(one.get("name", MISSING), f"{path}.name", _LABEL)
            yield from _text(one.get("restartPolicy"), f"{path}.restartPolicy")
            yield from _resources(one.get("resources"), f"{path}.resources")
    yield from mapping_faults(pod.get("status"), "status")
    yield from _status_faults(pod.get("status") or {})


def _status_faults(status: Json) -> Iterator[Fault]:
    for field in ("phase", "qosClass"):
        yield from _text(status.get(field), f"status.{field}")
    yield from _list(status.get("conditions"), "status.conditions")
    for number, one in enumerate(status.get("conditions") or ()):
        path = f"status.conditions[{number}]"
        for field in ("type", "status", "reason"):
            yield from _text(one.get(field), f"{path}.{field}")
        yield from _time(one.get("lastTransitionTime"), f"{path}.lastTransitionTime")
    yield from _held(status, "status")
    for field in ("containerStatuses", "initContainerStatuses"):
        yield from _list(status.get(field), f"status.{field}")
        for number, one in enumerate(status.get(field) or ()):
            path = f"status.{field}[{number}]"
            yield from _text(one.get("name", MISSING), f"{path}.name", needed=True)
            yield from _held(one, path)


def _held(status: Json, path: str) -> Iterator[Fault]:
    """What a container or a whole pod has now.

    While it is resized, what it has been promised may be more than the limit that is in force.
    """
    yield from _lists(status.get("resources"), f"{path}.resources")
    yield from _amounts(status.get("allocatedResources"), f"{path}.allocatedResources")


def _resources(value: Any, path: str) -> Iterator[Fault]:  # noqa: ANN401
    """What is asked for, and limits."""
    yield from _lists(value, path)
    found: Json = value or {}
    limits: Json = found.get("limits") or {}
    for name, asked in (found.get("requests") or {}).items():
        if name in limits and quantity(asked, scale=1000) > quantity(limits[name], scale=1000):
            most = f"must be at most the limit, {limits[name]}"
            yield Fault(f"{path}.requests[{name}]", asked, most)


def _lists(value: Any, path: str) -> Iterator[Fault]:  # noqa: ANN401
    yield from mapping_faults(value, path)
    found: Json = value or {}
    for part in ("requests", "limits"):
        yield from _amounts(found.get(part), f"{path}.{part}")


def _amounts(value: Any, path: str) -> Iterator[Fault]:  # noqa: ANN401
    """A ResourceList."""
    yield from mapping_faults(value, path)
    for name, amount in (value or {}).items():
        field = f"{path}[{name}]"
        yield from _text(name, f"{path}, a key", needed=True)
        try:
            millis = quantity(amount, scale=1000)
        except ValueError:
            yield Fault(field, amount, f"must be {QUANTITIES}")
        else:
            if millis < 0:
                yield Fault(field, amount, "must be at least 0")


def mapping_faults(value: object, path: str) -> Iterator[Fault]:
    """That something is neither a mapping nor absent.

    Args:
        value: what stands there.
        path: of the field.
    """
    if value is not None and not isinstance(value, Mapping):
        yield Fault(path, value, "must be a mapping")


def _list(value: object, path: str) -> Iterator[Fault]:
    """That something is neither a list of mappings nor absent."""
    if value is None:
        return
    if not isinstance(value, list):
        yield Fault(path, value, "must be a list")
    else:
        for number, one in enumerate(value):
            if not isinstance(one, Mapping):
                yield Fault(f"{path}[{number}]", one, "must be a mapping")


def _text(value: object, path: str, *, needed: bool = False) -> Iterator[Fault]:
    if not isinstance(value, str) and (needed or value is not None):
        yield no_text(path, value)


def _formed(value: Any, path: str, form: _Form) -> Iterator[Fault]:  # noqa: ANN401
    yield from _text(value, path, needed=True)
    if len(value) > form.longest or form.pattern.fullmatch(value) is None:
        yield Fault(path, value, f"{form.words}, at most {form.longest} of them")


def _time(value: Any, path: str) -> Iterator[Fault]:  # noqa: ANN401
    yield from _text(value, path)
    if value is None:
        return
    try:
        if _TIME.fullmatch(value) is not None and datetime.fromisoformat(value):
            return
    except ValueError:
        pass
    yield Fault(path, value, "must be a time like 2026-01-31T12:00:00Z")
