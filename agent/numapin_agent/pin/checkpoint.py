"""One small file per pinned pod, written before the pod's cgroup is.

So a crash at any step loses no pin and leaves none unaccounted for. The directory is on
/run: a reboot clears it just as it clears the cgroups.
"""

import json
import logging
import os
from pathlib import Path

from numapin_agent.cgroup.names import valid_uid
from numapin_agent.pin.values import Record
from numapin_api.errors import CpuListError, StateError

log = logging.getLogger(__name__)

_SUFFIX = ".json"


class Checkpoint:
    """Records of pinned pods in a directory.

    Args:
        directory: made when the first record is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def uids(self) -> tuple[str, ...]:
        """UIDs of all pods on file, also of those whose record can't be read."""
        try:
            names = [p.name for p in self._directory.iterdir() if p.suffix == _SUFFIX]
        except FileNotFoundError:
            return ()
        except OSError as e:
            raise StateError(f"{self._directory}: {e.strerror}") from e
        uids = (name.removesuffix(_SUFFIX) for name in names)
        return tuple(sorted(uid for uid in uids if valid_uid(uid)))

    def load(self, uid: str) -> Record | None:
        """A pod's record; None when there is none.

        Raises:
            StateError: it is there but can't be read or understood.
        """
        path = self._path(uid)
        try:
            return Record.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except OSError as e:
            raise StateError(f"{path}: {e.strerror}") from e
        except (StateError, CpuListError, ValueError) as e:
            raise StateError(f"{path}: {e}") from e

    def save(self, record: Record) -> None:
        """Write a record so that after a crash either the old or the new one is there.

        Raises:
            StateError: it can't be written.
        """
        path = self._path(record.uid)
        temporary = path.with_suffix(".tmp")
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with temporary.open("w", encoding="utf-8") as f:
                json.dump(record.to_json(), f)
                f.flush()
                os.fsync(f.fileno())
            temporary.replace(path)
        except OSError as e:
            raise StateError(f"{path}: {e.strerror}") from e

    def forget(self, uid: str) -> None:
        """Remove a pod's record, if there is one.

        Raises:
            StateError: it can't be removed.
        """
        path = self._path(uid)
        try:
            path.unlink(missing_ok=True)
        except OSError as e:
            raise StateError(f"{path}: {e.strerror}") from e

    def _path(self, uid: str) -> Path:
        if not valid_uid(uid):
            raise StateError(f"pod UID {uid!r} may only hold letters, digits and -")
        return self._directory / f"{uid}{_SUFFIX}"
