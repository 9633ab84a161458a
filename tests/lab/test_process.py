import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_lab.process import Process, spawn, stop


@pytest.mark.parametrize("detached", [True, False])
def test_starts_and_ends(tmp_path: Path, detached: bool) -> None:
    process = spawn(["sleep", "60"], log=tmp_path / "logs" / "log", detached=detached)
    assert process.alive()
    stop(process)
    assert not process.alive()
    # Reaped: the id is free again, not a zombie's.
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn(["sh", "-c", "echo out; echo err >&2"], log=log, detached=True)
    os.waitpid(process.pid, 0)
    assert log.read_text() == "out\nerr\n"


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    script = f"trap '' TERM; echo > {ready}; while :; do sleep 1; done"
    process = spawn(["sh", "-c", script], log=tmp_path / "log", detached=True)
    ready.read_text()
    stop(process, grace_seconds=0.2)
    assert not process.alive()


def test_somebody_else_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    process = spawn(["sleep", "60"], log=tmp_path / "log", detached=True)
    try:
        stop(replace(process, started=process.started - 1))
        assert process.alive()
        stop(replace(process, boot="another"))
        assert process.alive()
    finally:
        stop(process)


def test_a_process_that_ended_by_itself(tmp_path: Path) -> None:
    process = spawn(["sleep", "60"], log=tmp_path / "log", detached=True)
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    assert not process.alive()
    stop(process)


def test_no_such_program(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-program is not installed"):
        spawn(["no-such-program"], log=tmp_path / "log", detached=True)


def test_no_such_process() -> None:
    with pytest.raises(LabError, match="there is no process 4194305"):
        Process.of(4194305)  # one above the kernel's PID_MAX_LIMIT


def test_a_lock_that_we_were_started_with_is_not_held_by_what_outlives_us(tmp_path: Path):
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        process = spawn(["sleep", "60"], log=tmp_path / "log", detached=True)
        try:
            held = {str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
            # A program that has just begun may be reading a file of its own, like its locale.
            assert {os.devnull, str(tmp_path / "log")} <= held
            assert str(tmp_path / "lock") not in held
        finally:
            stop(process)
