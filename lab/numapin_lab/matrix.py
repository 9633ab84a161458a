"""Runs the tests against versions of Kubernetes and on kernels, and writes down what came of it.

Deliberately knows nothing of single tests: pytest selects them by marker, its report counts
them.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

import tenacity

from numapin_api.errors import LabError
from numapin_lab import binaries, compatibility, config, kernels, levels, probes, probing
from numapin_lab.compatibility import Result
from numapin_lab.lab import Lab
from numapin_lab.levels import Had, OnKernel, had
from numapin_lab.paths import checkout
from numapin_lab.probes import Probed

_ALL_RAN = frozenset({0, 1})
"""Exit statuses of pytest after it has run all tests: all passed, or some failed."""
E2E_VERSIONS = ("1.33", "1.37")
"""Oldest pinned one, and newest whose kubelet still speaks with containerd 1.7 of the guest.

Kubelets fall back without the runtime's RuntimeConfig call until 1.38 (KEP-4033).
"""

E2E_NODES = 2
_MARKERS = {"integration": "integration", "e2e": "e2e and not lifecycle"}
"""What pytest is asked for: the tests of `make integration` and of `make e2e`."""
_LOADED_SECONDS = 600.0
"""An emulated node compiles the kernel programs for a minute and more."""


def run(
    lab: Lab,
    *,
    versions: Sequence[str],
    suites: Sequence[str],
    on: Sequence[str] = (),
    today: Callable[[], date],
) -> bool:
    """Run suites against versions; each result is in the documents before the next run begins.

    Args:
        lab: whose cache and nodes are used.
        versions: keys of binaries.VERSIONS; none is all, for e2e E2E_VERSIONS.
        suites: of compatibility.SUITES.
        on: keys of kernels.KERNELS; none is all. Their suite runs on the default Kubernetes.
        today: the date to note.

    Returns:
        Whether all tests passed.

    Raises:
        LabError: a build failed, or tests could not be run at all.
    """
    results: list[Result] = []
    if "integration" in suites:
        results += (_integration(lab, v, today()) for v in versions or binaries.VERSIONS)
    if "e2e" in suites:
        results += (_e2e(lab, v, today()) for v in versions or E2E_VERSIONS)
    passed = all(result.failed == 0 for result in results)
    for name in on or kernels.KERNELS:
        if "kernels" in suites:
            passed &= _on_kernel(lab, name, today()).ok
        if "probes" in suites:
            passed &= _probed(lab, name, today()).ok
    return passed


def _on_kernel(lab: Lab, kernel: str, day: date) -> OnKernel:
    """The end-to-end tests on a kernel; that it did not come up is a result, too."""
    try:
        release, signals = _up_on(lab, kernel)
    except LabError as error:
        lab.steps.say(f"  Linux {kernel}: {error}")
        result = OnKernel(kernel, "", 0, 0, 0, day.isoformat(), problem=str(error))
    else:
        counts = _counts(lab, binaries.DEFAULT_KUBERNETES, "e2e", what=f"on Linux {release}")
        result = OnKernel(kernel, release, *counts, day.isoformat(), signals)
    file = checkout() / "docs" / "kernels.json"
    merged = levels.merge(levels.read(file.read_text()), result, order=list(kernels.KERNELS))
    file.write_text(levels.write(merged))
    _show(levels.tables(merged), begin=levels.BEGIN, end=levels.END)
    return result


def _probed(lab: Lab, kernel: str, day: date) -> Probed:
    """How each probe is answered on a kernel; that it did not come up is a result, too."""
    try:
        release, _ = _up_on(lab, kernel)
    except LabError as error:
        lab.steps.say(f"  Linux {kernel}: {error}")
        result = Probed(kernel, "", day.isoformat(), problem=str(error))
    else:
        found = probing.ask_all(lab, pod=_agent_pod(lab))
        result = Probed(kernel, release, day.isoformat(), found)
    file = checkout() / "docs" / "probes.json"
    merged = levels.merge(probes.read(file.read_text()), result, order=list(kernels.KERNELS))
    file.write_text(levels.write(merged))
    _show(probes.table(merged), begin=probes.BEGIN, end=probes.END)
    return result


def _up_on(lab: Lab, kernel: str) -> tuple[str, Mapping[str, Had]]:
    """Bring nodes with numapin up on a kernel; its release, and the levels of its signals."""
    lab.up(
        topology=config.DEFAULT_TOPOLOGY,
        count=E2E_NODES,
        kernel=kernel,
        kubernetes=binaries.DEFAULT_KUBERNETES,
    )
    lab.deploy()
    return _signals(lab)


def _signals(lab: Lab) -> tuple[str, Mapping[str, Had]]:
    """Kernel of the nodes and levels of their signals, once every agent has published some."""

    def published() -> tuple[str, Mapping[str, Had]] | None:
        items = json.loads(_kubectl(lab, "get", "numanodes", "-o", "json"))["items"]
        said = [i.get("status", {}).get("capabilities", {}).get("signals") for i in items]
        return had({"items": items}) if said and all(said) else None

    retry = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda found: found is None),
        wait=tenacity.wait_fixed(5),
        stop=tenacity.stop_after_delay(_LOADED_SECONDS),
        retry_error_callback=lambda _: None,
    )
    found = retry(published)
    if found is None:
        raise LabError(f"no signal was published within {_LOADED_SECONDS:.0f} s of numapin's start")
    return found


def _show(text: str, *, begin: str, end: str) -> None:
    """Put a table into the document that people read."""
    document = checkout() / "docs" / "compatibility.md"
    document.write_text(compatibility.splice(document.read_text(), text, begin=begin, end=end))


def _integration(lab: Lab, version: str, day: date) -> Result:
    binaries.ensure(lab.steps, cache=lab.cache)
    binaries.ensure_servers(lab.steps, cache=lab.cache, kubernetes=version)
    return _pytest(
        lab, version, "integration", ran_on=lambda: "kube-apiserver and etcd only", day=day
    )


def _e2e(lab: Lab, version: str, day: date) -> Result:
    # Not as the lab was before: rows are only to differ by what they say they differ by.
    lab.up(
        topology=config.DEFAULT_TOPOLOGY,
        count=E2E_NODES,
        kernel=kernels.DEFAULT_KERNEL,
        kubernetes=version,
    )
    return _pytest(lab, version, "e2e", ran_on=lambda: _nodes(lab), day=day)


def _pytest(lab: Lab, version: str, suite: str, *, ran_on: Callable[[], str], day: date) -> Result:
    release = binaries.VERSIONS[version]
    passed, failed, skipped = _counts(lab, version, suite, what=f"with Kubernetes {release}")
    result = Result(release, suite, passed, failed, skipped, ran_on(), day.isoformat())
    _write_down(result)
    return result


def _counts(lab: Lab, version: str, suite: str, *, what: str) -> tuple[int, int, int]:
    """Run a suite; how many tests passed, failed and were skipped.

    Raises:
        LabError: not all of its tests have run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        with lab.steps.step(f"{suite} tests {what}"):
            arguments = ["-q", "-m", _MARKERS[suite], f"--junitxml={report}"]
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments],
                cwd=checkout(),
                env={**os.environ, binaries.CHOOSE_KUBERNETES: version},
                stdout=sys.stderr,
                check=False,
            )
        # An interrupted run leaves a report, too, in which nothing has failed.
        if done.returncode not in _ALL_RAN or not report.exists():
            raise LabError(
                f"pytest ended with status {done.returncode} before all {suite} tests had run "
                f"{what}; nothing is written down of it"
            )
        return compatibility.counts(report.read_text(), what=f"{suite} test {what}")


