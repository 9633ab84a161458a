"""Has the status of traces written by and by, and no more once a trace is gone."""

from collections.abc import Callable

from numapin_agent.publisher import Publisher
from numapin_api.trace import NumaTrace, NumaTraceStatus


class Statuses:
    """What is still to be written of each trace.

    Args:
        publisher: sends.
        apply: one write; ``Api.apply_trace`` is such.
    """

    def __init__(
        self, publisher: Publisher, apply: Callable[[NumaTrace, NumaTraceStatus], None]
    ) -> None:
        self._publisher = publisher
        self._apply = apply

    def write(self, trace: NumaTrace, status: NumaTraceStatus) -> None:
        """Replaces what is still to be written of the same trace."""
        key = _key(trace.metadata.uid or "")
        self._publisher.submit(key, lambda: self._apply(trace, status))

    def forget(self, uid: str) -> None:
        """The trace is gone: what is still to be written of it would be tried for ever."""
        self._publisher.drop(_key(uid))


def _key(uid: str) -> str:
    return f"numatrace/{uid}"
