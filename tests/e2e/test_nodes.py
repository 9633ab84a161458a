"""What numapin says of a node and counts on it, against the kernel's own files."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.workloads import LOAD, hops
from support.world import NAMESPACE, World, container, get, pod

from numapin_api.cpulist import CpuSet
from numapin_api.node import SIGNALS
from numapin_lab.demo.cluster import eventually
from numapin_lab.demo.exposition import read
from numapin_lab.demo.series import WHOLE_NODE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

SYSFS = """
cd /sys/devices/system
for n in node/node[0-9]*; do
  memory=$(awk '/MemTotal/ {print $4}' $n/meminfo)
  echo "node ${n#node/node} cpus=$(cat $n/cpulist) $memory $(cat $n/distance)"
done
for c in cpu/cpu[0-9]*; do echo "cpu ${c#cpu/cpu} $(cat $c/topology/physical_package_id)"; done
echo "kernel $(uname -r)"
echo "balancing $(cat /proc/sys/kernel/numa_balancing)"
"""
PAGES = 20_000
"""Enough for a per cent to be many pages, and still minutes at the worst of rates."""
WITHIN = 0.02
NARROW = 0.005
"""Of the pages that are compared: how far apart the kernel's figures around ours may be."""
HOPS = hops(
    LOAD.format(threads=2, seconds=0, more="--memory-block-size=128M --memory-scope=local run")
)
# On the node, while the pod that makes them stands still: vmstat, the agent's page, vmstat again.
# What other pods make meanwhile is between the two.
BOTH = """
import json, sys, time, urllib.request
url, cgroup = sys.argv[1:]
def freeze(on):
    with open(cgroup + "/cgroup.freeze", "w") as file:
        file.write(str(int(on)))
def frozen():
    with open(cgroup + "/cgroup.events") as file:
        return "frozen 1" in file.read()
def vmstat():
    with open("/proc/vmstat") as file:
        return next(int(l.split()[1]) for l in file if l.startswith("numa_pages_migrated "))
try:
    freeze(True)
    while not frozen():
        time.sleep(0.05)
    before = vmstat()
    text = urllib.request.urlopen(url, timeout=20).read().decode()
    print(json.dumps([before, text, vmstat()]))
finally:
    freeze(False)
"""


@pytest.mark.parametrize("node", ["numa-0", "numa-1"])
def test_numa_node_says_what_sysfs_says(world: World, node):
    cpus, memory, distances, packages, said = {}, {}, {}, {}, {}
    for line in world.ssh(node, SYSFS).splitlines():
        kind, *fields = line.split()
        if kind == "node":
            cpus[int(fields[0])] = CpuSet.parse(fields[1].removeprefix("cpus="))
            memory[int(fields[0])] = int(fields[2]) * 1024
            distances[int(fields[0])] = tuple(map(int, fields[3:]))
        elif kind == "cpu":
            packages.setdefault(int(fields[1]), set()).add(int(fields[0]))
        else:
            said[kind] = fields[0]
    status = world.numa_node(node).status
    topology = status.topology.value()
    assert {s.id: set(s.cpus) for s in topology.sockets} == packages
    assert {n.id: n.cpus for n in topology.nodes} == cpus
    assert {n.id: n.memory_bytes for n in topology.nodes} == memory
    assert {n.id: d for n, d in zip(topology.nodes, topology.distances, strict=True)} == distances
    capabilities = status.capabilities
    assert capabilities.kernel == said["kernel"]
    assert capabilities.numa_balancing == (said["balancing"] != "0")
    assert (capabilities.cgroup_version, capabilities.cgroup_driver) == (2, "systemd")
    assert {s.name for s in capabilities.signals} >= set(SIGNALS)
    assert [s for s in capabilities.signals if s.level == "none" and not s.reason] == []
    assert {n.id for n in status.usage.nodes} == set(memory)
    for usage in status.usage.nodes:
        assert 0 < usage.memory_available_bytes <= memory[usage.id]
    assert next(c for c in status.conditions if c.type == "Ready").status == "True"


