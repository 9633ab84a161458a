"""What rules and dashboard are tested with is pinned, and the lab's Go can build it."""

import re

from numapin_lab import prometheus


def test_prometheus_is_pinned_by_version_and_hash():
    text = (prometheus.MODULE / "go.mod").read_text()
    (version,) = re.findall(r"^\s*github\.com/prometheus/prometheus (\S+)", text, re.MULTILINE)
    sums = (prometheus.MODULE / "go.sum").read_text()
    assert f"github.com/prometheus/prometheus {version} h1:" in sums


def test_no_newer_go_is_needed_than_the_lab_asks_for():
    text = (prometheus.MODULE / "go.mod").read_text()
    assert re.findall(r"^go (\d+\.\d+)", text, re.MULTILINE) == ["1.25"]
    assert "toolchain" not in text
