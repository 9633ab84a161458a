"""Requests as they go over the wire: method, path, JSON in and out.

The generated client hides paths and content types, and these are what rights and managers
hang on.
"""

import json
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiClient

from numapin_api import names

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"


def request(
    kube: ApiClient,
    method: str,
    path: str,
    body: Any = None,
    *,
    content: str = JSON,
    **query: str,
) -> dict[str, Any]:
    """Send one request and return the answer.

    Raises:
        kubernetes.client.ApiException: any status but 2xx.
    """
    sent = kube.param_serialize(
        method,
        path,
        query_params=list(query.items()),
        header_params={"Accept": JSON, "Content-Type": content},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = kube.call_api(*sent)
    answer.read()
    # Turns a status that is no 2xx into an exception.
    kube.response_deserialize(answer, {})
    return json.loads(answer.data)


@dataclass(frozen=True)
class Resources:
    """Objects of one API resource.

    Attributes:
        kube: sends the requests.
        plural: the resource, like ``numapins``.
        namespace: where, for namespaced kinds.
        base: path of its API group and version.
    """

    kube: ApiClient
    plural: str
    namespace: str | None = None
    base: str = f"/apis/{names.API_VERSION}"

    def path(self, *below: str) -> str:
        """The path of the collection, or of an object and its subresource below it."""
        where = f"/namespaces/{self.namespace}" if self.namespace else ""
        return "/".join((f"{self.base}{where}/{self.plural}", *below))

    def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Make an object; its namespace is that of this collection."""
        return request(self.kube, "POST", self.path(), obj)

    def get(self, name: str) -> dict[str, Any]:
        """Read an object."""
        return request(self.kube, "GET", self.path(name))

    def list(self, **query: str) -> list[dict[str, Any]]:
        """Read all that the query selects."""
        return list(request(self.kube, "GET", self.path(), **query)["items"])

    def merge(self, name: str, patch: dict[str, Any], *, status: bool = False) -> dict[str, Any]:
        """Change an object or its status by a merge patch."""
        path = self.path(name, "status") if status else self.path(name)
        return request(self.kube, "PATCH", path, patch, content=MERGE)

    def apply(
        self, name: str, part: dict[str, Any], *, manager: str, status: bool = False, **query: str
    ) -> dict[str, Any]:
        """Server-side apply of the fields in ``part``, without force."""
        path = self.path(name, "status") if status else self.path(name)
        return request(self.kube, "PATCH", path, part, content=APPLY, fieldManager=manager, **query)
