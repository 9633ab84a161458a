"""The only module that asks the cluster, and all that is asked: typed reads, nothing printed.

Reads only, but for NumaTraces, which are made and deleted: a question to a node's kernel. A
SelfSubjectAccessReview is a question, too, though it is asked by POST. The
``kubernetes`` client is imported when a command needs a cluster (it costs a quarter of a
second); answers are kept as plain JSON and validated where they are ours.
"""

from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

from numapin_api import names
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_api.policy import NumaPolicy
from numapin_api.trace import NumaTrace, NumaTraceSpec
from numapin_cli.answers import Answers, Json, read
from numapin_cli.failures import NotFoundError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, AppsV1Api, CoreV1Api

SCRAPE_SECONDS: Final = (5, 10)
"""To connect to an agent, and between bytes: it answers soon, or a whole table waits for it."""
PAGE: Final = 500
"""What kubectl uses."""
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
        host = client.configuration.host
        self._answers = Answers(host=host, described=described, page=page)
        self.namespace = namespace

    def installed(self) -> bool:
        """Whether the cluster knows numapin's kinds.

        Raises:
            ApiError: it can't be had.
        """
        try:
            self._answers.get(
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
        found = self._answers.find(
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
        return [read(NumaPin, o) for o in self._answers.every("NumaPins", call)]

    def pin(self, namespace: str, name: str) -> NumaPin | None:
        """One NumaPin, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        found = self._answers.find(
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
        return None if found is None else read(NumaPin, found)

    def numa_nodes(self) -> list[NumaNode]:
        """All NumaNodes.

        Raises:
            ApiError: they can't be had.
        """
        call = partial(
            self._custom.list_cluster_custom_object, names.GROUP, names.VERSION, NumaNode.PLURAL
        )
        return [read(NumaNode, o) for o in self._answers.every("NumaNodes", call)]

    def policies(self) -> list[NumaPolicy]:
        """All NumaPolicies.

        Raises:
            ApiError: they can't be had.
        """
        call = partial(
            self._custom.list_cluster_custom_object, names.GROUP, names.VERSION, NumaPolicy.PLURAL
        )
        return [read(NumaPolicy, o) for o in self._answers.every("NumaPolicies", call)]

    def namespaces(self) -> list[Json]:
        """All namespaces.

        Raises:
            ApiError: they can't be had.
        """
        return list(self._answers.every("namespaces", self._core.list_namespace))

    def numa_node(self, name: str) -> NumaNode | None:
        """One NumaNode, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        found = self._answers.find(
            f"NumaNode {name}",
            partial(
                self._custom.get_cluster_custom_object,
                names.GROUP,
                names.VERSION,
                NumaNode.PLURAL,
                name,
            ),
        )
        return None if found is None else read(NumaNode, found)

    def pod(self, namespace: str, name: str) -> Json | None:
        """One pod, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        return self._answers.find(
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
        return list(self._answers.every("pods", partial(call, label_selector=names.PIN_SELECTOR)))

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
        return list(self._answers.every("deployments", call))

    def daemonsets(self) -> list[Json]:
        """All DaemonSets.

        Raises:
            ApiError: they can't be had.
        """
        return list(
            self._answers.every("daemonsets", self._apps.list_daemon_set_for_all_namespaces)
        )

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
        return list(self._answers.every("pods", partial(call, label_selector=AGENT_SELECTOR)))

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
        return list(self._answers.every("pods", partial(call, field_selector=selector)))

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
        return self._answers.whole(what, partial(call, _request_timeout=SCRAPE_SECONDS)).decode()

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
        return list(self._answers.every("nodes", self._core.list_node))

    def version(self) -> str:
        """The API server's version, such as v1.35.4.

        Raises:
            ApiError: it can't be had.
        """
        from kubernetes.client import VersionApi  # noqa: PLC0415

        return str(
            self._answers.get("the version", VersionApi(self._client).get_code)["gitVersion"]
        )

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
        answer = self._answers.get("your rights", call)
        return bool((answer.get("status") or {}).get("allowed"))

    def definition(self, name: str) -> Json | None:
        """A CustomResourceDefinition, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        kind = ("apiextensions.k8s.io", "v1", "customresourcedefinitions", name)
        call = partial(self._custom.get_cluster_custom_object, *kind)
        return self._answers.find(f"CustomResourceDefinition {name}", call)

    def kubelet_config(self, node: str) -> Json:
        """The configuration in force of a node's kubelet, which it is asked for itself.

        Raises:
            ApiError: it can't be had.
        """
        call = partial(self._core.connect_get_node_proxy_with_path, node, "configz")
        return dict(self._answers.get(f"the kubelet of {node}", call).get("kubeletconfig") or {})

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
        return read(NumaTrace, self._answers.get(f"a NumaTrace in {namespace}", call))

    def trace(self, namespace: str, name: str) -> NumaTrace | None:
        """One NumaTrace, None if there is none.

        Raises:
            ApiError: it can't be had.
        """
        where = _traces(namespace)
        call = partial(self._custom.get_namespaced_custom_object, *where, name)
        found = self._answers.find(f"NumaTrace {namespace}/{name}", call)
        return None if found is None else read(NumaTrace, found)

    def delete_trace(self, namespace: str, name: str) -> None:
        """Delete a NumaTrace, if it is still there.

        Raises:
            ApiError: it can't be deleted.
        """
        where = _traces(namespace)
        call = partial(self._custom.delete_namespaced_custom_object, *where, name)
        self._answers.find(f"the deletion of NumaTrace {namespace}/{name}", call)

    @cached_property
    def _core(self) -> "CoreV1Api":
        """Imported when it is used: its module alone costs more than all else here."""
        from kubernetes.client import CoreV1Api  # noqa: PLC0415

        return CoreV1Api(self._client)

    @cached_property
    def _apps(self) -> "AppsV1Api":
        from kubernetes.client import AppsV1Api  # noqa: PLC0415

        return AppsV1Api(self._client)


def _traces(namespace: str) -> tuple[str, str, str, str]:
    return names.GROUP, names.VERSION, namespace, NumaTrace.PLURAL