def _write_down(result: Result) -> None:
    results, document = (checkout() / "docs" / f"compatibility.{kind}" for kind in ("json", "md"))
    merged = compatibility.merge(compatibility.read(results.read_text()), [result])
    results.write_text(compatibility.write(merged))
    document.write_text(compatibility.splice(document.read_text(), compatibility.table(merged)))


def _nodes(lab: Lab) -> str:
    """Kernel and runtime of the nodes, as their kubelets say."""
    listed = json.loads(_kubectl(lab, "get", "nodes", "-o", "json"))["items"]
    found = sorted(
        {
            f"Linux {info['kernelVersion']}, {info['containerRuntimeVersion']}"
            for info in (node["status"]["nodeInfo"] for node in listed)
        }
    )
    return "; ".join(found)


def _agent_pod(lab: Lab) -> str:
    """NS/NAME of numapin's agent on the node that probes are asked on: a pod that is there."""
    of_agents = ["-A", "-l", "app.kubernetes.io/component=agent"]
    on_node = ["--field-selector", f"spec.nodeName={probing.NODE}"]
    (pod,) = json.loads(_kubectl(lab, "get", "pods", *of_agents, *on_node, "-o", "json"))["items"]
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _kubectl(lab: Lab, *args: str) -> str:
    argv = [lab.programs() / "kubectl", "--kubeconfig", lab.paths.kubeconfig, *args]
    said = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise LabError(f"kubectl {' '.join(args)}: {said.stderr.strip()}")
    return said.stdout
