"""Looks for NumaTraces that are due from time to time, and deletes them.

Level-triggered by time alone: nothing is kept between two looks, no event is waited for. There
are few of them, and none most of the time: then a look is one small answer.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import quote

from pydantic import ValidationError

from numapin_api.errors import ApiError
from numapin_api.names import API_VERSION
from numapin_api.trace import NumaTrace
from numapin_operator.kube import KubeCluster, RefusedError
from numapin_operator.traces.due import due

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 30.0
_ALL: Final = f"/apis/{API_VERSION}/{NumaTrace.PLURAL}"
_PAGE: Final = 20
"""Each may hold an answer of half a megabyte."""
_NOT_FOUND, _CONFLICT = 404, 409


class Traces(Protocol):
    """What this needs of the API server. Every call may raise ApiError; both block."""

    def all(self) -> Iterator[NumaTrace]:
        """All NumaTraces that can be read."""

    def delete(self, trace: NumaTrace) -> None:
        """Delete that very one; one that is gone is as good as deleted."""


class Sweeper:
    """Deletes what is due.

    Args:
        traces: where they are.
        now: with a time zone.
        failed: called for each look that failed.
    """

    def __init__(
        self, traces: Traces, *, now: Callable[[], datetime], failed: Callable[[], None]
    ) -> None:
        self._traces, self._now, self._failed = traces, now, failed

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.to_thread(self.once)
            await asyncio.sleep(PERIOD_SECONDS)

    def once(self) -> None:
        """Delete what is due now."""
        try:
            for trace in self._traces.all():
                if due(trace, now=self._now()):
                    self._traces.delete(trace)
        except ApiError as error:
            self._failed()
            log.warning("traces not swept", extra={"error": str(error)})


class KubeTraces:
    """The real API server.

    Args:
        cluster: asks.
    """

    def __init__(self, cluster: KubeCluster) -> None:
        self._cluster = cluster

    def all(self) -> Iterator[NumaTrace]:
        """All NumaTraces that can be read, a page at a time; none where there is no such kind."""
        try:
            for page in self._cluster.objects(_ALL, limit=_PAGE):
                yield from filter(None, map(_read, page))
        except RefusedError as refused:
            if refused.status != _NOT_FOUND:
                raise

    def delete(self, trace: NumaTrace) -> None:
        """Delete that very one."""
        meta = trace.metadata
        where = f"/apis/{API_VERSION}/namespaces/{quote(meta.namespace or '')}"
        try:
            self._cluster.call(
                "DELETE",
                f"{where}/{NumaTrace.PLURAL}/{quote(meta.name)}",
                body={"preconditions": {"uid": meta.uid}},
            )
        except RefusedError as refused:
            if refused.status not in {_NOT_FOUND, _CONFLICT}:
                raise


def _read(item: dict[str, Any]) -> NumaTrace | None:
    try:
        return NumaTrace.read(item)
    except ValidationError as error:
        # Made by a later version: what it means is not for this one to say.
        name = (item.get("metadata") or {}).get("name")
        log.warning("trace can't be read", extra={"trace": name, "error": str(error)})
        return None
