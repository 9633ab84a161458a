"""``lab/lab demo-latency``: redis is slow once in a while; numapin says why; it is mended.

Joins the lab, the pods of lab/workloads/latency.yaml and the command line that users have. It
decides nothing: arithmetic is in ``requests``, what must be shown in ``criteria``.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from numapin_agent.trace.result import Result
from numapin_api.errors import LabError
from numapin_lab import nodes
from numapin_lab.demo.cluster import Cluster, load
from numapin_lab.demo.interrupt import ended_on_interrupt
from numapin_lab.demo.run import write
from numapin_lab.lab import Lab
from numapin_lab.latency import criteria, picture, services
from numapin_lab.latency import report as form
from numapin_lab.latency import requests as arithmetic
from numapin_lab.latency.client import Client
from numapin_lab.latency.requests import Batch
from numapin_lab.latency.table import show
from numapin_lab.paths import checkout

KERNEL: Final = "6.1"
"""The last of Debian's whose IPVS walks all statistics in a timer; threads do it from 6.2 on."""
NODE: Final = "numa-0"
NAMESPACE: Final = "demo-latency"
REDIS: Final = "redis"
SYSCTL: Final = "net.ipv4.vs.run_estimation"
TRACED_MS: Final = 10.0
"""From here on system calls of redis are traced: most take a hundredth of that where sockets are
emulated, and a sixth of what the timer takes there."""
CPU: Final = 3
"""Where redis, its client and the timer run. A callback that sets its own timer anew never leaves
its CPU (kernel/time/timer.c ``__mod_timer``), so IPVS' stays where the module was loaded; left to
the scheduler redis is met by it from never to always, by chance."""
_THERE: Final = ("taskset", "--cpu-list", str(CPU))
_HUNTS: Final = 4
"""Windows in which the culprit is looked for."""
_READY_SECONDS: Final = 300.0
_TRACE_SECONDS: Final = 600.0
"""Until the answer: compiling a probe takes an emulated node a minute."""


def run(lab: Lab, *, seconds: int, count: int) -> int:
    """Bring the lab up, show the spikes, find the culprit, mend it, report.

    Args:
        lab: its nodes are started anew if they have another kernel.
        seconds: length of each measurement.
        count: of IPVS services.

    Returns:
        Exit status: 0, 1 when a criterion is not met, 130 when interrupted.
    """
    console = Console() if sys.stdout.isatty() else Console(width=100)
    return ended_on_interrupt(lab, console, lambda: _run(lab, console, seconds, count))


def _run(lab: Lab, console: Console, seconds: int, count: int) -> bool:
    begun = time.monotonic()
    rules = services.rules(count)
    lab.up(topology="2s", count=1, kernel=KERNEL)
    lab.deploy()
    here = _Here(lab, Cluster(lab.paths.kubeconfig))
    with here.workloads(rules, count):
        before = here.measured(seconds, "before")
        spike = here.hunt(seconds)
        timers = here.trace("timers", seconds, "--node", NODE, threshold=1)
        remedy = f"sysctl -w {SYSCTL}=0"
        with lab.steps.step(f"{NODE}: {remedy}"):
            here.ssh(*remedy.split())
        after = here.measured(seconds, "after")
        timers_after = here.trace("timers", seconds, "--node", NODE, threshold=1)
        spike_after = here.spike(seconds)
        kernel = here.ssh("uname", "-r").strip()
    # Emulation has hiccups of its own: what the timer holds up takes at least half as long as it.
    slow = max(TRACED_MS, criteria.longest(slowest(timers)) / 2)
    done = form.LatencyReport(
        kernel=kernel,
        services=count,
        slow_ms=round(slow, 1),
        before=window(before, timers, seconds, slow=slow),
        after=window(after, timers_after, seconds, slow=slow),
        culprits=culprits(spike),
        culprits_after=culprits(spike_after),
        causes=[form.Named(name=c.name, says=c.says, remedy=c.remedy) for c in timers.causes],
        remedy=remedy,
        seconds=round(time.monotonic() - begun, 1),
    )
    return _publish(lab, console, done, (before, after))


def _publish(
    lab: Lab, console: Console, report: form.LatencyReport, measured: Sequence[Sequence[Batch]]
) -> bool:
    directory = lab.paths.root / "demo-latency"
    titles = (f"{report.services:,} IPVS services", report.remedy)
    lines = [
        picture.Line(title, batches[0].time, batches)
        for title, batches in zip(titles, measured, strict=True)
    ]
    write(directory / "report.json", report.text().encode())
    write(directory / "report.svg", picture.draw(*lines))
    judged = criteria.check(report)
    console.print(show(report, judged))
    console.print(f"report: {directory / 'report.json'}, {directory / 'report.svg'}")
    return all(criterion.met for criterion in judged)


