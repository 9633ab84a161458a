"""The requests of an uninstall, and which refusals are as good as success."""

from collections.abc import Iterator
from typing import Any

import pytest

from numapin_operator.kube import Json, RefusedError
from numapin_operator.uninstall.api import KubeUninstall, Release

OWN = "/apis/numapin.io/v1alpha1"
RELEASE = Release(
    namespace="sys",
    workloads={"operator": "np-operator", "agent": "np-agent"},
    selectors={"operator": "part=operator", "agent": "part=agent,of=np"},
)


def pin(namespace: str, name: str, **place: Any) -> Json:
    meta = {"namespace": namespace, "name": name, "generation": 1}
    return {"metadata": meta, "spec": {"nodeName": "n", **place}}


def pod(node: str | None, *, ready: bool, ending: bool = False) -> Json:
    return {
        "metadata": {"deletionTimestamp": "now"} if ending else {},
        "spec": {} if node is None else {"nodeName": node},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


class Cluster:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self, *, pins: tuple[Json, ...] = (), pods: tuple[Json, ...] = ()) -> None:
        self.asked: list[tuple[str, str, Json | None, str]] = []
        self.refuse: int | None = None
        self._pins, self._pods = pins, pods

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        content: str = "application/json",
    ) -> Json:
        self.asked.append((method, path, body, content))
        if self.refuse is not None:
            raise RefusedError(method, path, self.refuse, b"no")
        return {"items": list(self._pods)}

    def objects(self, path: str, *, limit: int) -> Iterator[list[Json]]:
        assert (path, limit) == (f"{OWN}/numatraces", 20)
        if self.refuse is not None:
            raise RefusedError("GET", path, self.refuse, b"no")
        yield from ()

    def pages(self, kind: str) -> Iterator[list[Json]]:
        assert kind == "numapins"
        if self.refuse is not None:
            raise RefusedError("GET", kind, self.refuse, b"no")
        for one in self._pins:
            yield [one]


def api(cluster: Cluster) -> KubeUninstall:
    return KubeUninstall(cluster, RELEASE)  # type: ignore[arg-type]


def test_workloads_go_with_their_pods():
    cluster = Cluster()
    api(cluster).end("operator")
    api(cluster).end("agent")
    apps = "/apis/apps/v1/namespaces/sys"
    assert [(m, p, (b or {})["propagationPolicy"]) for m, p, b, _ in cluster.asked] == [
        ("DELETE", f"{apps}/deployments/np-operator", "Background"),
        ("DELETE", f"{apps}/daemonsets/np-agent", "Background"),
    ]


def test_pods_by_node():
    pods = (
        pod("a", ready=True),
        pod("b", ready=False),
        pod("c", ready=True, ending=True),
        # The old one ends, the new one is there.
        pod("d", ready=True, ending=True),
        pod("d", ready=True),
        pod(None, ready=False),
    )
    cluster = Cluster(pods=pods)
    found = {"a": True, "b": False, "c": False, "d": True, "": False}
    assert api(cluster).pods("agent") == found
    (method, path, _, _) = cluster.asked[0]
    assert (method, path) == (
        "GET",
        "/api/v1/namespaces/sys/pods?labelSelector=part%3Dagent%2Cof%3Dnp",
    )


def test_place_is_taken_out_of_each_pin_by_a_merge():
    cluster = Cluster(pins=(pin("x", "db", socket=1), pin("y", "web", socket=0)))
    found = api(cluster).pins()
    assert [p.ordered for p in found] == [True, True]
    api(cluster).release(found)
    nothing = {"spec": {"socket": None, "cpus": None, "mems": None}}
    merge = "application/merge-patch+json"
    assert sorted(cluster.asked, key=lambda a: a[1]) == [
        ("PATCH", f"{OWN}/namespaces/x/numapins/db", nothing, merge),
        ("PATCH", f"{OWN}/namespaces/y/numapins/web", nothing, merge),
    ]


def test_pins_are_deleted_namespace_by_namespace():
    cluster = Cluster(pins=(pin("x", "a"), pin("x", "b"), pin("y", "a")))
    api(cluster).delete_pins()
    api(cluster).delete_numa_nodes()
    assert sorted((m, p) for m, p, _, _ in cluster.asked) == [
        ("DELETE", f"{OWN}/namespaces/x/numapins"),
        ("DELETE", f"{OWN}/namespaces/y/numapins"),
        ("DELETE", f"{OWN}/numanodes"),
    ]


def calls(cluster: Cluster) -> None:
    uninstall = api(cluster)
    assert uninstall.pins() == []
    uninstall.end("agent")
    uninstall.delete_pins()
    uninstall.delete_numa_nodes()
    uninstall.delete_traces()


def test_what_is_gone_already_is_as_good_as_deleted():
    cluster = Cluster()
    cluster.refuse = 404
    calls(cluster)


@pytest.mark.parametrize("status", [403, 409, 500, 503])
def test_every_other_refusal_is_told(status):
    cluster = Cluster(pins=(pin("x", "db", socket=1),))
    found = api(cluster).pins()
    cluster.refuse = status
    for call in (
        lambda: api(cluster).end("agent"),
        lambda: api(cluster).pods("agent"),
        lambda: api(cluster).pins(),
        lambda: api(cluster).release(found),
        lambda: api(cluster).delete_pins(),
        lambda: api(cluster).delete_numa_nodes(),
        lambda: api(cluster).delete_traces(),
    ):
        with pytest.raises(RefusedError, match=str(status)):
            call()
