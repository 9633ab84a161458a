"""Keeps the store true: one LIST before anything is decided, and comparisons ever after.

kopf watches, but it lists anew after 410 Gone without saying what was deleted meanwhile,
and a watch can die silently. So every few minutes the versions of all objects (metadata
only) are compared with what was heard: ghosts are dropped, and what the watch should have
told long ago is read anew and counted.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from numapin_api.errors import NumapinError
from numapin_operator.kube import Cluster
from numapin_operator.metrics import Metrics
from numapin_operator.pods import Key
from numapin_operator.reconcile import Reconciler
from numapin_operator.store import KINDS, Dirt, Kind, ObjectKey, Store, Version, object_key

GRACE_SECONDS: Final = 5.0
"""How long a watch may be behind a LIST."""
FIRST_COMPARISON_SECONDS: Final = 20.0
VANISHED_SECONDS: Final = 1.0
"""After a pin is gone, until its pod is looked at: the pod has mostly ended, too, and of two
watches either may tell first."""
STALE_COMPARISONS: Final = 3
"""So many comparisons in a row that found the watch behind: it is dead."""

log = logging.getLogger(__name__)


class Informer:
    """Feeds the store and marks what changes.

    Args:
        store: to be kept true.
        cluster: to be listed.
        reconciler: told what is dirty.
        metrics: where to count.
        sleep: for tests.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        reconciler: Reconciler,
        *,
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store, self._cluster, self._reconciler = store, cluster, reconciler
        self._metrics, self._sleep = metrics, sleep
        self._behind: dict[Kind, int] = {}
        self._awaited: set[Kind] = set(KINDS)
        self.synced = False

    @property
    def stale(self) -> tuple[Kind, ...]:
        """The kinds whose watch seems dead."""
        return tuple(k for k, n in self._behind.items() if n >= STALE_COMPARISONS)

    @property
    def unheard(self) -> tuple[Kind, ...]:
        """The kinds that have objects, but of which no watch has told anything yet."""
        return tuple(k for k in KINDS if k in self._awaited and self._store.holds(k))

    # -- what kopf tells --------------------------------------------------------------

    def heard(self, kind: Kind, event: Mapping[str, Any]) -> None:
        """Take in a watch event. An object that can't be read is logged and skipped."""
        self._awaited.discard(kind)
        obj = event["object"]
        if event.get("type") == "DELETED":
            # For pods: gone, or without the label now; both mean "not to be pinned". Only one
            # that was told to end has its pin collected by Kubernetes.
            ended = obj["metadata"].get("deletionTimestamp")
            if kind == "pods" and ended and (pod := Key(*object_key(obj))) in self._store.pods:
                self._reconciler.heard_of_end(pod)
            dirt = self._store.drop(kind, object_key(obj), obj["metadata"].get("uid"))
            self._mark(kind, dirt, after=VANISHED_SECONDS if kind == "numapins" else 0.0)
            return
        self._mark(kind, self._put(kind, obj))

    def _mark(self, kind: Kind, dirt: Dirt, *, after: float = 0.0) -> None:
        if kind == "pods":
            for key in self._store.in_order(dirt):
                if key in self._store.pods and key not in self._store.pins:
                    self._reconciler.heard_of_pod(key)
        self._reconciler.mark(dirt, after=after)

    def _put(self, kind: Kind, obj: Mapping[str, Any]) -> Dirt:
        try:
            return self._store.put(kind, obj)
        except (KeyError, ValueError, NumapinError) as error:
            # A newer version's object, or a broken one: it must not stop the others.
            self._metrics.errors.labels(where="read").inc()
            log.warning(
                "object can't be read",
                extra={"kind": kind, "key": "/".join(object_key(obj)), "error": str(error)},
            )
            return set()

    # -- what LISTs tell --------------------------------------------------------------

    async def sync(self) -> None:
        """List everything once; only then may anything be called an orphan.

        Raises:
            ApiError: the API server can't be reached, or lacks a kind.
        """
        for kind in KINDS:
            await self._load(kind)
        self.synced = True
        self._reconciler.mark(self._store.everything())

    async def _load(self, kind: Kind) -> Dirt:
        pages = self._cluster.pages(kind)
        dirt: Dirt = set()
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            for obj in page:
                dirt |= self._put(kind, obj)
        return dirt

    async def compare(self) -> None:
        """Compare all kinds with the API server once.

        Raises:
            ApiError: the API server can't be reached.
        """
        for kind in KINDS:
            since, unlisted = self._store.serial, self._store.known(kind)
            suspects: list[Version] = []
            pages = self._cluster.versions(kind)
            # Never all of a LIST in memory: what is in order is let go with its page.
            while (page := await asyncio.to_thread(next, pages, None)) is not None:
                suspects += self._store.missed(kind, page)
                for key, uid, _ in page:
                    if unlisted.get(key) == uid:
                        del unlisted[key]
            for key, uid in self._store.ghosts(kind, unlisted, since=since):
                self._count(kind, key, "ghost")
                self._mark(kind, self._store.drop(kind, key, uid))
            if not self._store.missed(kind, suspects):
                self._behind[kind] = 0
                continue
            await self._sleep(GRACE_SECONDS)
            late = self._store.missed(kind, suspects)
            self._behind[kind] = self._behind.get(kind, 0) + 1 if late else 0
            for key, _, _ in late:
                self._count(kind, key, "missed")
            if late:
                self._mark(kind, await self._load(kind))

    def _count(self, kind: Kind, key: ObjectKey, what: str) -> None:
        self._metrics.missed.labels(kind=kind).inc()
        log.warning("watch did not tell", extra={"kind": kind, "key": "/".join(key), "what": what})

    async def run(self, seconds: float, *, compared: Callable[[], None]) -> None:
        """Compare soon after the start and then every so many seconds until cancelled.

        Args:
            seconds: between comparisons.
            compared: called after each.
        """
        # What was deleted between our LIST and kopf's is told by nobody.
        wait = min(seconds, FIRST_COMPARISON_SECONDS)
        while True:
            await self._sleep(wait)
            try:
                await self.compare()
            except NumapinError as error:
                self._metrics.errors.labels(where="compare").inc()
                log.warning("comparison failed", extra={"error": str(error)})
            compared()
            wait = seconds
