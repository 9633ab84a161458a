"""Probes asked on each kernel: how they are asked, and what is written down of the answers."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.any_lab import AnyLab

from numapin_agent.trace.question import PROBES
from numapin_agent.trace.result import Cost, ProgramCost, Result
from numapin_api.errors import LabError
from numapin_lab import compatibility, kernels, levels, matrix, probes, probing
from numapin_lab.levels import Had
from numapin_lab.paths import checkout
from numapin_lab.probes import FAILED, Probed

DAY = datetime(2026, 11, 26, tzinfo=UTC).date()
RELEASE = "6.1.176-cloud"
NUMANODE = {
    "status": {"capabilities": {"kernel": RELEASE, "signals": [{"name": "x", "level": "fentry"}]}}
}
POD = {"metadata": {"namespace": "numapin-system", "name": "agent-1"}}


def program(target: str) -> ProgramCost:
    return ProgramCost(name="a", target=target, runs=1, instructions=1)


def answer(probe: str = "timers", *targets: str, untold: tuple[str, ...] = ()) -> Result:
    cost = Cost(programs=[program(target) for target in targets])
    return Result(probe=probe, scope="node", seconds=5, untold=list(untold), cost=cost)


def test_an_answer_tells_by_what_and_what_it_lacks():
    made = answer(
        "spike",
        "rawTracepoint sched_switch",
        "fentry migrate_pages",
        "fexit migrate_pages",
        "rawTracepoint sched_wakeup",
        untold=("one thing", "another"),
    )
    assert probes.answered(made) == Had("rawTracepoint, fentry, fexit", "one thing; another")
    assert probes.answered(answer()) == Had("none", "")


def test_a_refusal_is_the_kernels_and_all_else_is_a_failure():
    refused = "Error: the agent on numa-0 refused: no tracepoint x (TraceRefused)"
    assert probes.unanswered(refused) == Had("none", "no tracepoint x (TraceRefused)")
    assert probes.unanswered("Error: not there") == Had(FAILED, "Error: not there")
    assert Probed("6.1", RELEASE, "2026-11-26", {"a": probes.unanswered(refused)}).ok
    assert not Probed("6.1", RELEASE, "2026-11-26", {"a": Had(FAILED)}).ok
    assert not Probed("6.1", "", "2026-11-26", problem="it did not come up").ok


def test_the_table_has_a_column_for_each_kernel_and_says_why():
    old = Probed("5.10", "", "2026-11-25", problem="numa-0 was not Ready")
    new = Probed("6.1", RELEASE, "2026-11-26", dict.fromkeys(PROBES, Had("fentry")))
    lines = probes.table([old, new]).splitlines()
    assert lines[0] == "| probe | 5.10, 2026-11-25 | 6.1 (6.1.176), 2026-11-26 |"
    assert [x.split(" | ")[0].removeprefix("| ") for x in lines[2 : 2 + len(PROBES)]] == list(
        PROBES
    )
    assert {x.split(" | ", 1)[1] for x in lines[2 : 2 + len(PROBES)]} == {
        f"{FAILED} (1) | fentry |"
    }
    assert lines[-1] == "1. numa-0 was not Ready"
    assert probes.table([]) == ""


def test_results_survive_their_json_and_replace_their_kernels():
    one = Probed("6.1", RELEASE, "2026-11-26", {"timers": Had("none", "why")})
    two = Probed("newest", "7.1", "2026-11-26", {"timers": Had("fentry")})
    again = Probed("6.1", RELEASE, "2026-11-27")
    assert probes.read(levels.write([one, two])) == (one, two)
    assert levels.merge([two, one], again, order=list(kernels.KERNELS)) == (again, two)
    with pytest.raises(LabError, match=r"docs/probes\.json can't be read"):
        probes.read('[{"kernel": "6.1"}]')


def test_documents_are_in_step():
    results = probes.read((checkout() / "docs/probes.json").read_text())
    page = (checkout() / "docs/compatibility.md").read_text()
    shown = probes.table(results)
    assert compatibility.splice(page, shown, begin=probes.BEGIN, end=probes.END) == page


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    (made / "probes.json").write_text("[]")
    (made / "compatibility.md").write_text(f"{probes.BEGIN}\n{probes.END}\n")
    monkeypatch.setattr(matrix, "checkout", lambda: tmp_path)
    monkeypatch.setattr(probing, "PAUSE_SECONDS", 0)
    return made


def commands(monkeypatch: pytest.MonkeyPatch, *dead: str, crashes: int = 0) -> list[list[str]]:
    """Play kubectl and numapin: the dead probes fail always, each other one so often at first."""
    asked: list[list[str]] = []

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if argv[0] != sys.executable:
            items = [NUMANODE, NUMANODE] if "numanodes" in argv else [POD]
            return subprocess.CompletedProcess(argv, 0, json.dumps({"items": items}), "")
        probe = argv[argv.index("trace") + 1]
        asked.append(argv)
        times = sum(probe in one for one in asked)
        if probe in dead or times <= crashes:
            return subprocess.CompletedProcess(argv, 1, "", "Error: the agent failed: it is gone")
        if probe == "netfilter":
            error = "Error: the agent on numa-0 refused: no nf_hook_slow (TraceRefused)"
            return subprocess.CompletedProcess(argv, 1, "", error)
        said = answer(probe, "fentry x").model_dump_json(by_alias=True)
        return subprocess.CompletedProcess(argv, 0, said, "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def run(*on: str) -> bool:
    return matrix.run(AnyLab(), versions=(), suites=["probes"], on=on, today=lambda: DAY)  # type: ignore[arg-type]


def test_every_probe_is_asked_once_on_each_kernel(docs, monkeypatch):
    asked = commands(monkeypatch)
    assert run()
    assert len(asked) == len(PROBES) * len(kernels.KERNELS)
    pods = {a[a.index("trace") + 1] for a in asked if "numapin-system/agent-1" in a}
    assert pods == set(PROBES) - probes.ABOUT_NODES
    results = probes.read((docs / "probes.json").read_text())
    assert [r.kernel for r in results] == list(kernels.KERNELS)
    assert results[0].probes["timers"] == Had("fentry")
    assert results[0].probes["netfilter"] == Had("none", "no nf_hook_slow (TraceRefused)")
    assert probes.table(results) in (docs / "compatibility.md").read_text()


def test_a_node_that_crashed_is_asked_again(docs, monkeypatch):
    commands(monkeypatch, crashes=2)
    assert run("6.1")


def test_a_probe_without_an_answer_fails_the_whole_and_is_written_down(docs, monkeypatch):
    commands(monkeypatch, "spike")
    assert not run("6.1")
    (six,) = probes.read((docs / "probes.json").read_text())
    assert six.probes["spike"].level == FAILED
    assert six.probes["timers"] == Had("fentry")
