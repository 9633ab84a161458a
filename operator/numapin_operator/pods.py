"""The little of a pod that pinning needs, as a frozen value.

A pod is 7 KB of JSON and an operator may have 100,000 of them: everything else is dropped
when the pod is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nsmallest
from sys import intern
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from numapin_api.names import ANNOTATIONS, GROUP, PIN_LABEL, PIN_LABEL_VALUE
from numapin_operator.requests import (
    NOTHING,
    Requests,
    cpu_limit,
    effective,
    wants_devices,
    wants_exclusive_cpus,
)

OWN_ANNOTATIONS = f"{GROUP}/"
MOST_LABELS: Final = 256
"""Of a pod; the API server sets no limit but 1.5 MiB for the whole object."""
MOST_STRANGE_ANNOTATIONS: Final = 10
"""So many annotations below numapin.io/ that mean nothing are remembered, to be told of."""
LONGEST_VALUE: Final = 253
"""Of an annotation that means something: a name of a policy."""
_TEMPLATE_HASH: Final = "pod-template-hash"


class Key(NamedTuple):
    """Namespace and name, of a pod and of its NumaPin alike."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod.

    Attributes:
        key: namespace and name.
        uid: metadata.uid.
        created: metadata.creationTimestamp as sent; orders pods by age.
        version: metadata.resourceVersion.
        node: spec.nodeName; None until scheduled.
        opted_in: label numapin.io/pin=true is set.
        finished: phase Succeeded or Failed: its requests are free again.
        running: phase Running: it has memory somewhere already.
        terminating: deletionTimestamp is set.
        labels: all labels, for policies' selectors; of more than ``MOST_LABELS`` the first
            ones and one more.
        annotations: those below numapin.io/ only, cut to what can be understood: a tenant
            may write 256 KiB of them into each pod.
        requests: as the scheduler counts.
        cpu_limit_millis: most CPU it may use; None without limit.
        workload: what it is a replica of, like ``default/Deployment/web``; empty for a pod of
            its own.
        devices: it asks for devices of a device plugin.
        exclusive: the kubelet's static CPU manager would give it CPUs of its own.
        scheduled: when it was bound to its node, as sent; empty where that is not said.
    """

    key: Key
    uid: str
    created: str = ""
    version: str = ""
    node: str | None = None
    opted_in: bool = True
    finished: bool = False
    running: bool = False
    terminating: bool = False
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    requests: Requests = NOTHING
    cpu_limit_millis: int | None = None
    workload: str = ""
    devices: bool = False
    exclusive: bool = False
    scheduled: str = ""


def owner(meta: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and name of what has the template that a pod was made from; None for its own.

    A Deployment's pods belong to a ReplicaSet, which it names after itself and the hash of the
    template (pkg/controller/deployment/sync.go).

    Args:
        meta: metadata of the pod.
    """
    refs = meta.get("ownerReferences") or ()
    ref = next((r for r in refs if r.get("controller")), None)
    if ref is None:
        return None
    kind, name = ref["kind"], ref["name"]
    suffix = f"-{(meta.get('labels') or {}).get(_TEMPLATE_HASH)}"
    if kind == "ReplicaSet" and name.endswith(suffix):
        return "Deployment", name.removesuffix(suffix)
    return kind, name


def _workload(meta: Mapping[str, Any]) -> str:
    found = owner(meta)
    return "" if found is None else f"{meta['namespace']}/{found[0]}/{found[1]}"


def _scheduled(obj: Mapping[str, Any]) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            return condition.get("lastTransitionTime") or ""
    return ""


_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def _labels(found: Mapping[str, str]) -> Mapping[str, str]:
    """What is remembered of a pod's labels; the words of a workload's pods are the same ones."""
    kept = nsmallest(MOST_LABELS + 1, found.items()) if len(found) > MOST_LABELS else found.items()
    return {intern(name): intern(value) for name, value in kept}


def _annotations(found: Mapping[str, str]) -> Mapping[str, str]:
    """What is remembered of a pod's annotations."""
    ours = [name for name in found if name.startswith(OWN_ANNOTATIONS)]
    strange = nsmallest(MOST_STRANGE_ANNOTATIONS, (n for n in ours if n not in ANNOTATIONS))
    # One character more than the longest that can mean something, so that none comes to.
    if not ours:
        return _NONE
    known = {n: found[n][: LONGEST_VALUE + 1] for n in ours if n in ANNOTATIONS}
    return known | dict.fromkeys(strange, "")


def read_pod(obj: Mapping[str, Any]) -> Pod:
    """Read a v1 Pod as the API server sends it.

    Raises:
        KeyError: it has no name, namespace or uid.
        ValueError: a quantity is malformed.
    """
    meta = obj["metadata"]
    labels = meta.get("labels") or {}
    phase = (obj.get("status") or {}).get("phase")
    return Pod(
        key=Key(intern(meta["namespace"]), meta["name"]),
        uid=meta["uid"],
        created=meta.get("creationTimestamp") or "",
        version=meta.get("resourceVersion") or "",
        node=intern((obj.get("spec") or {}).get("nodeName") or "") or None,
        opted_in=labels.get(PIN_LABEL) == PIN_LABEL_VALUE,
        finished=phase in {"Succeeded", "Failed"},
        running=phase == "Running",
        terminating=bool(meta.get("deletionTimestamp")),
        labels=_labels(labels),
        annotations=_annotations(meta.get("annotations") or {}),
        requests=effective(obj),
        cpu_limit_millis=cpu_limit(obj),
        workload=_workload(meta),
        devices=wants_devices(obj),
        exclusive=wants_exclusive_cpus(obj),
        scheduled=_scheduled(obj),
    )
