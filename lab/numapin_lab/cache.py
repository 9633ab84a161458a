"""A cache by content: an artefact's name is the hash of all that it was made from.

Shared by all clones of a user, safe when several build at once (one lock per artefact), and
a half-written artefact is never taken for a whole one (made aside, then renamed).
Deliberately no expiry by time: `lab clean --cache` and the newest-few rule bound its size.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_KEY_LENGTH = 20


def key_of(inputs: Mapping[str, str]) -> str:
    """Key of an artefact made from named inputs (values, or hashes of files)."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:_KEY_LENGTH]


def hash_tree(*roots: Path) -> str:
    """Hash of files and folders: relative names, executable bits and contents.

    Compiled Python and caches are left out: they change without a change of meaning.
    """
    digest = hashlib.sha256()
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.suffix == ".pyc" or "__pycache__" in path.parts or not path.is_file():
                continue
            name = path.name if path == root else str(path.relative_to(root))
            executable = os.access(path, os.X_OK)
            digest.update(f"{name}\0{executable}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Cache:
    """Artefacts as directories `KIND-KEY` under one root.

    Attributes:
        root: made when missing.
        keep: how many of a kind stay, the newest used ones.
    """

    root: Path
    keep: int = 4

    def path(self, kind: str, inputs: Mapping[str, str]) -> Path:
        """Where the artefact is or would be."""
        return self.root / f"{kind}-{key_of(inputs)}"

    def ensure(self, kind: str, inputs: Mapping[str, str], build: Callable[[Path], None]) -> Path:
        """Return the artefact, built first when it is missing.

        Args:
            kind: short name, the prefix of its directory.
            inputs: everything it depends on.
            build: fills the empty directory that it is given; its errors pass through and
                leave nothing behind.
        """
        final = self.path(kind, inputs)
        if not final.exists():
            with self.locked(final.name):
                if not final.exists():
                    self._build(final, inputs, build)
                    self._drop_old(kind, final)
        os.utime(final)
        return final

    def _build(self, final: Path, inputs: Mapping[str, str], build: Callable[[Path], None]) -> None:
        aside = self.root / f".building-{final.name}"
        # Holding the lock, a directory found here is what an interrupted build left.
        remove_tree(aside)
        aside.mkdir(parents=True)
        try:
            build(aside)
            (aside / ".inputs.json").write_text(json.dumps(inputs, indent=1, sort_keys=True))
            aside.rename(final)
        finally:
            remove_tree(aside)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Let one process at a time do what `name` stands for."""
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _drop_old(self, kind: str, final: Path) -> None:
        """Keep the newest used; a running QEMU keeps an unlinked disk open, so this is safe."""
        # A kind may begin with another one's name, so the key's length counts.
        found = [p for p in self.root.glob(f"{kind}-{'?' * _KEY_LENGTH}") if p != final]
        for old in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)[self.keep - 1 :]:
            remove_tree(old)


def remove_tree(path: Path) -> None:
    """Remove a directory if it is there."""
    if path.exists():
        shutil.rmtree(path)
