"""The Lease and its fence in the real API server. Blocking: the election calls it in threads."""

from typing import Final, Protocol
from urllib.parse import quote, urlencode

from numapin_api.names import API_VERSION, OPERATOR_MANAGER
from numapin_api.pin import NumaPin
from numapin_operator.config import LeaseConfig
from numapin_operator.kube import KubeCluster, RefusedError
from numapin_operator.leader import lease
from numapin_operator.leader.lease import Fence, Json, Lease, read_fence, read_lease
from numapin_operator.writer import APPLY

_JSON: Final = "application/json"
TIMEOUT: Final = 1 / 3
"""Of one request, as a part of the Lease."""
_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409


class Leases(Protocol):
    """What an election needs of the API server. Every call may raise ApiError; all block."""

    @property
    def name(self) -> str:
        """The name of the Lease."""

    def read(self) -> Lease | None:
        """The Lease; None if there is none."""

    def write(self, body: Json) -> Lease | None:
        """Create or replace it; None if somebody else was first."""

    def fence(self) -> Fence | None:
        """The NumaLeader; None if there is none."""

    def put_fence(self, body: Json) -> bool:
        """Create or replace it; False if somebody else was first."""

    def admitted(self) -> bool:
        """Whether the API server would let this pod write a NumaPin now. Nothing is written."""


class KubeLeases:
    """The real API server.

    Args:
        cluster: asks.
        asked: which Lease, and for which pod.
    """

    def __init__(self, cluster: KubeCluster, asked: LeaseConfig) -> None:
        self._cluster, self._namespace, self._me = cluster, asked.namespace, asked.me
        self.name, self._timeout = asked.name, asked.seconds * TIMEOUT
        below = f"namespaces/{quote(asked.namespace)}"
        self._leases = f"/apis/{lease.API_VERSION}/{below}/leases"
        self._fences = f"/apis/{API_VERSION}/{below}/numaleaders"

    def read(self) -> Lease | None:
        """The Lease; None if there is none."""
        found = self._get(self._leases)
        return None if found is None else read_lease(found)

    def write(self, body: Json) -> Lease | None:
        """Create or replace it; None if somebody else was first."""
        made = self._put(self._leases, body)
        return None if made is None else read_lease(made)

    def fence(self) -> Fence | None:
        """The NumaLeader; None if there is none."""
        found = self._get(self._fences)
        return None if found is None else read_fence(found)

    def put_fence(self, body: Json) -> bool:
        """Create or replace it; False if somebody else was first."""
        return self._put(self._fences, body) is not None

    def _get(self, among: str) -> Json | None:
        try:
            return self._cluster.call("GET", f"{among}/{self.name}", timeout=self._timeout)
        except RefusedError as refused:
            if refused.status == _NOT_FOUND:
                return None
            raise

    def _put(self, among: str, body: Json) -> Json | None:
        known = "resourceVersion" in body["metadata"]
        method, path = ("PUT", f"{among}/{self.name}") if known else ("POST", among)
        try:
            return self._cluster.call(method, path, body=body, timeout=self._timeout)
        except RefusedError as refused:
            if refused.status == _CONFLICT or (known and refused.status == _NOT_FOUND):
                return None
            raise

    def admitted(self) -> bool:
        """Whether the API server would let this pod write a NumaPin now.

        By the dry run of a pin that is nobody's: it goes through admission and is not stored.
        """
        query = urlencode({"fieldManager": OPERATOR_MANAGER, "force": "true", "dryRun": "All"})
        where = f"/apis/{API_VERSION}/namespaces/{quote(self._namespace)}/{NumaPin.PLURAL}"
        body = {
            "apiVersion": API_VERSION,
            "kind": NumaPin.KIND,
            "metadata": {"name": self._me, "namespace": self._namespace},
            "spec": {"podUID": "none", "nodeName": "none", "policy": "none"},
        }
        try:
            self._cluster.call(
                "PATCH",
                f"{where}/{quote(self._me)}?{query}",
                body=body,
                content=APPLY,
                timeout=self._timeout,
            )
        except RefusedError as refused:
            if refused.status == _FORBIDDEN:
                return False
            raise
        return True
