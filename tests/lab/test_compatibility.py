"""From a test report to the table in docs/compatibility.md."""

import pytest

from numapin_api.errors import LabError
from numapin_lab import compatibility
from numapin_lab.compatibility import BEGIN, END, Result
from numapin_lab.paths import checkout


def result(kubernetes="v1.35.4", suite="integration", **more) -> Result:
    counts = {"passed": 3, "failed": 0, "skipped": 0, "ran_on": "here", "date": "2026-11-23"}
    return Result(kubernetes=kubernetes, suite=suite, **(counts | more))


def report(**counts: int) -> str:
    said = " ".join(f'{name}="{n}"' for name, n in counts.items())
    return f'<testsuites><testsuite name="pytest" {said} time="1"/></testsuites>'


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"tests": 9, "failures": 0, "errors": 0, "skipped": 0}, (9, 0, 0)),
        ({"tests": 9, "failures": 2, "errors": 1, "skipped": 2}, (4, 3, 2)),
        ({"tests": 1, "errors": 1}, (0, 1, 0)),
    ],
)
def test_counts_of_a_report(counts, found):
    assert compatibility.counts(report(**counts), what="e2e test") == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "can't be read"),
        ("<testsuites/>", "no e2e test with Kubernetes v1.33.13 ran"),
        (report(tests=0), "no e2e test with Kubernetes v1.33.13 ran"),
    ],
)
def test_a_report_of_nothing_is_no_result(text, words):
    with pytest.raises(LabError, match=words):
        compatibility.counts(text, what="e2e test with Kubernetes v1.33.13")


def test_a_new_result_replaces_that_of_its_minor_version_and_suite():
    old = [result("v1.35.4"), result("v1.35.4", "e2e"), result("v1.33.13")]
    new = result("v1.35.5", failed=1)
    assert compatibility.merge(old, [new]) == (
        result("v1.33.13"),
        result("v1.35.4", "e2e"),
        new,
    )


def test_versions_are_in_their_order():
    made = compatibility.merge([result("v1.100.0"), result("v1.9.1"), result("v1.35.4")], [])
    assert [r.kubernetes for r in made] == ["v1.9.1", "v1.35.4", "v1.100.0"]


def test_results_survive_their_file():
    results = (result(), result("v1.36.3", failed=2))
    assert compatibility.read(compatibility.write(results)) == results


@pytest.mark.parametrize("text", ["", "{", '[{"kubernetes": "v1"}]', "[1]"])
def test_a_damaged_file_is_named(text):
    with pytest.raises(LabError, match=r"docs/compatibility\.json can't be read"):
        compatibility.read(text)


def test_a_failure_shows():
    assert "| 1.35.4 | integration | 3 | 2 | 1 | here | 2026-11-23 |" in compatibility.table(
        [result(failed=2, skipped=1)]
    )


def test_only_what_is_between_the_markers_changes():
    assert compatibility.splice(f"a\n{BEGIN}\nold\n{END}\nb\n", "new\n") == (
        f"a\n{BEGIN}\nnew\n{END}\nb\n"
    )


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_document_without_markers_is_refused(text):
    with pytest.raises(LabError, match="lacks"):
        compatibility.splice(text, "new\n")


def test_the_document_shows_the_results():
    docs = checkout() / "docs"
    document = (docs / "compatibility.md").read_text()
    results = compatibility.read((docs / "compatibility.json").read_text())
    assert compatibility.splice(document, compatibility.table(results)) == document
