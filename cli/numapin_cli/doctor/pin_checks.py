"""Which pins are not proven, and which pods wait in vain for one. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from numapin_api.names import PIN_SELECTOR
from numapin_api.pin import NumaPin
from numapin_api.policy import seconds
from numapin_cli.doctor.cluster_facts import ClusterFacts, Json
from numapin_cli.doctor.findings import Finding, found, hidden, some

PATIENCE: Final = timedelta(minutes=2)
"""So long a pod may be without a NumaPin, and a pin Pending beyond its window."""


def examine(facts: ClusterFacts) -> list[Finding]:
    """Every check of pins."""
    return [*_pins(facts), *_unpinned(facts)]


_BAD: Final = ("Ineffective", "Drifted", "Conflict", "Unplaceable", "Invalid")


def _overdue(pin: NumaPin, now: datetime) -> bool:
    pinned = next(
        (c for c in (pin.status.conditions if pin.status else ()) if c.type == "Pinned"), None
    )
    since = pinned.last_transition_time if pinned else pin.metadata.creation_timestamp
    whole = timedelta(seconds=seconds(pin.spec.verification.window))
    return since is not None and now - since > whole + PATIENCE


def _pins(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.pins is None:
        yield hidden("pins", "NumaPins of all namespaces")
        return
    by: dict[str, list[str]] = defaultdict(list)
    for pin in facts.pins:
        verdict: str = (pin.status.verdict if pin.status else None) or "Pending"
        if verdict == "Pending" and not _overdue(pin, facts.now):
            verdict = "young"
        by[verdict].append(f"{pin.metadata.namespace}/{pin.metadata.name}")
    for verdict in (*_BAD, "NoSignal", "Pending"):
        if names := by[verdict]:
            namespace, _, name = names[0].partition("/")
            yield found(
                "pins",
                "fail" if verdict in _BAD else "warn",
                f"{len(names)} {verdict}: {some(names)}",
                f"numapin explain {name} -n {namespace}",
                on=some(names),
            )
    rest = {"Verified": by["Verified"], "Observing": by["Observing"], "Pending": by["young"]}
    said = ", ".join(f"{len(names)} {verdict}" for verdict, names in rest.items() if names)
    if said:
        yield found("pins", "ok", f"of {len(facts.pins)} pins: {said}")
    elif not facts.pins:
        yield found("pins", "ok", f"no pod has a pin; label one with {PIN_SELECTOR}")


def _unpinned(facts: ClusterFacts) -> Iterator[Finding]:
    """Opted-in pods that run without a NumaPin."""
    if facts.pods is None:
        yield hidden("pods", "pods of all namespaces")
        return
    if facts.pins is None:
        return
    pinned = {(p.metadata.namespace, p.metadata.name) for p in facts.pins}
    names = [
        f"{m['namespace']}/{m['name']}"
        for m in (p["metadata"] for p in facts.pods if _asks(p, facts.now))
        if (m["namespace"], m["name"]) not in pinned
    ]
    if names:
        namespace, _, name = names[0].partition("/")
        yield found(
            "pods",
            "fail",
            f"{len(names)} with {PIN_SELECTOR} but without a NumaPin: {some(names)}",
            f"numapin explain {name} -n {namespace}",
            on=some(names),
        )


def _asks(pod: Json, now: datetime) -> bool:
    """Whether an opted-in pod should have a pin by now."""
    meta, status = pod["metadata"], pod.get("status") or {}
    if meta.get("deletionTimestamp") or not (pod.get("spec") or {}).get("nodeName"):
        return False
    if status.get("phase") not in {"Pending", "Running", None}:
        return False
    created = meta.get("creationTimestamp")
    return created is None or now - datetime.fromisoformat(created) > PATIENCE
