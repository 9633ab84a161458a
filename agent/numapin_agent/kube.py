"""The API server, as far as the agent needs it: three watches, four writes.

lightkube does the talking; here are the selectors, the server-side applies and the
translation of every failure into ApiError. Nothing here decides anything, retries
anything or keeps anything: that is for the mirrors and the publisher.
"""

import random
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import msgspec
from lightkube import Client, KubeConfig
from lightkube.config.client_adapter import verify_cluster
from lightkube.core import decoders
from lightkube.core import exceptions as lightkube_errors
from lightkube.core.resource import ApiInfo, GlobalResource
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.resources.core_v1 import Node as _Node

from numapin_agent.pods import PodView
from numapin_agent.watch import VersionGoneError
from numapin_api import names
from numapin_api.errors import ApiError
from numapin_api.node import NumaNode, NumaNodeStatus
from numapin_api.pin import NumaPin, Observed
from numapin_api.trace import NumaTrace, NumaTraceStatus

PinResource = create_namespaced_resource(names.GROUP, names.VERSION, NumaPin.KIND, NumaPin.PLURAL)
TraceResource = create_namespaced_resource(
    names.GROUP, names.VERSION, NumaTrace.KIND, NumaTrace.PLURAL
)
NodeResource = create_global_resource(names.GROUP, names.VERSION, NumaNode.KIND, NumaNode.PLURAL)

REQUEST_TIMEOUT_SECONDS = 10.0
WATCH_SECONDS = (240, 360)
"""How long the server keeps a watch open; drawn, so that agents don't come back in step."""
LIST_CHUNK = 500
TRACE_CHUNK = 10
"""NumaTraces in one answer of the server: each may hold one of half a megabyte."""
# A server that vanished without a FIN (node power loss, NAT timeout) would leave a watch
# hanging for ever: the kernel probes the connection and gives up after about 45 s.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 45_000),
)


class NotFoundError(ApiError):
    """The object is not there, or not any more."""

    reason = "NotFound"


class _Transport(httpx2.HTTPTransport):
    """Adds to watches what lightkube has no parameter for: bookmarks.

    Without them the version of a quiet watch grows old, and each break costs a new list.
    """

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if "watch" in request.url.params:
            request.url = request.url.copy_merge_params({"allowWatchBookmarks": "true"})
        return super().handle_request(request)


class _NodeMeta(msgspec.Struct, frozen=True, gc=False):
    uid: str = ""


class NodeView(GlobalResource, msgspec.Struct, frozen=True):
    """A Node, of which only the UID is needed: to be the owner of its NumaNode."""

    _api_info: ClassVar[ApiInfo] = _Node._api_info  # type: ignore[misc]  # lightkube says instance

    metadata: _NodeMeta = _NodeMeta()


def prime() -> None:
    """Decode each kind of answer once, before there is a second thread.

    msgspec (0.22) works out a type's layout at its first use, and crashes the process when
    two threads do so at once: 24 of 25 runs of eight threads ended in a segmentation fault.
    """
    for listed in (PodView, PinResource, TraceResource):
        decoders.decode_list(b'{"metadata":{},"items":[]}', listed)
    for single in (PodView, NodeView):
        decoders.decode_object(b"{}", single)
    decoders.decode_watch_event(b'{"type":"BOOKMARK","object":{}}')
    decoders.decode_status(b"{}")
    _ = decoders.decode_object(b'{"metadata":{}}', PinResource).metadata


def connect(kubeconfig: Path | None) -> Client:
    """A client for the API server; nothing is sent yet. To be called before any thread.

    Args:
        kubeconfig: a file, else the service account, else ``$KUBECONFIG``.

    Raises:
        ApiError: there is no usable configuration.
    """
    prime()
    try:
        configs = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
        config = configs.get()
        if config is None or config.user is None:
            raise ApiError(f"{kubeconfig or 'the environment'} names no API server and user")
        context = verify_cluster(config.cluster, config.user, config.abs_file)
    except (lightkube_errors.ConfigError, KeyError, OSError, ValueError) as e:
        raise ApiError(f"no way to the API server: {e!r}") from e
    return Client(
        config=config,
        timeout=httpx2.Timeout(REQUEST_TIMEOUT_SECONDS),
        field_manager=names.AGENT_MANAGER,
        transport=_Transport(verify=context, socket_options=_KEEPALIVE),
    )


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPStatusError as e:
        # lightkube's ApiError is one of these, but an ERROR line within a watch carries
        # a Status only, and no response.
        status = getattr(e, "status", None)
        code = status.code if status is not None else e.response.status_code
        message = f"{what}: {code} {status.message if status is not None else e}"
        kind = {404: NotFoundError, 410: VersionGoneError}.get(code, ApiError)
        raise kind(message) from e
    except (httpx2.HTTPError, httpx2.StreamError, KeyError, ValueError, OSError) as e:
        # KeyError: lightkube looks for a Content-Type that some proxies don't send.
        raise ApiError(f"{what}: {type(e).__name__}: {e}") from e


