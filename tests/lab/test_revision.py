import subprocess
from pathlib import Path

import pytest

from numapin_api.errors import LabError
from numapin_lab import earlier, revision


def git(folder: Path, *args: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    argv = ["git", "-C", str(folder), *who, *args]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    git(folder, "add", name)
    git(folder, "commit", "-q", "-m", f"change {name}")
    return git(folder, "rev-parse", "HEAD")


def test_the_commit_that_changed_a_source(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    code = commit(tmp_path, "code", "1")
    commit(tmp_path, "documents", "1")
    assert revision.of(tmp_path, ["code"]) == code
    (tmp_path / "documents").write_text("2")
    assert revision.of(tmp_path, ["code"]) == code
    (tmp_path / "code").write_text("2")
    assert revision.of(tmp_path, ["code"]) == f"{code}-dirty"


def test_no_checkout(tmp_path: Path) -> None:
    assert revision.of(tmp_path, ["code"]) == revision.UNKNOWN


def test_files_of_another_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    first = commit(tmp_path, "code", "1")
    commit(tmp_path, "code", "2")
    earlier.export(tmp_path, first, into=tmp_path / "out")
    assert (tmp_path / "out" / "code").read_text() == "1"


def test_no_such_commit_is_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with pytest.raises(LabError, match="'v0' can't be had from"):
        earlier.export(tmp_path, "v0", into=tmp_path / "out")
