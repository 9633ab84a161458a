"""Which commit something was made from, as its image says it.

The last commit that changed one of its sources, not the newest one: a commit that changes only
documents then leaves the image as it is.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

UNKNOWN = "unknown"


def of(checkout: Path, sources: Sequence[str]) -> str:
    """Commit that last changed the sources, with "-dirty" when they have changed since.

    Args:
        checkout: root of the working tree.
        sources: paths in it.

    Returns:
        A commit's hash, or UNKNOWN when this is no git checkout.
    """
    commit = _git(checkout, "log", "-1", "--format=%H", "--", *sources)
    if not commit:
        return UNKNOWN
    changed = _git(checkout, "status", "--porcelain", "--", *sources)
    return f"{commit}-dirty" if changed else commit


def _git(checkout: Path, *args: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", checkout, *args], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
