"""Runs the tests against several versions of Kubernetes and writes down what came of it.

Deliberately knows nothing of single tests: pytest selects them by marker, its report counts
them.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab import binaries, compatibility, config, guestroot
from numapin_lab.compatibility import Result
from numapin_lab.lab import Lab
from numapin_lab.paths import checkout

_ALL_RAN = frozenset({0, 1})
"""Exit statuses of pytest after it has run all tests: all passed, or some failed."""
E2E_VERSIONS = ("1.33", "1.37")
"""Oldest pinned one, and newest whose kubelet still speaks with containerd 1.7 of the guest.

Kubelets fall back without the runtime's RuntimeConfig call until 1.38 (KEP-4033).
"""

E2E_NODES = 2
_MARKERS = {"integration": "integration", "e2e": "e2e and not lifecycle"}
"""What pytest is asked for: the tests of `make integration` and of `make e2e`."""


def run(
    lab: Lab, *, versions: Sequence[str], suites: Sequence[str], today: Callable[[], date]
) -> bool:
    """Run suites against versions; each result is in the documents before the next run begins.

    Args:
        lab: whose cache and nodes are used.
        versions: keys of binaries.VERSIONS; none is all, for e2e E2E_VERSIONS.
        suites: of compatibility.SUITES.
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
    return all(result.failed == 0 for result in results)


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
        kernel=guestroot.DEFAULT_KERNEL,
        kubernetes=version,
    )
    return _pytest(lab, version, "e2e", ran_on=lambda: _nodes(lab), day=day)


def _pytest(lab: Lab, version: str, suite: str, *, ran_on: Callable[[], str], day: date) -> Result:
    release = binaries.VERSIONS[version]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        with lab.steps.step(f"{suite} tests with Kubernetes {release}"):
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
                f"pytest ended with status {done.returncode} before all {suite} tests had run with "
                f"Kubernetes {release}; nothing is written down of it"
            )
        result = compatibility.of_junit(
            report.read_text(),
            kubernetes=release,
            suite=suite,
            ran_on=ran_on(),
            date=day.isoformat(),
        )
    _write_down(result)
    return result


def _write_down(result: Result) -> None:
    results, document = (checkout() / "docs" / f"compatibility.{kind}" for kind in ("json", "md"))
    merged = compatibility.merge(compatibility.read(results.read_text()), [result])
    results.write_text(compatibility.write(merged))
    document.write_text(compatibility.splice(document.read_text(), compatibility.table(merged)))


def _nodes(lab: Lab) -> str:
    """Kernel and runtime of the nodes, as their kubelets say."""
    argv = [lab.programs() / "kubectl", "--kubeconfig", lab.paths.kubeconfig]
    said = subprocess.run(
        [*map(str, argv), "get", "nodes", "-o", "json"], capture_output=True, text=True, check=False
    )
    if said.returncode != 0:
        raise LabError(f"the nodes can't be listed: {said.stderr.strip()}")
    found = sorted(
        {
            f"Linux {info['kernelVersion']}, {info['containerRuntimeVersion']}"
            for info in (node["status"]["nodeInfo"] for node in json.loads(said.stdout)["items"])
        }
    )
    return "; ".join(found)
