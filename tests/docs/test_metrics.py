"""docs/metrics.md is what the code has."""

from pathlib import Path

from click.testing import CliRunner

from numapin_lab import docs


def test_the_page_is_in_step_with_the_code():
    assert docs.PAGE.read_text(encoding="utf-8") == docs.metrics_page(), "run make docs"
    assert CliRunner().invoke(docs.main, ["--check"]).exit_code == 0


def test_every_metric_is_explained_and_has_its_labels():
    every = [*docs.agent(), *docs.operator()]
    assert len({m.name for m in every}) == len(every)
    assert all(m.help for m in every)
    labels = {m.name: m.labels for m in every}
    assert labels["numapin_pod_hint_fault_pages_total"] == ("namespace", "pod", "locality")
    assert labels["numapin_operator_pins"] == ("verdict",)
    assert labels["numapin_agent_errors_total"] == ("kind",)
    assert labels["numapin_agent_reconcile_seconds"] == ()


def test_no_metric_named_in_code_is_missing():
    """Even one that only shows under circumstances that the page's examples lack."""
    root = Path(__file__).parents[2]
    page = docs.PAGE.read_text(encoding="utf-8")
    for file in ("agent/numapin_agent/metrics.py", "operator/numapin_operator/metrics.py"):
        source = (root / file).read_text(encoding="utf-8")
        for line in source.splitlines():
            name = line.strip().strip('(",')
            if name.startswith("numapin_") and name.replace("_", "").isalnum():
                assert name in page, name
