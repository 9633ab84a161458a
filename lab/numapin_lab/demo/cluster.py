"""The lab's cluster as demo and end-to-end tests use it: pods, labels, pins, nodes.

One thin class over the ``kubernetes`` client. It decides nothing and waits for nothing that
it was not asked to wait for.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import tenacity
import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from numapin_api.errors import LabError
from numapin_api.names import GROUP, PIN_LABEL, PIN_LABEL_VALUE, VERSION
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin

NOT_FOUND = 404
AGENT_SELECTOR = "app.kubernetes.io/component=agent"
OPERATOR_SELECTOR = "app.kubernetes.io/component=operator"


T = TypeVar("T")


def eventually(ask: Callable[[], T], *, seconds: float, what: str, every_seconds: float = 0.5) -> T:
    """Ask until the answer is true, and return it.

    Args:
        ask: a condition; an ApiException or a broken connection counts as not yet.
        seconds: deadline.
        what: is awaited, for the error.
        every_seconds: pause between two questions.

    Raises:
        LabError: the deadline passed; with the last answer or error.
    """
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda answer: not answer)
        | tenacity.retry_if_exception_type((ApiException, urllib3.exceptions.HTTPError)),
        wait=tenacity.wait_fixed(every_seconds),
        stop=tenacity.stop_after_delay(seconds),
    )
    try:
        return retry(ask)
    except tenacity.RetryError as error:
        last = error.last_attempt
        found = last.exception() if last.failed else last.result()
        raise LabError(f"{what}: not so after {seconds:.0f} s; last: {found!r}") from error


class Cluster:
    """A cluster behind a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        """Read the kubeconfig; nothing is asked yet.

        Raises:
            LabError: there is none.
        """
        if not kubeconfig.exists():
            raise LabError(f"{kubeconfig} is missing: is the lab up?")
        api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)
        self._custom = client.CustomObjectsApi(api)

    def ensure_namespace(self, manifest: Mapping[str, Any]) -> None:
        """Make the namespace unless it is there, and await its service account."""
        name = manifest["metadata"]["name"]
        try:
            self.core.read_namespace(name)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            self.core.create_namespace(cast(client.V1Namespace, manifest))
        eventually(
            lambda: self.core.read_namespaced_service_account("default", name),
            seconds=60,
            what=f"service account of namespace {name}",
        )

    def create(self, manifest: Mapping[str, Any]) -> client.V1Pod:
        """Create a pod from its manifest."""
        # The client sends mappings as they are; its types know its own classes only.
        return self.core.create_namespaced_pod(
            manifest["metadata"]["namespace"], cast(client.V1Pod, manifest)
        )

    def delete(self, namespace: str, names: Iterable[str], *, seconds: float = 240) -> None:
        """Delete pods and wait until they and their NumaPins are gone."""
        names = list(names)
        for name in names:
            try:
                self.core.delete_namespaced_pod(name, namespace)
            except ApiException as error:
                if error.status != NOT_FOUND:
                    raise
        for name in names:
            eventually(
                partial(self._gone, namespace, name),
                seconds=seconds,
                what=f"pod {namespace}/{name} and its NumaPin are gone",
            )

    def _gone(self, namespace: str, name: str) -> bool:
        return self.pod(namespace, name) is None and self.pin(namespace, name) is None

    def pod(self, namespace: str, name: str) -> client.V1Pod | None:
        """The pod, None if there is none."""
        try:
            return self.core.read_namespaced_pod(name, namespace)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return None

    def await_ready(self, namespace: str, name: str, *, seconds: float = 120) -> client.V1Pod:
        """Wait until the pod's condition Ready is true; return the pod."""

        def ready() -> client.V1Pod | None:
            pod = self.pod(namespace, name)
            return pod if pod is not None and is_ready(pod) else None

        pod = eventually(ready, seconds=seconds, what=f"pod {namespace}/{name} is ready")
        assert pod is not None  # what eventually returns is true
        return pod

    def label(self, namespace: str, name: str, *, on: bool) -> None:
        """Set numapin's label, or take it off again."""
        value = PIN_LABEL_VALUE if on else None
        self.core.patch_namespaced_pod(
            name, namespace, {"metadata": {"labels": {PIN_LABEL: value}}}
        )

    def pin(self, namespace: str, name: str) -> NumaPin | None:
        """The NumaPin of a pod, None if there is none."""
        try:
            found = self._custom.get_namespaced_custom_object(
                GROUP, VERSION, namespace, NumaPin.PLURAL, name
            )
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return None
        return NumaPin.read(found)

    def numa_node(self, name: str) -> NumaNode | None:
        """The NumaNode of a node, None if there is none."""
        try:
            found = self._custom.get_cluster_custom_object(GROUP, VERSION, NumaNode.PLURAL, name)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return None
        return NumaNode.read(found)

    def component(self, selector: str, node: str | None = None) -> client.V1Pod | None:
        """The ready pod of a component of numapin, on one node if given; None if none is."""
        for pod in self.core.list_pod_for_all_namespaces(label_selector=selector).items:
            on_node = node is None or (pod.spec is not None and pod.spec.node_name == node)
            if on_node and is_ready(pod):
                return pod
        return None


def is_ready(pod: client.V1Pod) -> bool:
    """Whether the pod's condition Ready is true and it is not on its way out."""
    if pod.status is None or pod.metadata is None or pod.metadata.deletion_timestamp is not None:
        return False
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])


def load(path: Path) -> list[dict[str, Any]]:
    """All objects of a manifest file."""
    return [obj for obj in yaml.safe_load_all(path.read_text()) if obj]
