"""The API server, as far as an uninstall needs it: few verbs, each safe to repeat.

Whatever is gone already is as good as deleted. Retries are the caller's.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from numapin_operator.kube import PATHS, KubeCluster, RefusedError
from numapin_operator.traces.sweep import KubeTraces
from numapin_operator.uninstall.held import Held, read

Part = Literal["operator", "agent"]
_KINDS: Final[Mapping[Part, str]] = {"operator": "deployments", "agent": "daemonsets"}
_MERGE: Final = "application/merge-patch+json"
_BACKGROUND: Final = {
    "apiVersion": "v1",
    "kind": "DeleteOptions",
    "propagationPolicy": "Background",
}
_WITHOUT_PLACE: Final = {"spec": {"socket": None, "cpus": None, "mems": None}}
_NOT_FOUND: Final = 404
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Release:
    """What the chart has installed.

    Attributes:
        namespace: of the release.
        workloads: name of the operator's Deployment and of the agents' DaemonSet.
        selectors: labels of their pods, as for ``kubectl -l``.
    """

    namespace: str
    workloads: Mapping[Part, str]
    selectors: Mapping[Part, str]


class KubeUninstall:
    """The real API server.

    Args:
        cluster: sends requests.
        release: what is to go.
    """

    def __init__(self, cluster: KubeCluster, release: Release) -> None:
        self._cluster, self._release = cluster, release

    def end(self, part: Part) -> None:
        """Delete the part's workload; its pods follow.

        Raises:
            ApiError: the API server refuses or can't be reached.
        """
        where = f"/apis/apps/v1/namespaces/{quote(self._release.namespace)}/{_KINDS[part]}"
        self._unless_gone("DELETE", f"{where}/{quote(self._release.workloads[part])}", _BACKGROUND)

    def pods(self, part: Part) -> dict[str, bool]:
        """The nodes where the part has a pod, and whether that is ready.

        A pod that is ending still counts, as not ready; one without a node as node "".

        Raises:
            ApiError: see ``end``.
        """
        query = urlencode({"labelSelector": self._release.selectors[part]})
        where = f"/api/v1/namespaces/{quote(self._release.namespace)}/pods?{query}"
        found: dict[str, bool] = {}
        for pod in self._cluster.call("GET", where)["items"]:
            node = pod["spec"].get("nodeName", "")
            found[node] = found.get(node, False) or _is_ready(pod)
        return found

    def pins(self) -> list[Held]:
        """All NumaPins.

        Raises:
            ApiError: see ``end``.
        """
        return list(self._pins())

    def release(self, pins: Iterable[Held]) -> None:
        """Take the place out of NumaPins, so that agents give their pods' cpusets back.

        Raises:
            ApiError: see ``end``.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(self._release_one, pins):
                pass

    def delete_pins(self) -> None:
        """Delete all NumaPins.

        Raises:
            ApiError: see ``end``.
        """
        for namespace in {pin.namespace for pin in self._pins()}:
            where = PATHS["numapins"].replace("/numapins", f"/namespaces/{quote(namespace)}")
            self._unless_gone("DELETE", f"{where}/numapins")

    def delete_traces(self) -> None:
        """Delete all NumaTraces: nobody answers them any more.

        Raises:
            ApiError: see ``end``.
        """
        traces = KubeTraces(self._cluster)
        for trace in traces.all():
            traces.delete(trace)

    def delete_numa_nodes(self) -> None:
        """Delete all NumaNodes.

        Raises:
            ApiError: see ``end``.
        """
        self._unless_gone("DELETE", PATHS["numanodes"])

    def _pins(self) -> Iterator[Held]:
        try:
            for page in self._cluster.pages("numapins"):
                yield from map(read, page)
        except RefusedError as refused:
            # No such kind: somebody has deleted the CRD, and all NumaPins with it.
            if refused.status != _NOT_FOUND:
                raise

    def _release_one(self, pin: Held) -> None:
        where = PATHS["numapins"].replace("/numapins", f"/namespaces/{quote(pin.namespace)}")
        path = f"{where}/numapins/{quote(pin.name)}"
        self._unless_gone("PATCH", path, _WITHOUT_PLACE, content=_MERGE)

    def _unless_gone(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: str = "application/json",
    ) -> None:
        try:
            self._cluster.call(method, path, body=dict(body) if body else None, content=content)
        except RefusedError as refused:
            if refused.status != _NOT_FOUND:
                raise


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
