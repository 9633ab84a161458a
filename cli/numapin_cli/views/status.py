"""The pods that asked for a pin, one row each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from numapin_api.base import Timestamp, Wire
from numapin_api.cpulist import CpuSet
from numapin_api.pin import Evidence, NumaPin, NumaPinSpec, Phase, Verdict
from numapin_api.policy import Mode
from numapin_cli.views.units import age, cpus

COLOURS: Final[Mapping[str, str]] = {
    "Verified": "green",
    "Pending": "yellow",
    "Observing": "yellow",
    "NoSignal": "yellow",
    "Ineffective": "red",
    "Drifted": "red",
    "Conflict": "red",
    "Unplaceable": "red",
    "Invalid": "red",
}


class PodRow(Wire):
    """A pod and what is known of its pin."""

    namespace: str
    name: str
    node: str | None
    socket: int | None
    sockets: list[int]
    """All that the pod is on: more than one with onUnplaceable Split only."""
    cpus: str | None
    mems: str | None
    policy: str | None
    mode: Mode | None
    phase: Phase | None
    verdict: Verdict | None
    """None while there is no NumaPin, or the operator has not judged it."""
    evidence: Evidence | None
    local_percent: float | None
    cross_socket_pages_per_second: float | None
    created: Timestamp | None
    """When the NumaPin was made; without one, when the pod was."""
    message: str


def rows(pins: Iterable[NumaPin], pods: Iterable[Mapping[str, Any]]) -> list[PodRow]:
    """A row for every pin and for every opted-in pod that has none, by namespace and name.

    Args:
        pins: NumaPins.
        pods: pods with the label, as the API server sends them.
    """
    found = {(r.namespace, r.name): r for r in map(_unpinned, pods)}
    found |= {(r.namespace, r.name): r for r in map(row, pins)}
    return [found[key] for key in sorted(found)]


def row(pin: NumaPin) -> PodRow:
    """What a NumaPin says of its pod."""
    status, spec = pin.status, pin.spec
    return PodRow(
        namespace=pin.metadata.namespace or "default",
        name=pin.metadata.name,
        node=spec.node_name,
        socket=spec.socket,
        sockets=sockets(spec),
        cpus=spec.cpus,
        mems=spec.mems,
        policy=spec.policy,
        mode=spec.mode,
        phase=status.observed.phase if status and status.observed else None,
        verdict=status.verdict if status else None,
        evidence=status.evidence if status else None,
        local_percent=status.local_percent if status else None,
        cross_socket_pages_per_second=status.cross_socket_pages_per_second if status else None,
        created=pin.metadata.creation_timestamp,
        message=_message(pin),
    )


def sockets(spec: NumaPinSpec) -> list[int]:
    """All sockets of a pin, in order; none of a pod that is not pinned."""
    return list(spec.sockets or ([] if spec.socket is None else [spec.socket]))


def _message(pin: NumaPin) -> str:
    """The condition that people ask for: why not pinned, else why (not) verified."""
    by_type = {c.type: c for c in (pin.status.conditions if pin.status else ())}
    pinned, verified = by_type.get("Pinned"), by_type.get("Verified")
    if pinned is not None and pinned.status != "True":
        return pinned.message
    return verified.message if verified is not None else ""


def _unpinned(pod: Mapping[str, Any]) -> PodRow:
    meta = pod["metadata"]
    return PodRow(
        namespace=meta["namespace"],
        name=meta["name"],
        node=(pod.get("spec") or {}).get("nodeName"),
        socket=None,
        sockets=[],
        cpus=None,
        mems=None,
        policy=None,
        mode=None,
        phase=None,
        verdict=None,
        evidence=None,
        local_percent=None,
        cross_socket_pages_per_second=None,
        created=meta.get("creationTimestamp"),
        message="there is no NumaPin for this pod yet",
    )


def table(found: Sequence[PodRow], *, now: datetime, namespaces: bool) -> Table:
    """The rows for people, 80 columns wide with ordinary names.

    Args:
        found: see ``rows``.
        now: to tell ages.
        namespaces: whether to show them.
    """
    result = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    if namespaces:
        result.add_column("NAMESPACE", overflow="fold")
    result.add_column("POD", overflow="fold")
    result.add_column("NODE", overflow="fold")
    for name in ("SOCKET", "CPUS", "MEMS", "VERDICT", "EVIDENCE"):
        result.add_column(name, no_wrap=True)
    for name in ("LOCAL", "CROSS/S", "AGE"):
        result.add_column(name, justify="right", no_wrap=True)
    for r in found:
        cells: list[str | Text] = [
            r.name,
            dash(r.node),
            ",".join(map(str, r.sockets)) or "-",
            cpus(CpuSet.parse(r.cpus), 16) if r.cpus else "-",
            dash(r.mems),
            verdict_text(r.verdict),
            dash(r.evidence),
            "-" if r.local_percent is None else f"{r.local_percent:.1f}%",
            "-"
            if r.cross_socket_pages_per_second is None
            else f"{r.cross_socket_pages_per_second:.1f}",
            age(r.created, now),
        ]
        result.add_row(*([r.namespace] if namespaces else []), *cells)
    return result


def verdict_text(verdict: str | None) -> Text:
    """A verdict in its colour; a dash while there is none."""
    return Text(verdict or "-", style=COLOURS.get(verdict or "", "dim"))


def dash(value: object) -> str:
    """The value, or a dash for nothing."""
    return "-" if value is None or value == "" else str(value)