@dataclass(frozen=True, slots=True)
class _Here:
    """The running lab."""

    lab: Lab
    cluster: Cluster

    def ssh(self, *command: str) -> str:
        """Output of a command on the node."""
        return _output(nodes.ssh(self.lab.node(NODE), self.lab.paths, list(command)))

    @contextmanager
    def workloads(self, rules: str, count: int) -> Iterator[None]:
        """Run redis and its client, and fill IPVS, which is as it was afterwards."""
        manifests = load(checkout() / "lab" / "workloads" / "latency.yaml")
        pods = [m for m in manifests if m["kind"] == "Pod"]
        names = [m["metadata"]["name"] for m in pods]
        with self.lab.steps.step("redis, its client, a pod for IPVS"):
            self.cluster.ensure_namespace(manifests[0])
            self.cluster.delete(NAMESPACE, names)
            for manifest in pods:
                manifest["spec"]["nodeSelector"] = {"kubernetes.io/hostname": NODE}
                self.cluster.create(
                    manifest if manifest["metadata"]["name"] != REDIS else on_one_cpu(manifest)
                )
            for name in names:
                self.cluster.await_ready(NAMESPACE, name, seconds=_READY_SECONDS)
        try:
            with self.lab.steps.step(f"{count:,} IPVS services"):
                self.ssh("modprobe", "--remove", "ip_vs_rr", "ip_vs")
                self.ssh(*_THERE, "modprobe", "--all", "ip_vs", "ip_vs_rr")
                self.ssh("sysctl", "-w", f"{SYSCTL}=1")
                kubectl = [self.lab.programs() / "kubectl", "--kubeconfig"]
                argv = [*map(str, kubectl), str(self.lab.paths.kubeconfig), "-n", NAMESPACE]
                _output([*argv, "exec", "-i", "services", "--", "ipvsadm", "--restore"], said=rules)
            yield
        finally:
            # IPVS is emptied by the pod's own end.
            self.cluster.delete(NAMESPACE, names)
            self.ssh("sysctl", "-w", f"{SYSCTL}=1")

    def measured(self, seconds: int, when: str) -> list[Batch]:
        """Requests of a whole window."""
        with self.lab.steps.step(f"requests of redis for {seconds} s, {when}"):
            return Client(self.cluster, NAMESPACE, REDIS).next(seconds)

    def hunt(self, seconds: int) -> Result:
        """What holds up redis, until the culprit is among it.

        On an emulated node there are minutes in which the timer alone makes up half of no call.
        """
        for _ in range(_HUNTS - 1):
            found = self.spike(seconds)
            if criteria.blamed(culprits(found)):
                return found
        return self.spike(seconds)

    def spike(self, seconds: int) -> Result:
        """What holds up redis."""
        pod = f"{NAMESPACE}/{REDIS}"
        return self.trace("spike", seconds, "--pod", pod, threshold=TRACED_MS)

    def trace(self, probe: str, seconds: int, *scope: str, threshold: float) -> Result:
        """Ask as users do."""
        command = ["trace", probe, *scope, "--duration", f"{seconds}s"]
        command += ["--threshold", f"{threshold:g}ms"]
        with self.lab.steps.step(f"numapin {' '.join(command)}"):
            argv = [sys.executable, "-m", "numapin_cli.main", *command, "-o", "json"]
            said = _output(argv, kubeconfig=str(self.lab.paths.kubeconfig), seconds=_TRACE_SECONDS)
            return Result.model_validate_json(said)


def on_one_cpu(pod: dict[str, Any]) -> dict[str, Any]:
    """A pod's manifest with all of its containers on ``CPU``."""
    spec = pod["spec"]
    there = [{**one, "command": [*_THERE, *one["command"]]} for one in spec["containers"]]
    return {**pod, "spec": {**spec, "containers": there}}


def window(batches: Sequence[Batch], timers: Result, seconds: int, *, slow: float) -> form.Window:
    """The report's form of a window.

    Args:
        batches: its requests.
        timers: what was traced right after it.
        seconds: its length.
        slow: milliseconds from which a request is slow.

    Raises:
        LabError: it has no requests.
    """
    found = arithmetic.summary(batches)
    if found is None:
        raise LabError("redis answered no request in a whole window")
    return form.Window(
        seconds=seconds,
        requests=form.Requests(
            count=found.count,
            slow=arithmetic.slow(batches, slow),
            p50_ms=found.p50,
            p99_ms=found.p99,
            p999_ms=found.p999,
            max_ms=found.maximum,
        ),
        timers=slowest(timers),
    )


def slowest(timers: Result) -> list[form.Timer]:
    """The functions that timers called, slowest call first."""
    found = [
        form.Timer(
            function=row.labels["function"].split(" ")[0],
            count=row.histogram.count,
            max_ms=row.histogram.maximum / 1e6,
            total_ms=row.histogram.total / 1e6,
        )
        for row in timers.rows
    ]
    return sorted(found, key=lambda one: -one.max_ms)


def culprits(spike: Result) -> list[form.Culprit]:
    """Whom a spike trace blames, for most calls first."""
    return [
        form.Culprit(name=one.culprit, calls=one.calls, longest_ms=one.longest / 1e6)
        for one in sorted(spike.blamed, key=lambda one: -one.calls)
    ]


def _output(
    argv: Sequence[str],
    *,
    said: str | None = None,
    kubeconfig: str | None = None,
    seconds: float = 240,
) -> str:
    env = {**os.environ, **({"KUBECONFIG": kubeconfig} if kubeconfig else {})}
    try:
        done = subprocess.run(
            argv, input=said, capture_output=True, text=True, check=False, timeout=seconds, env=env
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end within {seconds:.0f} s") from error
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
