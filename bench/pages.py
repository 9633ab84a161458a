"""Pages counted by numapin against the kernel's own numa_pages_migrated, over one window.

Both are read on the node in one go, before and after a pod has hopped between sockets.
"""

import json
from collections.abc import Iterable

import tenacity
from bench.harness import Bed, Row

from numapin_lab.demo.cluster import AGENT_SELECTOR, Cluster
from numapin_lab.demo.exposition import read
from numapin_lab.demo.series import WHOLE_NODE
from numapin_lab.paths import checkout

TITLE = "Pages counted by numapin against /proc/vmstat"
NEEDS_LAB = True

_NODE = "numa-0"
_PAGES = 100_000
_GOAL_PERCENT = 5.0
_BOTH = """
import json, sys, urllib.request
def vmstat():
    with open("/proc/vmstat") as file:
        return next(int(l.split()[1]) for l in file if l.startswith("numa_pages_migrated "))
before = vmstat()
text = urllib.request.urlopen(sys.argv[1], timeout=30).read().decode()
print(json.dumps([before, text, vmstat()]))
"""


def measure(bed: Bed) -> Iterable[Row]:
    """One window of at least 100,000 pages, on the demo's worst case."""
    cluster = Cluster(bed.lab.paths.kubeconfig)
    manifest = checkout() / "lab" / "workloads" / "workloads.yaml"
    url = _agent_url(cluster)
    bed.kubectl("delete", "pod", "-n", "demo", "--all", "--wait")
    bed.kubectl("apply", "-f", str(manifest))
    try:
        cluster.await_ready("demo", "hopper")
        kernel_before, ours_before = _both(bed, url)
        kernel_after, ours_after = _after_enough(bed, url, kernel_before)
    finally:
        bed.kubectl("delete", "pod", "-n", "demo", "--all", "--wait")
    kernel, ours = kernel_after - kernel_before, ours_after - ours_before
    difference = 100 * (ours - kernel) / kernel
    yield Row("numa_pages_migrated of /proc/vmstat grew by", kernel, "pages")
    yield Row("pages counted by numapin", ours, "pages")
    yield Row(
        "difference",
        difference,
        "%",
        goal=f"within {_GOAL_PERCENT:.0f} %",
        met=abs(difference) <= _GOAL_PERCENT,
    )


def _agent_url(cluster: Cluster) -> str:
    agent = cluster.component(AGENT_SELECTOR, _NODE)
    if agent is None or agent.status is None:
        raise RuntimeError(f"no agent is ready on {_NODE}")
    return f"http://{agent.status.pod_ip}:9465/metrics"


def _both(bed: Bed, url: str) -> tuple[int, int]:
    """Kernel's and our count at one moment: the middle of the two readings around the scrape."""
    script = _BOTH.replace("'", "'\\''")
    before, text, after = json.loads(bed.ssh(_NODE, f"python3 -c '{script}' {url}"))
    return (before + after) // 2, read(text)[WHOLE_NODE].migrated_pages


@tenacity.retry(
    retry=tenacity.retry_if_result(lambda found: found is None),
    wait=tenacity.wait_fixed(5),
    stop=tenacity.stop_after_delay(300),
)
def _enough(bed: Bed, url: str, since: int) -> tuple[int, int] | None:
    found = _both(bed, url)
    return found if found[0] - since >= _PAGES else None


def _after_enough(bed: Bed, url: str, since: int) -> tuple[int, int]:
    found = _enough(bed, url, since)
    assert found is not None  # tenacity raises instead
    return found
