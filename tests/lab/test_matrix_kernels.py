"""How each kernel is tested: what the lab is asked for, and what is written down of it."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.any_lab import AnyLab

from numapin_api.errors import LabError
from numapin_lab import config, kernels, levels, matrix
from numapin_lab.levels import Had

DAY = datetime(2026, 11, 25, tzinfo=UTC).date()
REPORT = '<testsuites><testsuite tests="4" failures="{failed}" skipped="1"/></testsuites>'
NODE = {
    "status": {
        "capabilities": {
            "kernel": "6.1.176-cloud",
            "signals": [{"name": "hintFaults", "level": "kprobe", "reason": "a reason"}],
        }
    }
}


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    (made / "kernels.json").write_text("[]")
    (made / "compatibility.md").write_text(f"{levels.BEGIN}\n{levels.END}\n")
    monkeypatch.setattr(matrix, "checkout", lambda: tmp_path)
    return made


def programs(monkeypatch: pytest.MonkeyPatch, *, failed: int = 0, status: int = 0) -> None:
    """Play pytest and kubectl."""

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if argv[0] != sys.executable:
            return subprocess.CompletedProcess(argv, 0, json.dumps({"items": [NODE, NODE]}), "")
        (file,) = (a.partition("=")[2] for a in argv if a.startswith("--junitxml="))
        Path(file).write_text(REPORT.format(failed=failed))
        return subprocess.CompletedProcess(argv, status)

    monkeypatch.setattr(matrix.subprocess, "run", run)


def run(lab: AnyLab, *on: str) -> bool:
    return matrix.run(lab, versions=(), suites=["kernels"], on=on, today=lambda: DAY)  # type: ignore[arg-type]


def test_each_kernel_is_run_on_like_nodes_and_written_down(docs, monkeypatch):
    programs(monkeypatch)
    lab = AnyLab()
    assert run(lab)
    assert [asked.pop("kernel") for asked in lab.asked] == list(kernels.KERNELS)
    assert all(asked["topology"] == config.DEFAULT_TOPOLOGY for asked in lab.asked)
    assert lab.deployed == len(kernels.KERNELS)
    results = levels.read((docs / "kernels.json").read_text())
    assert [r.kernel for r in results] == list(kernels.KERNELS)
    assert {(r.passed, r.failed, r.skipped) for r in results} == {(3, 0, 1)}
    assert results[0].signals == {"hintFaults": Had("kprobe", "a reason")}
    assert levels.tables(results) in (docs / "compatibility.md").read_text()


def test_a_kernel_that_does_not_come_up_is_a_result_and_the_others_are_run(docs, monkeypatch):
    programs(monkeypatch)
    assert not run(AnyLab("5.10"), "5.10", "6.1")
    old, six = levels.read((docs / "kernels.json").read_text())
    assert (old.kernel, old.problem, old.signals) == ("5.10", "numa-0 was not Ready", {})
    assert six.ok


def test_a_failed_test_fails_the_whole(docs, monkeypatch):
    programs(monkeypatch, failed=1, status=1)
    assert not run(AnyLab(), "6.1")
    (six,) = levels.read((docs / "kernels.json").read_text())
    assert (six.passed, six.failed) == (2, 1)


def test_an_interrupted_run_is_not_written_down(docs, monkeypatch):
    programs(monkeypatch, status=2)
    with pytest.raises(LabError, match="status 2 before all e2e tests had run on Linux"):
        run(AnyLab(), "6.1")
    assert (docs / "kernels.json").read_text() == "[]"
