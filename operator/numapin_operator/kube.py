"""The API server, for the operator: lists, server-side applies, deletions, Events.

The only module that talks to the network by itself (kopf does the watching). Blocking: the
loop calls it in threads. It works on plain JSON so that objects of 7 KB are not made into
hundreds of Python objects first. It deliberately can't write a pod.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client, config

from numapin_api.errors import ApiError
from numapin_api.names import GROUP, OPERATOR_MANAGER, PIN_SELECTOR, VERSION
from numapin_operator.pods import Key
from numapin_operator.store import Kind, ObjectKey, object_key

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
_GONE: Final = 404
_CONFLICT: Final = 409

Json = dict[str, Any]


class Cluster(Protocol):
    """What the reconcile loop needs of the API server. Every call may raise ApiError."""

    def apply_pin(self, body: Json) -> Json:
        """Create or change a NumaPin; the answer is the object as it stands."""

    def apply_pin_status(self, body: Json) -> Json:
        """Change the operator's part of a NumaPin's status."""

    def apply_policy_status(self, body: Json) -> Json:
        """Change a NumaPolicy's status."""

    def delete_pin(self, key: Key, uid: str) -> None:
        """Delete the NumaPin with that uid; one that is gone already is fine."""

    def create_event(self, namespace: str, body: Json) -> None:
        """Create an Event."""

    def pages(self, kind: Kind) -> Iterator[list[Json]]:
        """Everything of a kind, page by page."""

    def versions(self, kind: Kind) -> dict[ObjectKey, tuple[str, str]]:
        """The uid and resourceVersion of everything of a kind."""


class Pace:
    """A token bucket: at most ``rate`` calls a second, in bursts of at most a second's worth.

    Args:
        rate: calls per second.
        clock: monotonic seconds.
        sleep: sleeps that many seconds.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._next = float("-inf")
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next call may be made."""
        with self._lock:
            now = self._clock()
            # An idle second saves up a second's worth of calls, not more.
            self._next = max(self._next, now - 1.0) + 1.0 / self._rate
            delay = self._next - now
        if delay > 0:
            self._sleep(delay)


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
        pace: limits writes.
    """

    def __init__(self, api: client.ApiClient, pace: Pace) -> None:
        self._api, self._pace = api, pace

    def apply_pin(self, body: Json) -> Json:
        """Create or change a NumaPin; the answer is the object as it stands."""
        meta = body["metadata"]
        path = f"{_OWN}/namespaces/{quote(meta['namespace'])}/numapins/{quote(meta['name'])}"
        return self._apply(path, body)

    def apply_pin_status(self, body: Json) -> Json:
        """Change the operator's part of a NumaPin's status."""
        meta = body["metadata"]
        path = f"{_OWN}/namespaces/{quote(meta['namespace'])}/numapins/{quote(meta['name'])}"
        return self._apply(f"{path}/status", body)

    def apply_policy_status(self, body: Json) -> Json:
        """Change a NumaPolicy's status."""
        return self._apply(f"{_OWN}/numapolicies/{quote(body['metadata']['name'])}/status", body)

    def delete_pin(self, key: Key, uid: str) -> None:
        """Delete the NumaPin with that uid; one that is gone already is fine."""
        path = f"{_OWN}/namespaces/{quote(key.namespace)}/numapins/{quote(key.name)}"
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            self.write("DELETE", path, body, "application/json")
        except RefusedError as refused:
            # Conflict: another object has the name by now; that one is not meant.
            if refused.status not in {_GONE, _CONFLICT}:
                raise

    def create_event(self, namespace: str, body: Json) -> None:
        """Create an Event."""
        path = f"/api/v1/namespaces/{quote(namespace)}/events"
        self.write("POST", path, body, "application/json")

    def pages(self, kind: Kind) -> Iterator[list[Json]]:
        """Everything of a kind, page by page, so that never all of it is in memory."""
        for page in self._pages(kind, "application/json"):
            yield [self._whole(page, item) for item in page.get("items") or ()]

    def versions(self, kind: Kind) -> dict[ObjectKey, tuple[str, str]]:
        """The uid and resourceVersion of everything of a kind, from metadata alone."""
        return {
            object_key(item): (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
            for page in self._pages(kind, _METADATA_ONLY)
            for item in page.get("items") or ()
        }

    @staticmethod
    def _whole(page: Json, item: Json) -> Json:
        """Put back what items of a list lack: their kind and apiVersion."""
        item.setdefault("apiVersion", page["apiVersion"])
        item.setdefault("kind", str(page["kind"]).removesuffix("List"))
        return item

    def _pages(self, kind: Kind, accept: str) -> Iterator[Json]:
        token = ""
        while True:
            query = {"limit": str(PAGE)}
            if kind in SELECTORS:
                query["labelSelector"] = SELECTORS[kind]
            if token:
                query["continue"] = token
            page = self.call("GET", f"{PATHS[kind]}?{urlencode(query)}", accept=accept)
            yield page
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    def _apply(self, path: str, body: Json) -> Json:
        """Server-side apply, forced.

        It takes the fields in ``body`` and no others; those are the operator's by contract,
        whoever wrote them last.
        """
        query = urlencode({"fieldManager": OPERATOR_MANAGER, "force": "true"})
        return self.write("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml")

    def write(self, method: str, path: str, body: Json, content: str) -> Json:
        """Send one request when its turn has come; see :meth:`call`."""
        self._pace.wait()
        return self.call(method, path, body=body, content=content)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """Send one request, unpaced; JSON in and out.

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
            response = self._api.call_api(
                method, url, headers, payload, _request_timeout=TIMEOUT_SECONDS
            )
            data = response.read()  # type: ignore[no-untyped-call]
        except (urllib3.exceptions.HTTPError, OSError, client.ApiException) as error:
            raise ApiError(f"{method} {path.partition('?')[0]}: {error}") from error
        if not 200 <= response.status < 300:
            raise RefusedError(method, path.partition("?")[0], response.status, data)
        return cast("Json", json.loads(data)) if data else {}


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
