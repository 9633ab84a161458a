"""Watches of the kinds that come by the hundred thousand, without kopf's queue per object.

kopf gives each object a queue, a worker and a handler call, some 1.5 ms of CPU an event; it
needs them for handlers that write, and ours only mark. So pods and pins are taken from the
stream below those: kopf's own list and watch, with its selectors, credentials, bookmarks,
new lists after 410 Gone and timeouts. It deliberately knows nothing of what the events mean.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import kopf
from kopf._cogs.clients import watching

from numapin_api.names import GROUP, VERSION
from numapin_operator.store import Kind

STREAMED: Final[dict[Kind, kopf.Resource]] = {
    "pods": kopf.Resource("", "v1", "pods", namespaced=True),
    "numapins": kopf.Resource(GROUP, VERSION, "numapins", namespaced=True),
}


async def listen(
    kind: Kind,
    heard: Callable[[Kind, Mapping[str, Any]], None],
    *,
    settings: kopf.OperatorSettings,
) -> None:
    """Tell of each object of a kind and of each event, until cancelled.

    To be run within a task that kopf has begun: it finds its connections by that.

    Args:
        kind: one of ``STREAMED``.
        heard: told of each event; objects of a list have the type None.
        settings: of kopf.
    """
    stream = watching.infinite_watch(settings=settings, resource=STREAMED[kind], namespace=None)
    async for event in stream:
        if isinstance(event, watching.Bookmark) or event["type"] == "BOOKMARK":
            continue
        heard(kind, cast("Mapping[str, Any]", event))
