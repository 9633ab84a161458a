"""What a pod's own requests feel while its pages are moved: numapin beside a plain write.

redis has its values on one socket and is pinned to the other; a steady client asks it before,
meanwhile and after, in one run. The rival is what anybody can do by hand: to write cpuset.mems
of the pod's cgroup, upon which the kernel moves everything at once.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from bench.harness import Bed, Row

from numapin_api.names import SOCKET_ANNOTATION
from numapin_lab.demo.cluster import Cluster, eventually, load
from numapin_lab.demo.nodefiles import slice_glob
from numapin_lab.latency.client import Client
from numapin_lab.latency.requests import Batch, summary
from numapin_lab.paths import checkout

TITLE = "requests of redis while its memory is moved to another socket"
NEEDS_LAB = True

NODE, NAMESPACE, POD = "numa-0", "demo-latency", "redis"
MEBIBYTES: Final = 300
WINDOW_SECONDS: Final = 30.0
MOVED: Final = 0.95
"""Share of the pod's memory."""
MOST_TIMES: Final = 2.0
"""How many times the p99 before is allowed meanwhile."""
SERVER: Final = f"""
cd /tmp
taskset -c "$(cat /sys/devices/system/node/node1/cpulist)" \
  redis-server --save '' --appendonly no --daemonize no & server=$!
until redis-cli ping | grep -q PONG; do sleep 1; done
redis-cli eval "local value = string.rep('x', 65536)
  for i = 1, {MEBIBYTES * 16} do redis.call('SET', 'key:' .. i, value) end" 0
taskset -a -p -c "$(cat /sys/devices/system/cpu/online)" $server
touch /tmp/filled
wait $server
"""


def measure(bed: Bed) -> Iterable[Row]:
    """Move it in both ways."""
    cluster = Cluster(bed.lab.paths.kubeconfig)
    manifests = load(checkout() / "lab" / "workloads" / "latency.yaml")
    cluster.ensure_namespace(manifests[0])
    manifest = next(m for m in manifests if m["metadata"]["name"] == POD)
    for way, move in (("numapin", pinned), ("plain write", written)):
        cluster.delete(NAMESPACE, [POD])
        cluster.create(_filled(manifest))
        cluster.await_ready(NAMESPACE, POD, seconds=300)
        try:
            yield from _moved(bed, cluster, way, move)
        finally:
            cluster.delete(NAMESPACE, [POD])


def _filled(manifest: dict[str, Any]) -> dict[str, Any]:
    """The pod with values on NUMA node 1, ready once they are there."""
    server, client = manifest["spec"]["containers"]
    probe = {"exec": {"command": ["test", "-e", "/tmp/filled"]}, "timeoutSeconds": 20}
    filling = {
        "command": ["sh", "-c"],
        "args": [SERVER],
        "startupProbe": probe | {"periodSeconds": 5, "failureThreshold": 60},
        "resources": {"requests": {"cpu": "400m", "memory": f"{MEBIBYTES + 200}Mi"}},
    }
    spec = manifest["spec"] | {
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "containers": [server | filling, client],
    }
    metadata = manifest["metadata"] | {"annotations": {SOCKET_ANNOTATION: "0"}}
    return manifest | {"metadata": metadata, "spec": spec}


Move = Callable[[Bed, Cluster], None]


def pinned(_bed: Bed, cluster: Cluster) -> None:
    """Set the label and await that the agent has moved everything."""
    cluster.label(NAMESPACE, POD, on=True)

    def moved() -> bool:
        pin = cluster.pin(NAMESPACE, POD)
        seen = pin.status.observed if pin and pin.status else None
        return seen is not None and seen.phase == "Pinned" and seen.moving is None

    eventually(moved, seconds=300, what="the pod is pinned and its pages are moved")


def written(bed: Bed, cluster: Cluster) -> None:
    """Write what numapin would, at once, and await that the kernel has moved everything."""
    directory = _cgroup(bed, cluster)
    bed.ssh(NODE, f"cd {directory} && echo 0-1 > cpuset.cpus && echo 0 > cpuset.mems")
    eventually(
        lambda: _share(bed, directory) > MOVED, seconds=300, what="the kernel has moved the pages"
    )


def _moved(bed: Bed, cluster: Cluster, way: str, move: Move) -> Iterable[Row]:
    client = Client(cluster, NAMESPACE, POD)
    directory = _cgroup(bed, cluster)
    assert _share(bed, directory) < 1 - MOVED, "redis has not its values on NUMA node 1"
    before = client.next(WINDOW_SECONDS)
    begin = client.now()
    move(bed, cluster)
    seconds = client.now() - begin
    meanwhile = client.since(begin, seconds=seconds)
    assert _share(bed, directory) > MOVED, "the pages were not moved"
    after = client.next(WINDOW_SECONDS)
    yield Row(f"{way}: from label or write until moved", seconds, "s")
    p99 = partial(_figure, name="p99")
    limit = MOST_TIMES * p99(before)
    for when, batches in (("before", before), ("meanwhile", meanwhile), ("after", after)):
        yield Row(f"{way}: p50 {when}", _figure(batches, name="p50"), "ms")
        judged = when == "meanwhile" and way == "numapin"
        yield Row(
            f"{way}: p99 {when}",
            p99(batches),
            "ms",
            goal=f"≤ {limit:.2f} ms ({MOST_TIMES:g} x before)" if judged else "",
            met=p99(batches) <= limit if judged else None,
        )
        yield Row(f"{way}: slowest {when}", _figure(batches, name="maximum"), "ms")


def _figure(batches: Sequence[Batch], *, name: str) -> float:
    found = summary(batches)
    return float("nan") if found is None else float(getattr(found, name))


def _cgroup(bed: Bed, cluster: Cluster) -> str:
    pod = cluster.pod(NAMESPACE, POD)
    assert pod is not None
    assert pod.metadata is not None
    files = slice_glob(str(pod.metadata.uid))
    return bed.ssh(NODE, f"dirname $(ls {files} 2>/dev/null)").strip()


def _share(bed: Bed, directory: str) -> float:
    """Of the pod's anonymous memory, what is on NUMA node 0."""
    said = bed.ssh(NODE, f"grep '^anon ' {directory}/memory.numa_stat")
    nodes = {int(node): int(size) for node, size in re.findall(r"N(\d+)=(\d+)", said)}
    return nodes.get(0, 0) / max(1, sum(nodes.values()))
