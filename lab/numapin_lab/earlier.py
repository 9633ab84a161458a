"""Source tree of another commit, to build what an upgrade begins with.

While nothing is released, an earlier commit stands for the version before.
"""

import io
import subprocess
import tarfile
from pathlib import Path

from numapin_api.errors import LabError


def export(checkout: Path, commit: str, *, into: Path) -> None:
    """Unpack a commit's files.

    Args:
        checkout: a git working tree.
        commit: as git names it.
        into: an empty directory.

    Raises:
        LabError: git knows no such commit.
    """
    done = subprocess.run(
        ["git", "-C", checkout, "archive", "--format=tar", commit],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise LabError(f"commit {commit!r} can't be had from {checkout}: {said}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
