"""The only module that talks to the cluster: typed reads, failures said in words.

Reads only, but for NumaTraces, which are made and deleted: a question to a node's kernel. A
SelfSubjectAccessReview is a question, too, though it is asked by POST. The
``kubernetes`` client is imported when a command needs a cluster (it costs a quarter of a
second); answers are kept as plain JSON and validated where they are ours.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from numapin_api import names
from numapin_api.base import Resource
from numapin_api.errors import ApiError
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_api.policy import NumaPolicy
from numapin_api.trace import NumaTrace, NumaTraceSpec
from numapin_cli.failures import (
    NotFoundError,
    UnavailableError,
    UnreadableError,
    refusal,
    unreachable,
)

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, AppsV1Api, CoreV1Api

Json = Mapping[str, Any]
Kind = TypeVar("Kind", bound=Resource)

TIMEOUT_SECONDS: Final = (5, 30)
"""To connect, and between bytes of an answer."""
SCRAPE_SECONDS: Final = (5, 10)
"""The same of an agent: it answers within milliseconds, or a whole table waits for it."""
PAGE: Final = 500
"""What kubectl uses."""
INSTALL: Final = "numapin is not installed in this cluster: install its Helm chart, charts/numapin"
OPERATOR_SELECTOR: Final = "app.kubernetes.io/name=numapin,app.kubernetes.io/component=operator"
AGENT_SELECTOR: Final = "app.kubernetes.io/name=numapin,app.kubernetes.io/component=agent"


class Cluster:
    """Reads from one API server.

    Args:
        client: of the official package.
        namespace: what is meant when the user names none.
        described: how the cluster was found, for messages.
        page: objects per request.
    """

    def __init__(
        self, client: "ApiClient", *, namespace: str, described: str, page: int = PAGE
    ) -> None:
        from kubernetes.client import CustomObjectsApi  # noqa: PLC0415

        self._client = client
        self._custom = CustomObjectsApi(client)
        self._host = client.configuration.host
        self._described = described
        self._page = page
        self.namespace = namespace

    def installed(self) -> bool:
        """Whether the cluster knows numapin's kinds.

        Raises:
            ApiError: it can't be had.
        """
        try:
            self._get(
                f"the API group {names.GROUP}",
                partial(self._custom.get_api_resources, names.GROUP, names.VERSION),
            )
        except NotFoundError:
            return False
        return True

    def kinds(self) -> frozenset[str]:
        """Plurals of those of numapin's kinds that the cluster knows; none without numapin.

        Raises:
            ApiError: they can't be had.
        """
        found = self._find(
            f"the API group {names.GROUP}",
            partial(self._custom.get_api_resources, names.GROUP, names.VERSION),
        )
        return frozenset(one["name"] for one in (found or {}).get("resources") or ())

    def pins(self, namespace: str | None) -> list[NumaPin]:
        """The NumaPins of a namespace, of all if None.

        Raises:
            ApiError: they can't be had.
        """
        api, ours = self._custom, (names.GROUP, names.VERSION)
        call = (
            partial(api.list_namespaced_custom_object, *ours, namespace, NumaPin.PLURAL)
            if namespace
            else partial(api.list_cluster_custom_object, *ours, NumaPin.PLURAL)
        )
        return [_read(NumaPin, o) for o in self._list("NumaPins", call)]

    def pin(self, namespace: str, name: str) -> NumaPin | None:
        """One NumaPin, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        found = self._find(
            f"NumaPin {namespace}/{name}",
            partial(
                self._custom.get_namespaced_custom_object,
                names.GROUP,
                names.VERSION,
                namespace,
                NumaPin.PLURAL,
                name,
            ),
        )
        return None if found is None else _read(NumaPin, found)

    def numa_nodes(self) -> list[NumaNode]:
        """All NumaNodes.

        Raises:
            ApiError: they can't be had.
        """
        call = partial(
            self._custom.list_cluster_custom_object, names.GROUP, names.VERSION, NumaNode.PLURAL
        )
        return [_read(NumaNode, o) for o in self._list("NumaNodes", call)]

    def policies(self) -> list[NumaPolicy]:
        """All NumaPolicies.

        Raises:
            ApiError: they can't be had.
        """
        call = partial(
            self._custom.list_cluster_custom_object, names.GROUP, names.VERSION, NumaPolicy.PLURAL
        )
        return [_read(NumaPolicy, o) for o in self._list("NumaPolicies", call)]

    def namespaces(self) -> list[Json]:
        """All namespaces.

        Raises:
            ApiError: they can't be had.
        """
        return list(self._list("namespaces", self._core.list_namespace))

    def numa_node(self, name: str) -> NumaNode | None:
        """One NumaNode, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        found = self._find(
            f"NumaNode {name}",
            partial(
                self._custom.get_cluster_custom_object,
                names.GROUP,
                names.VERSION,
                NumaNode.PLURAL,
                name,
            ),
        )
        return None if found is None else _read(NumaNode, found)

    def pod(self, namespace: str, name: str) -> Json | None:
        """One pod, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        return self._find(
            f"pod {namespace}/{name}", partial(self._core.read_namespaced_pod, name, namespace)
        )

    def opted_in_pods(self, namespace: str | None) -> list[Json]:
        """Pods that carry the label, in a namespace or in all.

        Raises:
            ApiError: they can't be had.
        """
        call = (
            partial(self._core.list_namespaced_pod, namespace)
            if namespace
            else self._core.list_pod_for_all_namespaces
        )
        return list(self._list("pods", partial(call, label_selector=names.PIN_SELECTOR)))

    def node_names(self) -> list[str]:
        """Names of the Kubernetes nodes.

        Raises:
            ApiError: they can't be had.
        """
        return [o["metadata"]["name"] for o in self.nodes()]

    def operators(self) -> list[Json]:
        """Deployments of the operator, in whatever namespace.

        Raises:
            ApiError: they can't be had.
        """
        call = partial(
            self._apps.list_deployment_for_all_namespaces, label_selector=OPERATOR_SELECTOR
        )
        return list(self._list("deployments", call))

    def daemonsets(self) -> list[Json]:
        """All DaemonSets.

        Raises:
            ApiError: they can't be had.
        """
        return list(self._list("daemonsets", self._apps.list_daemon_set_for_all_namespaces))

    def agent_pods(self, namespace: str | None = None) -> list[Json]:
        """Pods of the agent, in a namespace or in whatever namespace.

        Raises:
            ApiError: they can't be had.
        """
        call = (
            partial(self._core.list_namespaced_pod, namespace)
            if namespace
            else self._core.list_pod_for_all_namespaces
        )
        return list(self._list("pods", partial(call, label_selector=AGENT_SELECTOR)))

    def pods(self, namespace: str | None, *, node: str | None = None) -> list[Json]:
        """All pods of a namespace or of all, on one node or on all.

        Raises:
            ApiError: they can't be had.
        """
        call = (
            partial(self._core.list_namespaced_pod, namespace)
            if namespace
            else self._core.list_pod_for_all_namespaces
        )
        selector = f"spec.nodeName={node}" if node else None
        return list(self._list("pods", partial(call, field_selector=selector)))

    def pod_page(self, namespace: str, name: str, *, port: int, path: str) -> str:
        """What a pod itself answers, through the API server; may be called by several threads.

        Args:
            namespace: of the pod.
            name: of the pod.
            port: that it listens on.
            path: without the first slash.

        Raises:
            ApiError: it can't be had.
        """
        call = partial(
            self._core.connect_get_namespaced_pod_proxy_with_path, f"{name}:{port}", namespace, path
        )
        what = f"{path} of pod {namespace}/{name}"
        return self._ask(what, partial(call, _request_timeout=SCRAPE_SECONDS)).decode()

    def forwarded_page(self, namespace: str, name: str, *, port: int, path: str) -> str:
        """The same as ``pod_page`` by port-forward.

        Raises:
            ApiError: it can't be had.
        """
        from numapin_cli.forward import page  # noqa: PLC0415

        configuration = self._client.configuration
        return page(configuration, namespace=namespace, name=name, port=port, path=path)

    def nodes(self) -> list[Json]:
        """The Kubernetes nodes.

        Raises:
            ApiError: they can't be had.
        """
        return list(self._list("nodes", self._core.list_node))

    def version(self) -> str:
        """The API server's version, such as v1.35.4.

        Raises:
            ApiError: it can't be had.
        """
        from kubernetes.client import VersionApi  # noqa: PLC0415

        return str(self._get("the version", VersionApi(self._client).get_code)["gitVersion"])

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether this user may do that in all namespaces; any user may ask.

        Args:
            verb: get, list, ...
            group: API group, empty for the core.
            resource: plural.

        Raises:
            ApiError: no answer can be had.
        """
        asked = {"verb": verb, "group": group, "resource": resource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        kind = ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", review)
        call = partial(self._custom.create_cluster_custom_object, *kind)
        answer = self._get("your rights", call)
        return bool((answer.get("status") or {}).get("allowed"))

    def definition(self, name: str) -> Json | None:
        """A CustomResourceDefinition, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        kind = ("apiextensions.k8s.io", "v1", "customresourcedefinitions", name)
        call = partial(self._custom.get_cluster_custom_object, *kind)
        return self._find(f"CustomResourceDefinition {name}", call)

    def kubelet_config(self, node: str) -> Json:
        """The configuration in force of a node's kubelet, which it is asked for itself.

        Raises:
            ApiError: it can't be had.
        """
        call = partial(self._core.connect_get_node_proxy_with_path, node, "configz")
        return dict(self._get(f"the kubelet of {node}", call).get("kubeletconfig") or {})

    def create_trace(self, namespace: str, spec: NumaTraceSpec) -> NumaTrace:
        """Make a NumaTrace; the API server chooses its name.

        Raises:
            ApiError: it can't be made.
        """
        body = {
            "apiVersion": names.API_VERSION,
            "kind": NumaTrace.KIND,
            "metadata": {"generateName": "trace-"},
            "spec": spec.wire(),
        }
        call = partial(self._custom.create_namespaced_custom_object, *_traces(namespace), body)
        return _read(NumaTrace, self._get(f"a NumaTrace in {namespace}", call))

    def trace(self, namespace: str, name: str) -> NumaTrace | None:
        """One NumaTrace, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        where = _traces(namespace)
        call = partial(self._custom.get_namespaced_custom_object, *where, name)
        found = self._find(f"NumaTrace {namespace}/{name}", call)
        return None if found is None else _read(NumaTrace, found)

    def delete_trace(self, namespace: str, name: str) -> None:
        """Delete a NumaTrace, if it is still there.

        Raises:
            ApiError: it can't be deleted.
        """
        where = _traces(namespace)
        call = partial(self._custom.delete_namespaced_custom_object, *where, name)
        self._find(f"the deletion of NumaTrace {namespace}/{name}", call)

    @cached_property
    def _core(self) -> "CoreV1Api":
        """Imported when it is used: its module alone costs more than all else here."""
        from kubernetes.client import CoreV1Api  # noqa: PLC0415

        return CoreV1Api(self._client)

    @cached_property
    def _apps(self) -> "AppsV1Api":
        from kubernetes.client import AppsV1Api  # noqa: PLC0415

        return AppsV1Api(self._client)

    def _find(self, what: str, call: Callable[..., Any]) -> Json | None:
        try:
            return self._get(what, call)
        except NotFoundError:
            return None

    def _list(self, what: str, call: Callable[..., Any]) -> Iterator[Json]:
        """All objects of a list, page by page, so that no answer is huge."""
        more: str | None = ""
        while more is not None:
            try:
                page = self._get(what, partial(call, limit=self._page, _continue=more or None))
            except NotFoundError as e:
                raise ApiError(INSTALL) from e
            yield from page.get("items") or ()
            more = (page.get("metadata") or {}).get("continue") or None

    def _get(self, what: str, call: Callable[..., Any]) -> Json:
        # plain JSON: this client's models refuse what a newer API server may send
        return dict(json.loads(self._ask(what, partial(call, _request_timeout=TIMEOUT_SECONDS))))

    def _ask(self, what: str, call: Callable[..., Any]) -> bytes:
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


def _read(kind: type[Kind], obj: Json) -> Kind:
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


def _traces(namespace: str) -> tuple[str, str, str, str]:
    return names.GROUP, names.VERSION, namespace, NumaTrace.PLURAL