@dataclass(frozen=True, slots=True)
class KubeSource:
    """A collection, narrowed to this node by the API server.

    Attributes:
        client: the connection.
        kind: lightkube's class of it.
        fields: the field selector.
        chunk: most objects that are asked for, and held, at once.
    """

    client: Client
    kind: type[Any]
    fields: Mapping[str, str]
    chunk: int = LIST_CHUNK

    def list(self) -> tuple[str, Iterable[Any]]:
        """The version, and all objects, which are fetched as they are taken.

        Raises:
            ApiError: the list did not come whole; while the objects are taken, too.
        """
        with _errors(f"list {self.kind.__name__}"):
            found = self.client.list(
                self.kind, namespace="*", fields=dict(self.fields), chunk_size=self.chunk
            )
            objects = iter(found)
            first = list(islice(objects, 1))
            return found.resourceVersion, self._rest(chain(first, objects))

    def _rest(self, objects: Iterator[Any]) -> Iterator[Any]:
        with _errors(f"list {self.kind.__name__}"):
            yield from objects

    def watch(self, version: str) -> Iterator[tuple[str, str, Any]]:
        """Changes since that version.

        Raises:
            VersionGoneError: list again.
            ApiError: the connection broke.
        """
        with _errors(f"watch {self.kind.__name__}"):
            for change, obj in self.client.watch(
                self.kind,
                namespace="*",
                fields=dict(self.fields),
                server_timeout=random.randint(*WATCH_SECONDS),  # noqa: S311 -- jitter
                resource_version=version,
            ):
                yield change, obj.metadata.resourceVersion, obj


def pins_of(client: Client, node_name: str) -> KubeSource:
    """NumaPins of a node, by the CRD's selectable field."""
    return KubeSource(client, PinResource, {"spec.nodeName": node_name})


def traces_of(client: Client, node_name: str) -> KubeSource:
    """NumaTraces of a node, by the CRD's selectable field."""
    return KubeSource(client, TraceResource, {"spec.nodeName": node_name}, TRACE_CHUNK)


def pods_of(client: Client, node_name: str) -> KubeSource:
    """Pods of a node."""
    return KubeSource(client, PodView, {"spec.nodeName": node_name})


class Api:
    """The agent's writes.

    Args:
        client: the connection.
        node_name: the Kubernetes node whose NumaNode it writes.
    """

    def __init__(
        self,
        client: Client,
        node_name: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._node = node_name
        self._now = now

    def numa_node(self) -> NumaNode | None:
        """This node's NumaNode, if there is one.

        Raises:
            ApiError: any other failure.
        """
        try:
            with _errors(f"get NumaNode {self._node}"):
                return NumaNode.read(self._client.get(NodeResource, self._node))
        except NotFoundError:
            return None

    def apply_numa_node(self, status: NumaNodeStatus) -> None:
        """Make sure the NumaNode is there, owned by the Node, and holds this status.

        Raises:
            NotFoundError: the Node is not registered (yet).
            ApiError: any other failure.
        """
        with _errors(f"get Node {self._node}"):
            node = self._client.get(NodeView, self._node)
        identity: dict[str, Any] = {
            "apiVersion": names.API_VERSION,
            "kind": NumaNode.KIND,
            "metadata": {"name": self._node},
        }
        owner = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": self._node,
            "uid": node.metadata.uid,
        }
        owned = {**identity, "metadata": {"name": self._node, "ownerReferences": [owner]}}
        with _errors(f"apply NumaNode {self._node}"):
            self._client.apply(NodeResource(**owned), force=True)
            self._client.apply(
                NodeResource.Status(**identity, status=status.wire()),
                name=self._node,
                force=True,
            )

    def apply_observed(self, pin: NumaPin, observed: Observed) -> None:
        """Write ``status.observed`` of a NumaPin, and nothing else of it.

        It is dated here, so that no figure's change is needed for the write to be one: else an
        agent that finds all as before could not be told from one that is gone.

        Raises:
            NotFoundError: the NumaPin is gone.
            ApiError: any other failure; a NumaPin of the same name made anew is a conflict.
        """
        dated = observed.model_copy(update={"time": self._now().replace(microsecond=0)})
        self._apply_status(PinResource, pin, {"observed": dated.wire()})

    def apply_trace(self, trace: NumaTrace, status: NumaTraceStatus) -> None:
        """Write a NumaTrace's status.

        Raises:
            NotFoundError: the NumaTrace is gone.
            ApiError: any other failure; a NumaTrace of the same name made anew is a conflict.
        """
        self._apply_status(TraceResource, trace, status.wire())

    def _apply_status(
        self, resource: type[Any], obj: NumaPin | NumaTrace, status: Mapping[str, Any]
    ) -> None:
        meta = obj.metadata
        body: dict[str, Any] = {
            "apiVersion": names.API_VERSION,
            "kind": obj.KIND,
            # The API server refuses the write if this is not that very object any more.
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "status": dict(status),
        }
        with _errors(f"apply {obj.KIND} {meta.namespace}/{meta.name} status"):
            # lightkube's types take a namespaced status for a whole object.
            whole: Any = resource.Status(**body)
            self._client.apply(whole, name=meta.name, namespace=meta.namespace, force=True)
