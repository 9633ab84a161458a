"""When a NumaTrace has been kept long enough. Pure."""

from datetime import datetime, timedelta
from typing import Final

from numapin_api.trace import NumaTrace

LOST: Final = timedelta(hours=1)
"""After which nobody will end a trace any more: its node is gone, or has no agent."""


def due(trace: NumaTrace, *, now: datetime) -> bool:
    """Whether a trace is to be deleted.

    Args:
        trace: as the API server sent it.
        now: with a time zone.
    """
    spec, status = trace.spec, trace.status
    if trace.finished and status is not None and status.finished_at is not None:
        return now >= status.finished_at + timedelta(seconds=spec.ttl_seconds_after_finished)
    made = trace.metadata.creation_timestamp
    if made is None:
        return False
    begun = status.started_at if status is not None else None
    return now >= max(made, begun or made) + timedelta(seconds=spec.duration_seconds) + LOST
