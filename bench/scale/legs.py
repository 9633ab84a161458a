"""Where a pod's way to its pin takes its time, by the API server's own audit log. Pure.

The operator's share and the API server's can't be told apart from outside; the log has the
microsecond at which each request came and at which its answer was complete.
"""

from collections.abc import Iterable
from datetime import datetime

from bench.harness import percentile
from bench.scale.bed import Json, by_operator


def legs(entries: Iterable[Json], prefix: str) -> Json:
    """Milliseconds of each leg, p50 and p99, over all pods that have a pin.

    "operator" is from the end of a pod's creation until the request for its pin arrives: the API
    server's watch, the operator's work, and the way there. "apiServer" is that request itself.

    Args:
        entries: of the audit log, at level Metadata.
        prefix: of the names of the pods.

    Raises:
        ValueError: no pod with a pin is in the log.
    """
    made: dict[str, datetime] = {}
    asked: dict[str, tuple[datetime, datetime]] = {}
    for entry in entries:
        of = entry["objectRef"]
        name = str(of.get("name", ""))
        if not name.startswith(f"{prefix}-") or of.get("subresource"):
            continue
        span = (_time(entry["requestReceivedTimestamp"]), _time(entry["stageTimestamp"]))
        if (entry["verb"], of["resource"]) == ("create", "pods"):
            made[name] = span[1]
        elif of["resource"] == "numapins" and by_operator(entry):
            asked.setdefault(name, span)
    both = made.keys() & asked.keys()
    if not both:
        raise ValueError(f"no pod {prefix}-… with a pin in the audit log")
    return {
        "operator": _percentiles((asked[name][0] - made[name]).total_seconds() for name in both),
        "apiServer": _percentiles((asked[n][1] - asked[n][0]).total_seconds() for n in both),
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _percentiles(seconds: Iterable[float]) -> Json:
    # A watch may tell of a pod before the answer to its creation is complete.
    milliseconds = [max(0.0, one) * 1000 for one in seconds]
    return {f"p{p}Milliseconds": percentile(milliseconds, p) for p in (50, 99)}
