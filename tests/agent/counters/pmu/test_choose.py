"""What is tried on a machine, from files of its /proc and /sys; nothing here opens an event."""

from pathlib import Path

import pytest
from support.machines import machine

from numapin_agent.counters.pmu import choose as module
from numapin_agent.counters.pmu.choose import NOT_ASKED, UNTOLD, choose
from numapin_agent.counters.pmu.select import Candidate
from numapin_agent.hostpaths import HostPaths

MILAN = (Path(__file__).parent / "data" / "milan.cpuinfo").read_text()
TWO = machine("S0[N0 0 1G] S1[N1 1 1G]")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostPaths:
    """A machine whose kernel takes every event."""
    monkeypatch.setattr(module, "try_pair", lambda candidate, cpus: None)
    found = HostPaths(tmp_path)
    (found.event_sources / "cpu" / "format").mkdir(parents=True)
    (found.event_sources / "cpu" / "type").write_text("4\n")
    for name in ("event", "umask"):
        (found.event_sources / "cpu" / "format" / name).write_text("config:0-7\n")
    found.proc.mkdir()
    found.cpuinfo.write_text(MILAN)
    found.cgroup.mkdir(parents=True)
    return found


def chosen(paths: HostPaths, *, asked: bool = True) -> Candidate | str:
    return choose(paths, TWO, asked=asked, one_node_per_socket=True)


def test_on_v2_the_first_event_that_the_kernel_takes(paths):
    (paths.cgroup / "cgroup.controllers").write_text("cpuset memory\n")
    found = chosen(paths)
    assert isinstance(found, Candidate)
    assert found.caveat == "reads of devices among them"
    said = f"{NOT_ASKED}: this CPU may have {found.pair.name}"
    assert chosen(paths, asked=False) == said


def test_on_v1_only_where_switches_between_pods_are_told(paths):
    (paths.cgroup / "memory").mkdir()
    assert chosen(paths) == UNTOLD
    assert chosen(paths, asked=False) == f"{NOT_ASKED}, and {UNTOLD}"
    (paths.cgroup / "perf_event").mkdir()
    assert isinstance(chosen(paths), Candidate)
