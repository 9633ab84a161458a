"""NumaTraces of this node as models, without what is large in them: a copy is kept in memory."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from numapin_agent.ports import Key
from numapin_agent.watch import Source
from numapin_api.trace import NumaTrace

log = logging.getLogger(__name__)

Known = tuple[Key, NumaTrace | None]
"""Namespace and name; None instead of a trace that this version does not understand."""

_NOT_KEPT: Final = {"annotations", "labels", "managedFields", "ownerReferences"}
"""Of the metadata: nobody here asks for them, and whoever makes a NumaTrace may fill them."""


def read(obj: Mapping[str, Any]) -> Known:
    """A NumaTrace from its JSON form; one that can't be read is nobody's to answer."""
    meta = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _NOT_KEPT}
    key = str(meta.get("namespace", "")), str(meta.get("name", ""))
    status = {k: v for k, v in (obj.get("status") or {}).items() if k != "result"}
    try:
        return key, NumaTrace.read({**obj, "metadata": meta, "status": status})
    except ValidationError as error:
        log.error("NumaTrace %s/%s can't be read: %s", *key, error)  # noqa: TRY400 -- no trace needed
        return key, None


_NONE: Known = (("", ""), None)


class TraceSource:
    """NumaTraces as models.

    Args:
        raw: the collection as plain objects.
    """

    def __init__(self, raw: Source[Any]) -> None:
        self._raw = raw

    def list(self) -> tuple[str, Iterable[Known]]:
        """The version, and all NumaTraces."""
        version, objects = self._raw.list()
        return version, [read(dict(o)) for o in objects]

    def watch(self, version: str) -> Iterator[tuple[str, str, Known]]:
        """Changes since that version."""
        for change, new, obj in self._raw.watch(version):
            # A bookmark has no spec, and nobody looks at its object.
            yield change, new, _NONE if change == "BOOKMARK" else read(dict(obj))
