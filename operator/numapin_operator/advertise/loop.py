"""Keeps one NodeResourceTopology per node up to date, and keeps off those of others.

Level-triggered by time: a scheduler's view may be a minute old, and so one write stands for
many pins. What somebody deleted or changed shows when all versions are compared, every few rounds.
``zones`` is one atomic list, so two producers would undo each other's writes: an object that
somebody else made or wrote is never touched, and said once in the log.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote

from numapin_api.errors import ApiError
from numapin_api.names import OPERATOR_MANAGER
from numapin_operator.advertise.zones import API_VERSION, Json, body, foreign, zones
from numapin_operator.kube import KubeCluster, RefusedError
from numapin_operator.pods import Key
from numapin_operator.store import Store
from numapin_operator.writer import APPLY, ApiWriter

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 60.0
COMPARED: Final = 5
"""In each so-manieth round the versions of all objects are asked for: a watch would bring each of
our own writes back."""
_ALL: Final = f"/apis/{API_VERSION}/noderesourcetopologies"
_NOBODY: Final = Key("", "")
_NOT_FOUND, _CONFLICT = 404, 409


class Advertising(Protocol):
    """What this needs of the API server. Every call may raise ApiError."""

    async def topology(self, name: str) -> Json | None:
        """The NodeResourceTopology of a node; None if there is none."""

    async def versions(self) -> dict[str, str]:
        """The resourceVersion of each, by name."""

    async def apply_topology(self, made: Json) -> Json:
        """Create or change one; refused (409) if somebody else wrote the same fields."""


class Advertiser:
    """Writes what changed, each minute.

    Args:
        store: what the operator knows.
        cluster: where it is written.
        failed: called for each write that failed.
    """

    def __init__(self, store: Store, cluster: Advertising, *, failed: Callable[[], None]) -> None:
        self._store = store
        self._cluster = cluster
        self._failed = failed
        self._written: dict[str, tuple[Json, str]] = {}
        self._foreign: set[str] = set()
        self._round = 0

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(PERIOD_SECONDS)

    async def once(self) -> None:
        """Write what differs from what was written last, or from what somebody made of that."""
        for name in [n for n in self._written if n not in self._store.nodes]:
            del self._written[name]
        self._foreign.intersection_update(self._store.nodes)
        self._round += 1
        name = ""
        try:
            if self._round % COMPARED == 0:
                await self._compare()
            for name in sorted(self._store.nodes):
                await asyncio.sleep(0)  # thousands of nodes must not hold up a pod
                wanted = self._wanted(name)
                if wanted is None or name in self._foreign:
                    continue
                if name not in self._written or self._written[name][0] != wanted:
                    await self._write(name, wanted)
        except ApiError as error:
            self._failed()
            # Most often its CRD is not there, and then no other node fares better.
            log.warning("topology not published", extra={"node": name, "error": str(error)})

    async def _compare(self) -> None:
        """Forget what was written of objects that are gone or are not as they were written."""
        versions = await self._cluster.versions()
        for name, (_, version) in list(self._written.items()):
            if versions.get(name) != version:
                del self._written[name]
        self._foreign.intersection_update(versions)

    def _wanted(self, name: str) -> Json | None:
        record = self._store.nodes.get(name)
        uid = self._store.uid("numanodes", ("", name))
        if record is None or record.plan is None or uid is None:
            return None
        return body(name, uid, zones(record.plan, self._store.neighbours(name, _NOBODY)))

    async def _write(self, name: str, wanted: Json) -> None:
        if name not in self._written:
            found = await self._cluster.topology(name)
            if found is not None and foreign(found):
                self._leave(name)
                return
        try:
            made = await self._cluster.apply_topology(wanted)
        except RefusedError as refused:
            if refused.status != _CONFLICT:
                raise
            self._leave(name)
        else:
            self._written[name] = wanted, str(made["metadata"].get("resourceVersion") or "")

    def _leave(self, name: str) -> None:
        self._foreign.add(name)
        self._written.pop(name, None)
        log.warning(
            "another producer writes the NodeResourceTopology, so it is left alone",
            extra={"node": name},
        )


class KubeTopologies:
    """The real API server.

    Args:
        cluster: reads.
        writer: writes, at its pace.
    """

    def __init__(self, cluster: KubeCluster, writer: ApiWriter) -> None:
        self._cluster, self._writer = cluster, writer

    async def topology(self, name: str) -> Json | None:
        """The NodeResourceTopology of a node; None if there is none."""
        try:
            return await asyncio.to_thread(self._cluster.call, "GET", _path(name))
        except RefusedError as refused:
            if refused.status == _NOT_FOUND:
                return None
            raise

    async def versions(self) -> dict[str, str]:
        """The resourceVersion of each, by name."""
        return await asyncio.to_thread(
            lambda: {
                key[1]: version
                for page in self._cluster.versions_in(_ALL)
                for key, _, version in page
            }
        )

    async def apply_topology(self, made: Json) -> Json:
        """Create or change one, without force: a conflict means another producer."""
        path = f"{_path(made['metadata']['name'])}?fieldManager={OPERATOR_MANAGER}"
        return await self._writer.write("PATCH", path, made, APPLY)


def _path(name: str) -> str:
    return f"{_ALL}/{quote(name)}"