def test_huge_pages_and_cpu_use_are_told(world: World):
    """8 huge pages on one NUMA node, which the kernel may not find all of."""
    status = world.numa_node("numa-1").status
    node = status.topology.nodes[-1]
    pool = f"/sys/devices/system/node/node{node.id}/hugepages/hugepages-2048kB"
    pages = int(world.ssh("numa-1", f"echo 8 > {pool}/nr_hugepages; cat {pool}/nr_hugepages"))
    assert pages > 0

    def told() -> list[dict[str, object]]:
        nodes = world.numa_node("numa-1").status.topology.nodes
        return [h.wire() for n in nodes if n.id == node.id for h in n.hugepages or ()]

    try:
        wanted = [{"size": "2Mi", "pages": pages}]
        eventually(lambda: told() == wanted, seconds=240, what=f"the NumaNode says {wanted}")
        used = world.numa_node("numa-1").status.usage
        free = {n.id: n.hugepages_free for n in used.nodes}[node.id]
        assert [h.pages for h in free or ()] == [pages]
    finally:
        world.ssh("numa-1", f"echo 0 > {pool}/nr_hugepages")
    eventually(lambda: told() == [], seconds=240, what="the NumaNode says that there are none")
    sockets = eventually(
        lambda: world.numa_node("numa-1").status.usage.sockets,
        seconds=240,
        what="the NumaNode says how much CPU is used",
    )
    size = {s.id: len(CpuSet.parse(s.cpus)) for s in status.topology.sockets}
    assert {s.id for s in sockets} == size.keys()
    assert all(0 <= s.cpu_millicores <= 1000 * size[s.id] for s in sockets)
    # Something runs there, the kubelet at least.
    assert sum(s.cpu_millicores for s in sockets) > 0


def test_numa_node_belongs_to_its_node(world: World):
    node = world.cluster.core.read_node("numa-0")
    owners = world.numa_node("numa-0").metadata.owner_references
    assert [(o.kind, o.uid) for o in owners] == [("Node", node.metadata.uid)]


def test_health_and_metrics(world: World):
    with world.agent_http("numa-0") as url:
        assert get(f"{url}/healthz")[0] == 200
        assert get(f"{url}/readyz")[0] == 200
        assert get(f"{url}/nothing")[0] == 404
        status, text = get(f"{url}/metrics")
    assert status == 200
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert families["numapin_agent_tracer_alive"].samples[0].value == 1
    # Every pod is counted, the labelled and the others.
    pods = read(text)
    assert (NAMESPACE, "burstable") in pods
    assert (NAMESPACE, "late") in pods


def test_counts_what_the_kernel_counts(world: World):
    """Within two hundredths of what the kernel counted between the same two moments.

    No moment is the same for both; but ours lies between two of the kernel's each time, so its
    growth lies between the least and the most that the kernel's may have been.
    """
    agent = world.agent("numa-0")
    url = f"http://{agent.status.pod_ip}:9465/metrics"

    def both(cgroup: str) -> tuple[int, int, int]:
        """Pages by /proc/vmstat, by the agent and by /proc/vmstat again, close to each other."""

        def quiet() -> tuple[int, int, int] | None:
            script = BOTH.replace("'", "'\\''")
            said = world.ssh("numa-0", f"python3 -c '{script}' {url} {cgroup}")
            before, text, after = json.loads(said)
            counted = read(text)[WHOLE_NODE].migrated_pages
            return (before, counted, after) if after - before <= PAGES * NARROW / 2 else None

        found = eventually(quiet, seconds=120, what="a reading while nearly nothing is migrated")
        assert found is not None
        return found

    world.cluster.create(
        pod("hops", container(script=HOPS, resources={"limits": {"cpu": "700m"}}), pinned=False)
    )
    try:
        world.cluster.await_ready(NAMESPACE, "hops", seconds=300)
        cgroup = world.cgroup("hops")
        begun = both(cgroup)

        def enough() -> bool:
            line = world.ssh("numa-0", "grep '^numa_pages_migrated ' /proc/vmstat")
            return int(line.split()[1]) - begun[2] > PAGES

        eventually(enough, seconds=240, what=f"{PAGES} pages were migrated", every_seconds=3)
        ended = both(cgroup)
    finally:
        world.cluster.delete(NAMESPACE, ["hops"])
    least, ours, most = ended[0] - begun[2], ended[1] - begun[1], ended[2] - begun[0]
    assert least > PAGES
    assert most - least <= NARROW * most
    assert least * (1 - WITHIN) <= ours <= most * (1 + WITHIN)
