"""Calls of the ``kubernetes`` client made, their answers read, their failures said in words.

Deliberately knows no kind and no address: what is asked for is a call that the caller made up.
Answers stay plain JSON, as this client's models refuse what a newer API server may send.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from numapin_api.base import Resource
from numapin_api.errors import ApiError
from numapin_cli.failures import (
    NotFoundError,
    UnavailableError,
    UnreadableError,
    refusal,
    unreachable,
)

Json = Mapping[str, Any]
Kind = TypeVar("Kind", bound=Resource)

TIMEOUT_SECONDS: Final = (5, 30)
"""To connect, and between bytes of an answer."""
INSTALL: Final = "numapin is not installed in this cluster: install its Helm chart, charts/numapin"


class Answers:
    """What one API server says.

    Args:
        host: its address, for messages.
        described: how the cluster was found, for messages.
        page: objects per request.
    """

    def __init__(self, *, host: str, described: str, page: int) -> None:
        self._host = host
        self._described = described
        self._page = page

    def find(self, what: str, call: Callable[..., Any]) -> Json | None:
        """One object, None if there is none.

        Args:
            what: is asked for, for messages.
            call: asks for it.

        Raises:
            ApiError: it can't be had.
        """
        try:
            return self.get(what, call)
        except NotFoundError:
            return None

    def every(self, what: str, call: Callable[..., Any]) -> Iterator[Json]:
        """All objects of a list, page by page, so that no answer is huge.

        Raises:
            ApiError: they can't be had, or there is no such kind.
        """
        more: str | None = ""
        while more is not None:
            try:
                page = self.get(what, partial(call, limit=self._page, _continue=more or None))
            except NotFoundError as e:
                raise ApiError(INSTALL) from e
            yield from page.get("items") or ()
            more = (page.get("metadata") or {}).get("continue") or None

    def get(self, what: str, call: Callable[..., Any]) -> Json:
        """One object.

        Raises:
            NotFoundError: there is none.
            ApiError: it can't be had.
        """
        return dict(json.loads(self.whole(what, partial(call, _request_timeout=TIMEOUT_SECONDS))))

    def whole(self, what: str, call: Callable[..., Any]) -> bytes:
        """An answer as it came; the call has its time limits already.

        Raises:
            ApiError: there is none, or not this one.
        """
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError, ReadTimeoutError  # noqa: PLC0415

        try:
            return bytes(call(_preload_content=False).data)
        except ApiException as e:
            raise refusal(what, e.status, e.body) from e
        except ReadTimeoutError as e:
            raise UnavailableError(f"no answer in time when asked for {what}: {e}") from e
        except HTTPError as e:
            raise ApiError(unreachable(self._host, self._described, e)) from e


def read(kind: type[Kind], obj: Json) -> Kind:
    """An object of ours, validated.

    Raises:
        UnreadableError: it is of another version than this one; the message names the field.
    """
    try:
        return kind.read(obj)
    except ValidationError as e:
        meta = obj.get("metadata") or {}
        problem = e.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise UnreadableError(
            f"{kind.__name__} {meta.get('name')} is not what this version knows: "
            f"{field}: {problem['msg']}; use the numapin of the cluster's version"
        ) from e
