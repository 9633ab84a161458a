"""The operator's writes: server-side applies, deletions, Events, as requests in kopf's session.

In the event loop, for a thread and the ``kubernetes`` package's client cost several times the
CPU of the request itself, and there may be a hundred thousand of them to make. kopf has the
connections, the credentials and their renewal already. It deliberately can't write a pod, and
never tries again by itself: the loop does, and says so once.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import kopf
from kopf._cogs.clients import api, errors

from numapin_api.errors import ApiError
from numapin_api.names import GROUP, OPERATOR_MANAGER, VERSION
from numapin_operator.kube import TIMEOUT_SECONDS, Json, RefusedError
from numapin_operator.pods import Key

Send = Callable[[str, str, Json, str], Awaitable[Json]]
"""Sends method, path, body and content type; may raise ApiError."""

_OWN: Final = f"/apis/{GROUP}/{VERSION}"
_JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
_GONE: Final = 404
_CONFLICT: Final = 409

_silent = logging.getLogger(f"{__name__}.kopf")
_silent.setLevel(logging.CRITICAL)
"""kopf logs each request that fails; so does the loop, once."""


class Writer(Protocol):
    """What the reconcile loop writes. Every call may raise ApiError."""

    async def apply_pin(self, body: Json) -> Json:
        """Create or change a NumaPin; the answer is the object as it stands."""

    async def apply_pin_status(self, body: Json) -> Json:
        """Change the operator's part of a NumaPin's status."""

    async def apply_policy_status(self, body: Json) -> Json:
        """Change a NumaPolicy's status."""

    async def delete_pin(self, key: Key, uid: str) -> None:
        """Delete the NumaPin with that uid; one that is gone already is fine."""

    async def create_event(self, namespace: str, body: Json) -> None:
        """Create an Event."""


class Pace:
    """A token bucket: at most ``rate`` calls a second, in bursts of at most a second's worth.

    Args:
        rate: calls per second.
        clock: monotonic seconds.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._next = float("-inf")

    def reserve(self) -> float:
        """Take the next turn; the seconds until it has come, none when it has already."""
        now = self._clock()
        # An idle second saves up a second's worth of calls, not more.
        self._next = max(self._next, now - 1.0) + 1.0 / self._rate
        return max(0.0, self._next - now)


def through_kopf(settings: kopf.OperatorSettings) -> Send:
    """Send in kopf's session; only within tasks that kopf has begun.

    Args:
        settings: of kopf.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)

    async def send(method: str, path: str, body: Json, content: str) -> Json:
        place = path.partition("?")[0]
        try:
            response = await api.request(
                method,
                path,
                settings=settings,
                payload=body,
                headers={"Content-Type": content},
                timeout=timeout,
                backoffs=(),
                logger=_silent,
            )
            async with response:
                data = await response.read()
        except errors.APIError as refused:
            said = json.dumps({"message": refused.message or str(refused)}).encode()
            raise RefusedError(method, place, refused.status, said) from refused
        except (aiohttp.ClientError, TimeoutError, kopf.LoginError) as error:
            raise ApiError(f"{method} {place}: {error or type(error).__name__}") from error
        found: Any = json.loads(data) if data else {}
        return dict(found)

    return send


def while_allowed(send: Send, allowed: Callable[[], bool]) -> Send:
    """Send only as long as one may.

    Args:
        send: sends one request.
        allowed: whether one may, asked before each.
    """

    async def guarded(method: str, path: str, body: Json, content: str) -> Json:
        if not allowed():
            raise ApiError(f"{method} {path.partition('?')[0]}: another operator may lead by now")
        return await send(method, path, body, content)

    return guarded


class ApiWriter:
    """Writes to the real API server.

    Args:
        send: sends one request.
        pace: limits them.
    """

    def __init__(self, send: Send, pace: Pace) -> None:
        self._send, self._pace = send, pace

    async def apply_pin(self, body: Json) -> Json:
        """Create or change a NumaPin; the answer is the object as it stands."""
        return await self._apply(_pin(body["metadata"]), body)

    async def apply_pin_status(self, body: Json) -> Json:
        """Change the operator's part of a NumaPin's status."""
        return await self._apply(f"{_pin(body['metadata'])}/status", body)

    async def apply_policy_status(self, body: Json) -> Json:
        """Change a NumaPolicy's status."""
        name = quote(body["metadata"]["name"])
        return await self._apply(f"{_OWN}/numapolicies/{name}/status", body)

    async def delete_pin(self, key: Key, uid: str) -> None:
        """Delete the NumaPin with that uid; one that is gone already is fine."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            await self.write("DELETE", _pin(key._asdict()), body, _JSON)
        except RefusedError as refused:
            # Conflict: another object has the name by now; that one is not meant.
            if refused.status not in {_GONE, _CONFLICT}:
                raise

    async def create_event(self, namespace: str, body: Json) -> None:
        """Create an Event."""
        await self.write("POST", f"/api/v1/namespaces/{quote(namespace)}/events", body, _JSON)

    async def _apply(self, path: str, body: Json) -> Json:
        """Server-side apply, forced.

        It takes the fields in ``body`` and no others; those are the operator's by contract,
        whoever wrote them last.
        """
        query = urlencode({"fieldManager": OPERATOR_MANAGER, "force": "true"})
        return await self.write("PATCH", f"{path}?{query}", body, APPLY)

    async def write(self, method: str, path: str, body: Json, content: str) -> Json:
        """Send one request when its turn has come."""
        if (delay := self._pace.reserve()) > 0:
            await asyncio.sleep(delay)
        return await self._send(method, path, body, content)


def _pin(meta: Json) -> str:
    """The path of a NumaPin."""
    return f"{_OWN}/namespaces/{quote(meta['namespace'])}/numapins/{quote(meta['name'])}"
