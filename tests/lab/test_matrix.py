"""What the matrix runs on, and that a run which did not come to its end is no result."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_lab import binaries, compatibility, config, kernels, matrix
from numapin_lab.lab import Lab
from numapin_lab.steps import Steps

DAY = datetime(2026, 11, 23, tzinfo=UTC).date()
REPORT = (
    '<testsuites><testsuite tests="4" failures="{failed}" errors="0" skipped="1"/></testsuites>'
)


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The documents of a checkout in which nothing was run yet."""
    made = tmp_path / "docs"
    made.mkdir()
    (made / "compatibility.json").write_text("[]")
    (made / "compatibility.md").write_text(f"{compatibility.BEGIN}\n{compatibility.END}\n")
    monkeypatch.setattr(matrix, "checkout", lambda: tmp_path)
    monkeypatch.setattr(binaries, "ensure", lambda *_, **__: tmp_path)
    monkeypatch.setattr(binaries, "ensure_servers", lambda *_, **__: tmp_path)
    return made


def pytest_that_ends(
    monkeypatch: pytest.MonkeyPatch, *, status: int, report: str | None
) -> list[dict[str, str]]:
    """Play pytest; the environments that it was started with."""
    begun: list[dict[str, str]] = []

    def run(argv: list[str], **more: object) -> subprocess.CompletedProcess[bytes]:
        assert argv[0] == sys.executable
        environment = more["env"]
        assert isinstance(environment, dict)
        begun.append(environment)
        (file,) = (a.partition("=")[2] for a in argv if a.startswith("--junitxml="))
        if report is not None:
            Path(file).write_text(report)
        return subprocess.CompletedProcess(argv, status)

    monkeypatch.setattr(matrix.subprocess, "run", run)
    return begun


def run_all(*versions: str) -> bool:
    return matrix.run(Lab(), versions=versions, suites=["integration"], today=lambda: DAY)


def test_each_version_is_run_and_written_down(docs, monkeypatch):
    begun = pytest_that_ends(monkeypatch, status=0, report=REPORT.format(failed=0))
    assert run_all()
    assert [e[binaries.CHOOSE_KUBERNETES] for e in begun] == list(binaries.VERSIONS)
    results = compatibility.read((docs / "compatibility.json").read_text())
    assert [r.kubernetes for r in results] == list(binaries.VERSIONS.values())
    assert {(r.suite, r.passed, r.failed, r.skipped) for r in results} == {("integration", 3, 0, 1)}
    assert compatibility.table(results) in (docs / "compatibility.md").read_text()


def test_a_failed_test_is_written_down_and_fails_the_whole(docs, monkeypatch):
    pytest_that_ends(monkeypatch, status=1, report=REPORT.format(failed=2))
    assert not run_all("1.33")
    (result,) = compatibility.read((docs / "compatibility.json").read_text())
    assert (result.kubernetes, result.passed, result.failed) == ("v1.33.13", 1, 2)


@pytest.mark.parametrize("status", [2, 3, 4, 5, -15])
@pytest.mark.parametrize("report", [None, REPORT.format(failed=0)])
def test_an_interrupted_run_is_not_written_down(docs, monkeypatch, *, status, report):
    """Its report counts only what came first, all of which may have passed."""
    pytest_that_ends(monkeypatch, status=status, report=report)
    with pytest.raises(LabError, match=f"status {status} before all integration tests had run"):
        run_all("1.33")
    assert (docs / "compatibility.json").read_text() == "[]"


class AnyLab:
    """A lab that was up as somebody liked it; keeps how it is asked to be."""

    def __init__(self) -> None:
        self.steps, self.cache = Steps(), Lab().cache
        self.asked: list[dict[str, object]] = []

    def up(self, **wanted: object) -> None:
        self.asked.append(wanted)


def test_rows_differ_by_the_version_alone(docs, monkeypatch):
    pytest_that_ends(monkeypatch, status=0, report=REPORT.format(failed=0))
    monkeypatch.setattr(matrix, "_nodes", lambda _: "Linux 6.12, containerd 1.7")
    lab = AnyLab()
    assert matrix.run(lab, versions=(), suites=["e2e"], today=lambda: DAY)  # type: ignore[arg-type]
    assert [asked.pop("kubernetes") for asked in lab.asked] == list(matrix.E2E_VERSIONS)
    same = {
        "topology": config.DEFAULT_TOPOLOGY,
        "count": 2,
        "kernel": kernels.DEFAULT_KERNEL,
    }
    assert lab.asked == [same, same]
    results = compatibility.read((docs / "compatibility.json").read_text())
    assert {r.ran_on for r in results} == {"Linux 6.12, containerd 1.7"}
