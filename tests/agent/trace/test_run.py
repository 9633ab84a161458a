"""Whom a trace is about, and who is told of."""

from pathlib import Path

import pytest

from numapin_agent.hostpaths import HostPaths
from numapin_agent.trace import run as runner
from numapin_agent.trace.question import Question, Scope
from numapin_agent.trace.run import run, scope_of
from numapin_api.errors import TraceError


@pytest.mark.parametrize("whole", [True, False])
def test_names_are_read_of_the_scopes_processes_alone(tmp_path: Path, monkeypatch, whole):
    """Whoever gives a scope need not think of it."""
    (tmp_path / "cgroup.controllers").touch()
    directory = tmp_path / "pods/ours"
    directory.mkdir(parents=True)
    scope = Scope() if whole else scope_of(directory, tmp_path, "pod a/b")
    given = []

    def machine(*arguments: object) -> None:
        given.extend(arguments)
        raise TraceError("far enough")

    monkeypatch.setattr(runner, "Machine", machine)
    with pytest.raises(TraceError, match="far enough"):
        run(Question("timers"), scope, seconds=1, paths=HostPaths(tmp_path))
    assert given[2] == (None if whole else directory)
