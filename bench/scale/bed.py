"""The control plane of a run, its audit log, and what a run has found so far.

All of it lives in one directory, so that a run that was broken off goes on where it stopped:
etcd keeps the objects, ``state.json`` how many pods were made and what was measured.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from bench.scale.api import USER_AGENT

from numapin_lab import binaries
from numapin_lab.controlplane import ControlPlane

Json = dict[str, Any]

WRITES: Final = ("create", "update", "patch", "delete", "deletecollection")
# What numapin writes, and when pods were made: half a kilobyte each.
_POLICY: Final[Json] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": list(WRITES),
            "resources": [{"group": "numapin.io"}, {"group": "", "resources": ["events"]}],
        },
        {
            "level": "Metadata",
            "verbs": [v for v in WRITES if v != "delete"],
            "resources": [{"group": "", "resources": ["pods"]}],
        },
        {"level": "None"},
    ],
}


class Bed:
    """Where a run lives.

    Args:
        directory: made when missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        policy = directory / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(_POLICY))
        self._audit = directory / "audit.log"
        self.plane = ControlPlane(
            directory / "plane",
            programs=binaries.ensure(),
            apiserver_args=(
                # Nothing here makes service accounts, and pods would wait for theirs.
                "--disable-admission-plugins=ServiceAccount",
                f"--audit-policy-file={policy}",
                f"--audit-log-path={self._audit}",
                "--audit-log-mode=blocking",
                # In megabytes: rotated at 100, the place of a mark would be in another file.
                "--audit-log-maxsize=100000",
                # The simulator's thousands of creations must not queue before the operator's.
                "--max-mutating-requests-inflight=1000",
                "--event-ttl=24h",
            ),
            # Its default, 2 GiB, is too little for 300,000 pods.
            etcd_args=("--quota-backend-bytes=12884901888",),
            start_seconds=600,  # a later start reads all objects, perhaps beside other work
        )
        self._state_file = directory / "state.json"
        found = json.loads(self._state_file.read_text()) if self._state_file.exists() else {}
        self.made: dict[str, int] = found.get("made", {})
        self.results: dict[str, Json] = found.get("results", {})

    def save(self) -> None:
        """Write down how far the run is; whole or not at all."""
        aside = self._state_file.with_suffix(".new")
        aside.write_text(json.dumps({"made": self.made, "results": self.results}, indent=1))
        aside.rename(self._state_file)

    def audit_mark(self) -> int:
        """A place in the audit log, for ``writes``."""
        return self._audit.stat().st_size if self._audit.exists() else 0

    def entries(self, since: int) -> Iterator[Json]:
        """What is in the audit log from a mark on."""
        with self._audit.open("rb") as file:
            file.seek(since)
            yield from map(json.loads, file)

    def writes(self, since: int) -> Iterator[Json]:
        """The operator's writes from a mark on."""
        return filter(by_operator, self.entries(since))


def by_operator(entry: Json) -> bool:
    """Whether the operator wrote it, not the simulator or the API server itself."""
    return entry.get("userAgent") != USER_AGENT and entry["user"]["username"] == "admin"
