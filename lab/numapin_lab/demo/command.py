"""``lab/lab demo``: from a bare checkout to the report, and nothing left behind on Ctrl-C.

Joins the lab and the demo's parts; what is measured and how stands in those.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

from kubernetes import client
from rich.console import Console

from numapin_api.errors import LabError
from numapin_lab import nodes
from numapin_lab.demo import criteria, picture
from numapin_lab.demo.cluster import AGENT_SELECTOR, Cluster, eventually, load
from numapin_lab.demo.interrupt import ended_on_interrupt
from numapin_lab.demo.live import LiveView
from numapin_lab.demo.meter import AgentScraper, Meter, NodeStream
from numapin_lab.demo.nodefiles import loop_script
from numapin_lab.demo.report import Report, Seconds
from numapin_lab.demo.run import Demo, Outcome, Workload, write
from numapin_lab.demo.table import show
from numapin_lab.demo.watch import METRICS_PORT, beside
from numapin_lab.lab import Lab
from numapin_lab.paths import checkout

NODE = "numa-0"
MEASURED = ("hopper", "redis")
"""Pods of workloads.yaml that are labelled and reported; the others only make noise."""
WORST_CASE = "hopper"
WHAT_ANNOTATION = "demo.numapin.io/workload"
_READY_SECONDS = 300.0
"""Filling redis takes a minute where two cores emulate four."""


def run(lab: Lab, *, seconds: int, dashboard: bool) -> int:
    """Bring everything up, run the demo, write and print its report.

    Args:
        lab: as it is; ended again on Ctrl-C if it was not up.
        seconds: length of each of the two measurements.
        dashboard: whether a Prometheus runs beside it, for a picture of the dashboard.

    Returns:
        Exit status: 0, 1 when a criterion is not met, 130 when interrupted.
    """
    # Not a terminal: wide enough for the table, whatever an empty environment says.
    console = Console() if sys.stdout.isatty() else Console(width=100)
    return ended_on_interrupt(lab, console, lambda: _run(lab, console, seconds, dashboard))


def _run(lab: Lab, console: Console, seconds: int, dashboard: bool) -> bool:
    """The whole demo; whether all criteria are met."""
    begun = time.monotonic()
    lab.up_as_is()
    lab.deploy()
    cluster = Cluster(lab.paths.kubeconfig)
    ready = time.monotonic()
    directory = lab.paths.root / "demo"
    workloads = _start_workloads(lab, cluster)
    with ExitStack() as stack:
        watched = beside(lab, cluster) if dashboard else nullcontext()
        watch = stack.enter_context(watched)
        meter = stack.enter_context(_meter(lab, cluster, workloads))
        view = stack.enter_context(LiveView(console, tuple(w.name for w in workloads)))
        outcome = Demo(
            cluster=cluster,
            meter=meter,
            view=view,
            workloads=workloads,
            node=NODE,
            seconds=seconds,
        ).run()
        if watch is not None:
            write(directory / "dashboard.svg", watch.picture(outcome))
            console.print(f"dashboard: {directory / 'dashboard.svg'}")
    report = Report(
        pods=list(outcome.pods),
        node=outcome.node,
        seconds=Seconds(lab=round(ready - begun, 1), total=round(time.monotonic() - begun, 1)),
    )
    return _publish(directory, console, report, outcome)


def _start_workloads(lab: Lab, cluster: Cluster) -> Sequence[Workload]:
    """Start every pod anew and without the label, so that "before" is before."""
    manifests = load(checkout() / "lab" / "workloads" / "workloads.yaml")
    pods = [m for m in manifests if m["kind"] == "Pod"]
    namespace = pods[0]["metadata"]["namespace"]
    with lab.steps.step("workloads, without the label"):
        for manifest in manifests:
            if manifest["kind"] == "Namespace":
                cluster.ensure_namespace(manifest)
        cluster.delete(namespace, [m["metadata"]["name"] for m in pods])
        for manifest in pods:
            manifest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": NODE}
            cluster.create(manifest)
        running = {
            m["metadata"]["name"]: cluster.await_ready(
                namespace, m["metadata"]["name"], seconds=_READY_SECONDS
            )
            for m in pods
        }
    return [_workload(running[name]) for name in MEASURED]


def _workload(pod: client.V1Pod) -> Workload:
    meta = pod.metadata
    if meta is None or meta.name is None or meta.namespace is None or meta.uid is None:
        raise LabError(f"the API server sent a pod without a name: {pod}")
    return Workload(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        what=(meta.annotations or {}).get(WHAT_ANNOTATION, meta.name),
        worst_case=meta.name == WORST_CASE,
    )


def _meter(lab: Lab, cluster: Cluster, workloads: Sequence[Workload]) -> Meter:
    logs = lab.paths.logs
    kubectl: list[str | Path] = [lab.programs() / "kubectl", "--kubeconfig", lab.paths.kubeconfig]

    def agent() -> tuple[str, str, int] | None:
        pod = cluster.component(AGENT_SELECTOR, NODE)
        if pod is None or pod.metadata is None:
            return None
        return str(pod.metadata.namespace), str(pod.metadata.name), METRICS_PORT

    eventually(agent, seconds=60, what=f"the agent on {NODE} is ready")
    script = loop_script(w.uid for w in workloads)
    return Meter(
        agent=AgentScraper(kubectl, agent, logs / "demo-port-forward.log"),
        node=NodeStream(
            nodes.ssh(lab.node(NODE), lab.paths, [script]), logs / "demo-node-stream.log"
        ),
    )


def _publish(directory: Path, console: Console, report: Report, outcome: Outcome) -> bool:
    """Write report and picture, print the table; whether all criteria are met."""
    panels = [
        picture.Panel(
            title=f"{pod.name}: {pod.workload}",
            rates=outcome.rates[pod.name],
            labelled=outcome.labelled,
            pinned=outcome.pinned[pod.name],
        )
        for pod in report.pods
    ]
    write(directory / "report.json", report.text().encode())
    write(directory / "report.svg", picture.draw(panels))
    judged = [c for result in outcome.results for c in criteria.check(result)]
    console.print(show(report, outcome.counted, judged))
    console.print(f"report: {directory / 'report.json'}, {directory / 'report.svg'}")
    failed = [c.text for c in judged if not c.met]
    for text in failed:
        console.print(f"not met: {text}", style="bold red", highlight=False)
    return not failed
