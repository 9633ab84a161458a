"""Pods and NumaPins of this node, mirrored from the API server and readable at any moment.

Joins the two mirrors for the loop. A NumaPin that can't be read (made by a later version,
past this one's models) is kept as unreadable rather than dropped: it must not look as if
it had been deleted.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from numapin_agent.pods import PodView
from numapin_agent.ports import Key
from numapin_agent.watch import Mirror, Source
from numapin_api.pin import NumaPin

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A NumaPin that this version does not understand.

    Attributes:
        namespace: its namespace.
        name: its name.
        error: why.
    """

    namespace: str
    name: str
    error: str


class PinSource:
    """NumaPins as models.

    Args:
        raw: the collection as plain objects.
    """

    def __init__(self, raw: Source[Any]) -> None:
        self._raw = raw

    def list(self) -> tuple[str, Iterable[NumaPin | Unreadable]]:
        """The version, and all NumaPins."""
        version, objects = self._raw.list()
        return version, [read_pin(o) for o in objects]

    def watch(self, version: str) -> Iterator[tuple[str, str, NumaPin | Unreadable]]:
        """Changes since that version."""
        for change, new, obj in self._raw.watch(version):
            # A bookmark has no spec, and nobody looks at its object.
            yield change, new, _NONE if change == "BOOKMARK" else read_pin(obj)


_NONE = Unreadable("", "", "bookmark")


def read_pin(obj: Mapping[str, Any]) -> NumaPin | Unreadable:
    """A NumaPin from its JSON form."""
    try:
        return NumaPin.read(dict(obj))
    except ValidationError as e:
        meta = obj.get("metadata") or {}
        where = str(meta.get("namespace", "")), str(meta.get("name", ""))
        log.error("NumaPin %s/%s can't be read: %s", *where, e)  # noqa: TRY400 -- no trace needed
        return Unreadable(*where, str(e))


def _pin_key(pin: NumaPin | Unreadable) -> Key:
    if isinstance(pin, Unreadable):
        return pin.namespace, pin.name
    return pin.metadata.namespace or "", pin.metadata.name


def _pod_key(pod: PodView) -> Key:
    return pod.metadata.namespace, pod.metadata.name


class Cluster:
    """Both mirrors.

    Args:
        pins: where NumaPins come from.
        pods: where pods come from.
        changed: called with keys of what may have changed, by the mirrors' threads.
        pods_changed: called when a pod may have changed, by a mirror's thread.
        failed: called with each error.
    """

    def __init__(
        self,
        pins: Source[Any],
        pods: Source[PodView],
        *,
        changed: Callable[[Iterable[Key]], None],
        pods_changed: Callable[[], None] = lambda: None,
        failed: Callable[[Exception], None],
    ) -> None:
        def pods_too(keys: Iterable[Key]) -> None:
            changed(keys)
            pods_changed()

        self._pins: Mirror[Key, NumaPin | Unreadable] = Mirror(
            "numapins", PinSource(pins), key=_pin_key, changed=changed, failed=failed
        )
        self._pods: Mirror[Key, PodView] = Mirror(
            "pods", pods, key=_pod_key, changed=pods_too, failed=failed, same=PodView.same
        )

        # The last copy that was asked for, and those of it that could be read.
        self._readable: tuple[Mapping[Key, NumaPin | Unreadable], Mapping[Key, NumaPin]] = ({}, {})

    def start(self) -> None:
        """Begin to mirror."""
        self._pins.start()
        self._pods.start()

    def stop(self) -> None:
        """Tell both mirrors to end."""
        self._pins.stop()
        self._pods.stop()

    @property
    def listed(self) -> bool:
        """Whether both collections were received whole at least once."""
        return self._pins.listed and self._pods.listed

    @property
    def trusted(self) -> bool:
        """Whether every NumaPin could be read."""
        return not any(isinstance(p, Unreadable) for p in self._pins.objects().values())

    @property
    def alive(self) -> bool:
        """Whether both threads run."""
        return self._pins.alive and self._pods.alive

    def pins(self) -> Mapping[Key, NumaPin]:
        """NumaPins of this node that could be read."""
        objects, (known, readable) = self._pins.objects(), self._readable
        if objects is not known:
            readable = {k: p for k, p in objects.items() if isinstance(p, NumaPin)}
            self._readable = objects, readable
        return readable

    def pods(self) -> Mapping[Key, PodView]:
        """Pods of this node."""
        return self._pods.objects()
