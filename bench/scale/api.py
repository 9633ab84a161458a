"""A thin client of the API server: so cheap that the simulator leaves the CPUs to the operator."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, Self, TypeVar

import aiohttp

from numapin_api.names import AGENT_MANAGER, GROUP, VERSION
from numapin_lab.controlplane import ControlPlane

Json = dict[str, Any]
T = TypeVar("T")

USER_AGENT: Final = "numapin-scale"
"""Tells the simulator's requests from the operator's in the audit log."""
OWN: Final = f"/apis/{GROUP}/{VERSION}"
CONFLICT: Final = 409
NOT_FOUND: Final = 404
PAGE: Final = 500
LINE_BYTES: Final = 1 << 22


class AnswerError(Exception):
    """The API server refused."""

    def __init__(self, status: int, said: str) -> None:
        self.status = status
        super().__init__(f"{status}: {said[:300]}")


class Api:
    """A session; to be used as a context.

    Args:
        plane: the control plane.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def __aenter__(self) -> Self:
        trust = ssl.create_default_context(cafile=str(self._plane.ca))
        self._session = aiohttp.ClientSession(
            self._plane.url,
            headers={"Authorization": f"Bearer {self._plane.token}", "User-Agent": USER_AGENT},
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            read_bufsize=LINE_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(
        self, method: str, path: str, body: Json | None = None, *, content: str = "application/json"
    ) -> Json:
        """One request.

        Raises:
            AnswerError: it was refused.
        """
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, path, data=data, headers={"Content-Type": content}
        ) as answer:
            text = await answer.read()
            if answer.status >= 300:
                raise AnswerError(answer.status, text.decode(errors="replace"))
            return dict(json.loads(text))

    async def make(self, path: str, body: Json) -> None:
        """Create an object, unless it is there already."""
        try:
            await self.call("POST", path, body)
        except AnswerError as refused:
            if refused.status != CONFLICT:
                raise

    async def apply(self, path: str, body: Json) -> None:
        """Server-side apply as an agent; an object that has gone meanwhile is none to speak of."""
        query = f"fieldManager={AGENT_MANAGER}&force=true"
        try:
            await self.call(
                "PATCH", f"{path}?{query}", body, content="application/apply-patch+yaml"
            )
        except AnswerError as refused:
            if refused.status != NOT_FOUND:
                raise

    async def count(self, path: str, query: str = "") -> int:
        """How many objects there are, without reading them."""
        page = await self.call("GET", f"{path}?limit=1&{query}")
        if not page["items"]:
            return 0
        return 1 + int(page["metadata"].get("remainingItemCount") or 0)

    async def pages(self, path: str) -> AsyncIterator[Json]:
        """A list, page by page."""
        token = ""
        while True:
            page = await self.call("GET", f"{path}?limit={PAGE}&continue={token}")
            yield page
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    async def watch(self, path: str, version: str) -> AsyncIterator[Json]:
        """Events since a resourceVersion, across the ends of single watches."""
        while True:
            query = f"watch=true&allowWatchBookmarks=true&resourceVersion={version}"
            timeout = aiohttp.ClientTimeout(total=None)
            async with self._session.get(f"{path}?{query}", timeout=timeout) as answer:
                if answer.status >= 300:
                    raise AnswerError(answer.status, await answer.text())
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise AnswerError(event["object"]["code"], str(event["object"]))
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event


async def spread(items: Iterable[T], work: Callable[[T], Awaitable[object]], width: int) -> None:
    """Do something for every item, so many at a time.

    Raises:
        ExceptionGroup: one of them failed; the others were ended.
    """
    source = iter(items)

    async def run() -> None:
        for item in source:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(run())
