import io
from pathlib import Path

import pytest
from rich.console import Console

from numapin_api.errors import LabError
from numapin_lab.steps import Steps, run, tail


def test_a_step_tells_its_time() -> None:
    out = io.StringIO()
    steps = Steps(Console(file=out))
    with steps.step("guest root"):
        pass
    assert "guest root" in steps.seconds
    begun, ended = out.getvalue().splitlines()
    assert begun == "· guest root …"
    assert ended.startswith("✓ guest root")
    assert ended.endswith(" s")


def test_a_failed_step_is_marked_and_not_timed() -> None:
    out = io.StringIO()
    steps = Steps(Console(file=out))
    with pytest.raises(LabError), steps.step("disk"):
        raise LabError("no room")
    assert "✗ disk" in out.getvalue()
    assert steps.seconds == {}


def test_a_failed_command_names_its_log_and_shows_the_end(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    with pytest.raises(LabError) as caught:
        run(["sh", "-c", "echo compiling; echo no space left >&2; exit 3"], log=log)
    said = str(caught.value)
    assert "sh failed with status 3" in said
    assert str(log) in said
    assert said.endswith("compiling\nno space left")


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-program is not installed"):
        run(["no-such-program"], log=tmp_path / "log")


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("".join(f"line {n}\r\n" for n in range(10_000)))
    assert tail(log, 2) == "line 9998\nline 9999"
