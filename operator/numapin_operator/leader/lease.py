"""A Lease and its fence as they are read and written, and whether a Lease has run out. Pure.

As Kubernetes' own components do it: no clock but one's own is believed. A Lease has run out
when it has not changed for as long as it lasts, counted from when it was first seen so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from numapin_api.names import API_VERSION as OWN_VERSION

API_VERSION: Final = "coordination.k8s.io/v1"
_MICROSECONDS: Final = "%Y-%m-%dT%H:%M:%S.%fZ"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fence:
    """A NumaLeader as it stands in the API: what the admission policy goes by.

    Attributes:
        version: metadata.resourceVersion.
        pod: the one that may write; empty when none may.
    """

    version: str
    pod: str


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as it stands in the API.

    Attributes:
        version: metadata.resourceVersion.
        holder: the pod that leads; empty when none does.
        seconds: how long it lasts.
        acquired: spec.acquireTime, as it is written.
        renewed: spec.renewTime, as it is written.
        transitions: how often another one has taken it.
    """

    version: str
    holder: str
    seconds: float
    acquired: str
    renewed: str
    transitions: int


def read_lease(obj: Mapping[str, Any]) -> Lease:
    """Read a Lease as the API server sends it; what is missing is as good as nobody's."""
    spec = obj.get("spec") or {}
    return Lease(
        version=obj["metadata"].get("resourceVersion") or "",
        holder=spec.get("holderIdentity") or "",
        seconds=float(spec.get("leaseDurationSeconds") or 0),
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        transitions=int(spec.get("leaseTransitions") or 0),
    )


def read_fence(obj: Mapping[str, Any]) -> Fence:
    """Read a NumaLeader as the API server sends it."""
    return Fence(obj["metadata"].get("resourceVersion") or "", obj["spec"]["pod"])


def fence(before: Fence | None, name: str, *, pod: str) -> Json:
    """The NumaLeader that lets a pod write.

    Args:
        before: as it stands; it is replaced only if it has not changed since.
        name: of the Lease.
        pod: the one that may write; empty for none.
    """
    version = "" if before is None else before.version
    return {
        "apiVersion": OWN_VERSION,
        "kind": "NumaLeader",
        "metadata": _metadata(name, version),
        "spec": {"pod": pod},
    }


def held(before: Lease | None, name: str, *, holder: str, lasting: int, now: datetime) -> Json:
    """The Lease that a holder writes, be it a new one or renewed.

    Args:
        before: as it stands; it is replaced only if it has not changed since.
        name: of the Lease.
        holder: the pod that leads.
        lasting: seconds.
        now: UTC.
    """
    same = before is not None and before.holder == holder
    return _body(
        name,
        version="" if before is None else before.version,
        spec={
            "holderIdentity": holder,
            "leaseDurationSeconds": lasting,
            "acquireTime": before.acquired if before and same else now.strftime(_MICROSECONDS),
            "renewTime": now.strftime(_MICROSECONDS),
            "leaseTransitions": 0 if before is None else before.transitions + (not same),
        },
    )


def given_up(before: Lease, name: str) -> Json:
    """The Lease without a holder, so that the next one need not wait.

    Args:
        before: as it stands.
        name: of the Lease.
    """
    spec = {"leaseTransitions": before.transitions, "leaseDurationSeconds": 1}
    return _body(name, version=before.version, spec=spec)


def _body(name: str, *, version: str, spec: Json) -> Json:
    metadata = _metadata(name, version)
    return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}


def _metadata(name: str, version: str) -> Json:
    return {"name": name} | ({"resourceVersion": version} if version else {})


class Watched:
    """Since when a Lease has not changed, by one's own clock."""

    def __init__(self) -> None:
        self._last: Lease | None = None
        self._since = 0.0

    def free(self, lease: Lease | None, *, me: str, now: float) -> bool:
        """Whether one may take it.

        Args:
            lease: as it stands; None if there is none.
            me: the pod that asks.
            now: monotonic seconds, taken after it was read.
        """
        if lease != self._last:
            self._last, self._since = lease, now
        if lease is None or lease.holder in {"", me}:
            return True
        return now - self._since > lease.seconds
