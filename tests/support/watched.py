"""Every state that the tests' NumaPins go through, as the API server tells of them.

Asking again and again sees a state only while it lasts; a watch is told of each that was written.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import urllib3
from kubernetes import client, watch
from support.world import NAMESPACE, World

from numapin_api.names import GROUP, VERSION
from numapin_api.pin import NumaPin

STREAM_SECONDS = 5
"""Of one request; the next goes on from where it ended."""


class Watched:
    """What was told so far.

    Args:
        api: by whom.
        namespace: of the pins.

    Attributes:
        states: oldest first, beginning with all as they were.
    """

    def __init__(self, api: client.CustomObjectsApi, namespace: str = NAMESPACE) -> None:
        self.states: list[NumaPin] = []
        self._api = api
        self._where = (GROUP, VERSION, namespace, NumaPin.PLURAL)
        self._stopped = threading.Event()
        listed = api.list_namespaced_custom_object(*self._where)
        self.states += map(NumaPin.read, listed["items"])
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="watched")
        self._end = self._pool.submit(self._run, listed["metadata"]["resourceVersion"])

    def of(self, name: str) -> list[NumaPin]:
        """All states of one pod's pin."""
        return [pin for pin in list(self.states) if pin.metadata.name == name]

    @property
    def over(self) -> bool:
        """Whether nothing more will be told."""
        return self._end.done()

    def stop(self) -> None:
        """End once all was told that had been written; raises where some may be missing."""
        self._stopped.set()
        self._pool.shutdown(wait=True)
        self._end.result()

    def _run(self, version: str) -> None:
        last = False
        while not last:
            # One more after it was stopped: what was written before is then told.
            last = self._stopped.is_set()
            version = self._follow(version)

    def _follow(self, version: str) -> str:
        try:
            for event in watch.Watch().stream(
                self._api.list_namespaced_custom_object,
                *self._where,
                timeout_seconds=STREAM_SECONDS,
                resource_version=version,
                # So that the version never gets too old while nothing happens.
                allow_watch_bookmarks=True,
            ):
                if event is None:
                    continue  # an empty line
                told = event["raw_object"]
                version = told["metadata"]["resourceVersion"]
                if event["type"] in {"ADDED", "MODIFIED"}:
                    self.states.append(NumaPin.read(told))
        except urllib3.exceptions.HTTPError:
            # Broken off; the version says where to go on.
            if self._stopped.is_set():
                raise
        return version


@contextmanager
def watched(world: World) -> Iterator[Watched]:
    """Watch until the block's end; only after it all states are there for certain."""
    found = Watched(client.CustomObjectsApi(world.cluster.core.api_client))
    try:
        yield found
    finally:
        found.stop()
