"""The API server, for the operator: credentials, lists and single requests.

kopf does the watching, ``writer`` the writing. Blocking: the informer calls it in threads. It
works on plain JSON so that objects of 7 KB are not made into hundreds of Python objects first.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol, cast
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from numapin_api.errors import ApiError
from numapin_api.names import GROUP, PIN_SELECTOR, VERSION
from numapin_operator.store import Kind, Version, object_key

PAGE: Final = 500
TIMEOUT_SECONDS: Final = 30
_OWN: Final = f"/apis/{GROUP}/{VERSION}"
PATHS: Final[Mapping[Kind, str]] = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "numapins": f"{_OWN}/numapins",
    "numanodes": f"{_OWN}/numanodes",
    "numapolicies": f"{_OWN}/numapolicies",
}
SELECTORS: Final[Mapping[Kind, str]] = {"pods": PIN_SELECTOR}
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Json = dict[str, Any]


class Cluster(Protocol):
    """What the informer needs of the API server. Every call may raise ApiError."""

    def pages(self, kind: Kind) -> Iterator[list[Json]]:
        """Everything of a kind, page by page."""

    def versions(self, kind: Kind) -> Iterator[list[Version]]:
        """The uid and resourceVersion of everything of a kind, page by page."""


def connect(kubeconfig: str | None) -> client.ApiClient:
    """A client from a kubeconfig, or from the pod's service account.

    Args:
        kubeconfig: path; None inside a cluster.

    Raises:
        ApiError: it can't be used.
    """
    configuration = client.Configuration()
    configuration.retries = False  # the loop retries, and says so once
    try:
        if kubeconfig is not None:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, client_configuration=configuration
            )
        else:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
    except (config.ConfigException, OSError) as error:
        raise ApiError(f"no usable API credentials: {error}") from error
    return client.ApiClient(configuration)


class KubeCluster:
    """The real API server.

    Args:
        api: an authenticated client; its connection pool is thread-safe.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    def pages(self, kind: Kind) -> Iterator[list[Json]]:
        """Everything of a kind, page by page, so that never all of it is in memory."""
        for page in self._pages(kind, "application/json"):
            yield self._whole(page)

    def versions(self, kind: Kind) -> Iterator[list[Version]]:
        """The uid and resourceVersion of everything of a kind, from metadata alone."""
        yield from map(_versions, self._pages(kind, _METADATA_ONLY))

    def versions_in(self, path: str) -> Iterator[list[Version]]:
        """The same of a collection that is not one of the watched kinds."""
        yield from map(_versions, self._paged(path, {"limit": str(PAGE)}, _METADATA_ONLY))

    def objects(self, path: str, *, limit: int = PAGE) -> Iterator[list[Json]]:
        """Everything of a collection that is not one of the watched kinds, page by page.

        Args:
            path: of the collection.
            limit: objects in a page.
        """
        for page in self._paged(path, {"limit": str(limit)}, "application/json"):
            yield self._whole(page)

    @staticmethod
    def _whole(page: Json) -> list[Json]:
        """Put back what items of a list lack: their kind and apiVersion."""
        found = page.get("items") or []
        for item in found:
            item.setdefault("apiVersion", page["apiVersion"])
            item.setdefault("kind", str(page["kind"]).removesuffix("List"))
        return found

    def _pages(self, kind: Kind, accept: str) -> Iterator[Json]:
        query = {"limit": str(PAGE)}
        if kind in SELECTORS:
            query["labelSelector"] = SELECTORS[kind]
        return self._paged(PATHS[kind], query, accept)

    def _paged(self, path: str, query: Mapping[str, str], accept: str) -> Iterator[Json]:
        token = ""
        while True:
            more = {"continue": token} if token else {}
            page = self.call("GET", f"{path}?{urlencode({**query, **more})}", accept=accept)
            yield page
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def call(  # noqa: PLR0913 (what a request has)
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        timeout: float = TIMEOUT_SECONDS,
    ) -> Json:
        """Send one request; JSON in and out.

        Args:
            method: of HTTP.
            path: with its query.
            body: what is sent.
            content: its media type.
            accept: media type of the answer.
            timeout: seconds.

        Raises:
            RefusedError: the API server's answer is an error.
            ApiError: there is no answer.
        """
        _, url, headers, payload, _ = self._api.param_serialize(
            method,
            path,
            header_params={"Accept": accept, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.call_api(method, url, headers, payload, _request_timeout=timeout)
            data = response.read()  # type: ignore[no-untyped-call]
        except (urllib3.exceptions.HTTPError, OSError, client.ApiException) as error:
            raise ApiError(f"{method} {path.partition('?')[0]}: {error}") from error
        if not 200 <= response.status < 300:
            raise RefusedError(method, path.partition("?")[0], response.status, data)
        return cast("Json", json.loads(data)) if data else {}


def _versions(page: Json) -> list[Version]:
    return [
        (object_key(item), item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for item in page.get("items") or ()
    ]


class RefusedError(ApiError):
    """The API server answered with an error."""

    def __init__(self, method: str, path: str, status: int, data: bytes) -> None:
        self.status = status
        super().__init__(f"{method} {path}: {status} {_why(data)}")


def _why(data: bytes) -> str:
    """The message of a metav1.Status, or the start of whatever it is."""
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")
