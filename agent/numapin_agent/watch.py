"""Keeps a local copy of a collection of the API server, through every kind of outage.

List, then watch from there; a watch that breaks is taken up where it broke; one whose
version is gone (410) lists again. The copy is never emptied because the API server is
away: what is known stays known until a whole new list says otherwise. It deliberately
knows neither HTTP nor kinds: a source lists and watches, and tests hand in their own.
"""

import logging
import random
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, Literal, Protocol, TypeVar, cast

from numapin_api.errors import ApiError

log = logging.getLogger(__name__)

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
T_co = TypeVar("T_co", covariant=True)

Change = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0


class VersionGoneError(ApiError):
    """The API server no longer knows the version to watch from: list again."""

    reason = "Expired"


class Source(Protocol[T_co]):
    """Lists and watches one collection; raises ApiError for all that can go wrong."""

    def list(self) -> tuple[str, Iterable[T_co]]:
        """The version of the collection, and all its objects, perhaps fetched as they are taken."""

    def watch(self, version: str) -> Iterator[tuple[str, str, T_co]]:
        """Changes since that version, as (change, new version, object).

        Ends when the server ends it; a bookmark carries a version only.
        """


def retry_seconds(failures: int, *, uniform: Callable[[float, float], float]) -> float:
    """Time to wait after that many failures in a row: doubling, capped, with full jitter.

    Args:
        failures: at least 1.
        uniform: draws from a range, as ``random.uniform``: agents of a whole cluster must
            not come back to a restarted API server in step.
    """
    top = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10))
    return uniform(top / 2, top)


class Mirror(Generic[K, T]):
    """A local copy of a collection, kept up to date by one thread.

    Args:
        name: for messages and the thread.
        source: where it comes from.
        key: identity of an object; None drops it.
        changed: called with the keys of objects that may have changed, by the thread.
        failed: called with each error, by the thread.
        same: whether a modified object is as good as the one before, so that nobody need be
            told; by default none is.
    """

    def __init__(  # noqa: PLR0913 -- most by keyword
        self,
        name: str,
        source: Source[T],
        *,
        key: Callable[[T], K],
        changed: Callable[[Iterable[K]], None],
        failed: Callable[[Exception], None],
        same: Callable[[T, T], bool] = lambda _old, _new: False,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._name = name
        self._source = source
        self._key = key
        self._changed = changed
        self._failed = failed
        self._same = same
        self._uniform = uniform
        self._objects: dict[K, T] = {}
        self._listed = threading.Event()
        self._shown: tuple[Mapping[K, T], Mapping[K, T]] = ({}, {})
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{name}", daemon=True)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to end; it may hang in a read until the process ends."""
        self._stopped.set()

    @property
    def listed(self) -> bool:
        """Whether a whole list was received at least once."""
        return self._listed.is_set()

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def objects(self) -> Mapping[K, T]:
        """The copy as it is now; it does not change later, and is the same until there is news."""
        objects, (of, shown) = self._objects, self._shown
        if of is not objects:
            shown = MappingProxyType(objects)
            self._shown = objects, shown
        return shown

    def _run(self) -> None:
        failures = 0
        version: str | None = None
        while not self._stopped.is_set():
            try:
                if version is None:
                    version = self._relist()
                    failures = 0
                for change, version, obj in self._source.watch(version):  # noqa: B007, B020
                    failures = 0
                    if self._stopped.is_set():
                        return
                    self._take(cast(Change, change), obj)
            except VersionGoneError as e:
                log.info("%s: version %s is gone, listing again: %s", self._name, version, e)
                version = None
                self._failed(e)
            except ApiError as e:
                failures += 1
                wait = retry_seconds(failures, uniform=self._uniform)
                log.warning("%s: %s; trying again in %.1f s", self._name, e, wait)
                self._failed(e)
                self._stopped.wait(wait)
            except Exception as e:  # a dead watch would silently freeze the node
                failures += 1
                version = None
                log.exception("%s: unexpected error in the watch", self._name)
                self._failed(e)
                self._stopped.wait(retry_seconds(failures, uniform=self._uniform))

    def _relist(self) -> str:
        version, objects = self._source.list()
        new = {self._key(obj): obj for obj in objects}
        touched = self._objects.keys() | new.keys()
        self._objects = new
        self._listed.set()
        self._changed(touched)
        return version

    def _take(self, change: Change, obj: T) -> None:
        if change == "BOOKMARK":
            return
        key = self._key(obj)
        old = self._objects.get(key)
        # A new dict for each change, so that a reader's copy stays whole without a lock.
        if change == "DELETED":
            self._objects = {k: v for k, v in self._objects.items() if k != key}
        else:
            self._objects = {**self._objects, key: obj}
            if old is not None and self._same(old, obj):
                return
        self._changed((key,))
