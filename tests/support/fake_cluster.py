"""An API server in memory, as far as the operator writes to it, with failures on demand."""

import copy
import itertools
import threading
from collections.abc import Iterator
from typing import Any

from numapin_api.errors import ApiError
from numapin_operator.pods import Key
from numapin_operator.store import KINDS, Kind, ObjectKey, Version, object_key

Json = dict[str, Any]


class FakeCluster:
    """Objects by kind and key; every write is remembered.

    Attributes:
        objects_of: what there is.
        writes: method and name of every write, in order.
        fail: so many of the next writes fail.
        no_events: Events can't be made.
        crash_on: writing anything of that name raises what nobody expects.
        quick_agent: what an agent reports of each new pin before the operator's next write.
    """

    def __init__(self) -> None:
        self.objects_of: dict[Kind, dict[ObjectKey, Json]] = {kind: {} for kind in KINDS}
        self.writes: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.fail = 0
        self.no_events = False
        self.crash_on = ""
        self.quick_agent: Json | None = None
        self._versions = itertools.count(1)
        self._lock = threading.Lock()

    # -- for the test -----------------------------------------------------------------

    def put(self, kind: Kind, obj: Json) -> Json:
        """Create or replace an object as anybody else would; returns it as it stands."""
        old = self.objects_of[kind].get(object_key(obj))
        meta = obj["metadata"]
        number = next(self._versions)
        meta.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{number}")
        meta["resourceVersion"] = str(number)
        same_spec = old is not None and old.get("spec") == obj.get("spec")
        generation = old["metadata"]["generation"] if old else 0
        meta["generation"] = generation if same_spec else generation + 1
        self.objects_of[kind][object_key(obj)] = obj
        return copy.deepcopy(obj)

    def remove(self, kind: Kind, key: ObjectKey) -> Json:
        """Delete an object as anybody else would."""
        return self.objects_of[kind].pop(key)

    def pin(self, namespace: str, name: str) -> Json:
        """A NumaPin."""
        return self.objects_of["numapins"][namespace, name]

    # -- what the operator asks of it -------------------------------------------------

    async def apply_pin(self, body: Json) -> Json:
        """Create or change a NumaPin."""
        with self._write("pin", body):
            old = self.objects_of["numapins"].get(object_key(body), {})
            new = copy.deepcopy(body)
            if old:
                new["metadata"]["uid"] = old["metadata"]["uid"]
                if "status" in old:
                    new["status"] = old["status"]
            made = self.put("numapins", new)
            if not old and self.quick_agent is not None:
                observed = {"generation": made["metadata"]["generation"]} | self.quick_agent
                self.put("numapins", copy.deepcopy(made) | {"status": {"observed": observed}})
            return made

    async def apply_pin_status(self, body: Json) -> Json:
        """Change the operator's part of the status."""
        return self._status("numapins", body)

    async def apply_policy_status(self, body: Json) -> Json:
        """Change a NumaPolicy's status."""
        return self._status("numapolicies", body)

    def _status(self, kind: Kind, body: Json) -> Json:
        with self._write(f"{kind} status", body):
            old = self.objects_of[kind].get(object_key(body))
            if old is None:
                raise ApiError("404 not found")
            new = copy.deepcopy(old)
            observed = old.get("status", {}).get("observed")
            new["status"] = copy.deepcopy(body["status"])
            if observed is not None:
                new["status"]["observed"] = observed
            return self.put(kind, new)

    async def delete_pin(self, key: Key, uid: str) -> None:
        """Delete a NumaPin unless another one has its name."""
        with self._write("delete", {"metadata": {"namespace": key.namespace, "name": key.name}}):
            known = self.objects_of["numapins"].get(tuple(key))
            if known is not None and known["metadata"]["uid"] == uid:
                del self.objects_of["numapins"][tuple(key)]

    async def create_event(self, namespace: str, body: Json) -> None:
        """Remember an Event."""
        with self._write("event", body):
            self.events.append((body["involvedObject"]["name"], body["reason"]))

    def pages(self, kind: Kind) -> Iterator[list[Json]]:
        """Everything of a kind, two at a time."""
        found = copy.deepcopy(list(self.objects_of[kind].values()))
        for start in range(0, len(found), 2):
            yield found[start : start + 2]

    def versions(self, kind: Kind) -> Iterator[list[Version]]:
        """The uid and resourceVersion of everything of a kind, two at a time."""
        for page in self.pages(kind):
            yield [
                (object_key(o), o["metadata"]["uid"], o["metadata"]["resourceVersion"])
                for o in page
            ]

    def _write(self, what: str, body: Json) -> threading.Lock:
        with self._lock:
            if self.no_events and what == "event":
                raise ApiError("Events can't be made")
            if self.crash_on and self.crash_on in body["metadata"]["name"]:
                raise RuntimeError("nobody expects this")
            if self.fail > 0:
                self.fail -= 1
                raise ApiError(f"{what}: the API server is away")
            self.writes.append(f"{what} {'/'.join(filter(None, object_key(body)))}")
        return self._lock
