"""The API server as a try needs it: what may be done there, and nothing else."""

from collections.abc import Iterable
from typing import Any, Final, TypeVar
from urllib.parse import quote

from kubernetes.client import ApiClient
from pydantic import ValidationError

from numapin_api.base import Resource
from numapin_api.errors import ApiError
from numapin_api.names import GROUP, VERSION
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_operator.kube import KubeCluster, RefusedError

_OWN: Final = f"/apis/{GROUP}/{VERSION}"
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409

Json = dict[str, Any]
Kind = TypeVar("Kind", bound=Resource)


class KubeApi:
    """The real API server.

    Args:
        api: an authenticated client.
        namespace: where the tester runs.
        name: the tester's own pod.
    """

    def __init__(self, api: ApiClient, *, namespace: str, name: str) -> None:
        self._call = KubeCluster(api).call
        self._name = name
        self._pods = f"/api/v1/namespaces/{quote(namespace)}/pods"
        self._pins = f"{_OWN}/namespaces/{quote(namespace)}/{NumaPin.PLURAL}"

    def own_pod(self) -> Json:
        """The pod that this program runs in."""
        return self._call("GET", f"{self._pods}/{quote(self._name)}")

    def nodes(self) -> Iterable[NumaNode]:
        """All NumaNodes."""
        found = self._call("GET", f"{_OWN}/{NumaNode.PLURAL}")
        # Items of a list lack their kind.
        head = {"apiVersion": f"{GROUP}/{VERSION}", "kind": NumaNode.KIND}
        return [_read(NumaNode, head | item) for item in found["items"]]

    def create(self, body: Json) -> Json:
        """Create a pod; the answer is the pod as it stands."""
        return self._call("POST", self._pods, body=body)

    def pod(self, name: str) -> Json | None:
        """A pod of the own namespace; None if there is none."""
        return self._find(f"{self._pods}/{quote(name)}")

    def pin(self, name: str) -> NumaPin | None:
        """A NumaPin of the own namespace; None if there is none."""
        found = self._find(f"{self._pins}/{quote(name)}")
        return None if found is None else _read(NumaPin, found)

    def delete(self, name: str, uid: str) -> None:
        """Delete the pod with that uid; one that is gone already is fine."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "gracePeriodSeconds": 1,
        }
        try:
            self._call("DELETE", f"{self._pods}/{quote(name)}", body=body)
        except RefusedError as refused:
            # Conflict: another pod has the name by now; that one is not meant.
            if refused.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    def _find(self, path: str) -> Json | None:
        try:
            return self._call("GET", path)
        except RefusedError as refused:
            if refused.status != _NOT_FOUND:
                raise
            return None


def _read(kind: type[Kind], obj: Json) -> Kind:
    try:
        return kind.read(obj)
    except ValidationError as error:
        raise ApiError(f"{obj['kind']} {obj['metadata']['name']} can't be read: {error}") from error
