"""Kernels that nodes can run, and what is written down of the tests on them."""

import subprocess
from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_api.node import SIGNALS
from numapin_lab import compatibility, kernels, levels
from numapin_lab.guestroot import SUITE
from numapin_lab.kernels import KERNELS
from numapin_lab.levels import BEGIN, END, Had, OnKernel
from numapin_lab.paths import checkout

SOURCES = 'deb [signed-by="/keys.gpg"] http://mirror.example/debian trixie main\n'


def test_the_nodes_own_kernel_needs_no_other_suite():
    assert kernels.setup(KERNELS[kernels.DEFAULT_KERNEL], suite=SUITE) == []
    assert "/" not in KERNELS[kernels.DEFAULT_KERNEL].package


@pytest.mark.parametrize("name", [n for n in KERNELS if n != kernels.DEFAULT_KERNEL])
def test_another_kernel_comes_from_the_same_mirror_checked_by_the_same_keys(tmp_path, name):
    """The hook is run as mmdebstrap runs it: a shell, the root as its first argument."""
    apt = tmp_path / "a root" / "etc" / "apt"
    (apt / "sources.list.d").mkdir(parents=True)
    (apt / "sources.list").write_text(SOURCES)
    kernel = KERNELS[name]
    (hook,) = kernels.setup(kernel, suite=SUITE)
    script = hook.removeprefix("--setup-hook=")
    subprocess.run(["sh", "-c", script, "exec", tmp_path / "a root"], check=True)
    assert (apt / "sources.list").read_text() == SOURCES
    written = (apt / "sources.list.d" / "kernel.list").read_text()
    assert written == SOURCES.replace("trixie", str(kernel.suite))
    assert kernel.package.endswith(f"/{kernel.suite}")


def test_an_unknown_kernel_is_refused_with_those_there_are():
    with pytest.raises(
        LabError, match=r"'4\.19' is unknown; allowed are 5\.10, 6\.1, 6\.12, newest"
    ):
        kernels.find("4.19")


def numanode(kernel="6.1.0-50-cloud-amd64", **signals: tuple[str, str | None]):
    said = [
        {"name": n, "level": level} | ({"reason": why} if why else {})
        for n, (level, why) in signals.items()
    ]
    return {"status": {"capabilities": {"kernel": kernel, "signals": said}}}


def test_levels_of_two_like_nodes():
    node = numanode(hintFaults=("kprobe", "no fentry"), pinMoves=("fentry", None))
    assert levels.had({"items": [node, node]}) == (
        "6.1.0-50-cloud-amd64",
        {"hintFaults": Had("kprobe", "no fentry"), "pinMoves": Had("fentry")},
    )


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "no NumaNode says"),
        ([{"status": {}}, {}], "no NumaNode says"),
        ([numanode(), numanode()], "no NumaNode says"),
        (
            [numanode(hintFaults=("none", "x")), numanode(hintFaults=("kprobe", None))],
            "the nodes differ",
        ),
    ],
)
def test_levels_that_can_not_be_told(items, words):
    with pytest.raises(LabError, match=words):
        levels.had({"items": items})


def on(kernel: str, release: str, **more) -> OnKernel:
    return OnKernel(
        **{
            "kernel": kernel,
            "release": release,
            "passed": 50,
            "failed": 0,
            "skipped": 1,
            "date": "2026-11-25",
            **more,
        }
    )


OLD = on("5.10", "", passed=0, skipped=0, problem="numa-0 was not Ready\nsee the log")
SIX = on(
    "6.1",
    "6.1.176-1-cloud-amd64",
    signals={"hintFaults": Had("kprobe", "a reason"), "pinMoves": Had("fentry")},
)
NEW = on(
    "newest",
    "7.3.4+deb13-cloud-amd64",
    failed=2,
    signals={"hintFaults": Had("fentry"), "newSignal": Had("none", "a reason")},
)


def test_tables_name_levels_and_number_their_reasons():
    assert levels.tables([OLD, SIX, NEW]).splitlines() == [
        "| Linux | passed | failed | skipped | date | |",
        "|---|---|---|---|---|---|",
        "| 5.10 | 0 | 0 | 0 | 2026-11-25 | numa-0 was not Ready see the log |",
        "| 6.1 (6.1.176) | 50 | 0 | 1 | 2026-11-25 |  |",
        "| newest (7.3.4) | 50 | 2 | 1 | 2026-11-25 |  |",
        "",
        "| signal | 6.1 (6.1.176) | newest (7.3.4) |",
        "|---|---|---|",
        "| hintFaults | kprobe (1) | fentry |",
        "| pinMoves | fentry |  |",
        "| newSignal |  | none (1) |",
        "",
        "1. a reason",
    ]


def test_each_signal_that_an_agent_has_is_a_row_and_no_other():
    """Whatever signals agents come to have, nobody has to name them here."""
    node = numanode(**{name: ("none", f"why {name}") for name in SIGNALS})
    release, signals = levels.had({"items": [node]})
    text = levels.tables([on("6.1", release, signals=signals)])
    rows = [x.split(" | ")[0].removeprefix("| ") for x in text.splitlines() if "none (" in x]
    assert rows == list(SIGNALS)


def test_a_release_that_hides_its_version_is_shown_whole():
    """Debian's ABI name of bookworm's kernels."""
    row = levels.tables([on("6.1", "6.1.0-50-cloud-amd64")]).splitlines()[2]
    assert row.startswith("| 6.1 (6.1.0-50-cloud-amd64) |")


def test_only_tests_that_ran_and_passed_are_all_right():
    assert [r.ok for r in (OLD, SIX, NEW)] == [False, True, False]


def test_a_new_result_replaces_that_of_its_kernel():
    again = on("6.1", "6.1.180-1", failed=1)
    order = ["5.10", "6.1", "newest"]
    assert levels.merge([NEW, SIX, OLD], again, order=order) == (OLD, again, NEW)


def test_results_survive_their_json():
    assert levels.read(levels.write([OLD, SIX, NEW])) == (OLD, SIX, NEW)
    with pytest.raises(LabError, match="can't be read"):
        levels.read('[{"kernel": "6.1"}]')


def test_documents_are_in_step():
    """What is shown is what was written down, and nothing else."""
    results = levels.read((checkout() / "docs/kernels.json").read_text())
    page = (checkout() / "docs/compatibility.md").read_text()
    shown = levels.tables(results)
    assert compatibility.splice(page, shown, begin=BEGIN, end=END) == page


def test_markers_that_are_gone_are_missed():
    with pytest.raises(LabError, match="kernels:begin"):
        compatibility.splice("# a page\n", "", begin=BEGIN, end=END)


def test_every_kernel_is_named_in_the_guide():
    assert "|".join(KERNELS) in Path(checkout() / "lab/README.md").read_text()
