"""Where a cluster can't keep agents to their own nodes, the chart leaves that out and says so."""

import shutil
from pathlib import Path

import pytest
from support.chart import CHART, NAMESPACE, Helm, settings

pytestmark = pytest.mark.integration

POLICY = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
# A cluster that helm talks to names all its kinds, this one among them.
LIVE = "--api-versions=v1/Pod"


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as an object: `helm template` prints none."""
    copy = tmp_path_factory.mktemp("chart") / "numapin"
    shutil.copytree(CHART, copy)
    notes = copy / "templates/NOTES.txt"
    text = notes.read_text()
    notes.unlink()
    (copy / "templates/_notes.tpl").write_text(f'{{{{ define "notes" }}}}{text}{{{{ end }}}}')
    (copy / "templates/notes.yaml").write_text('notes: |\n{{ include "notes" . | indent 2 }}\n')
    return copy


@pytest.mark.parametrize(
    ("flags", "values", "kept"),
    [
        pytest.param([], {}, True, id="no cluster"),
        pytest.param([LIVE, f"--api-versions={POLICY}"], {}, True, id="cluster with policies"),
        pytest.param([LIVE], {}, False, id="cluster without"),
        pytest.param([], {"agent.restrictToOwnNode": False}, False, id="switched off"),
    ],
)
def test_policy_and_notes_agree(helm: Helm, chart: Path, flags, values, kept):
    done = helm(
        "template",
        "numapin",
        chart,
        f"--namespace={NAMESPACE}",
        "--kube-version=1.35.4",
        *flags,
        *settings(values),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("kind: ValidatingAdmissionPolicy\n") == int(kept)
    assert done.stdout.count("kind: ValidatingAdmissionPolicyBinding\n") == int(kept)
    assert ("WARNING: agents are not kept to their own nodes" in done.stdout) is not kept
    assert ("restrictToOwnNode is false" in done.stdout) is bool(values)


def test_older_clusters_are_refused_before_anything_is_made(helm: Helm):
    done = helm("template", "numapin", CHART, "--kube-version=1.31.9")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.32.0-0" in done.stderr
