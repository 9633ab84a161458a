"""The operator's parts joined around a fake API server and a clock that tests turn."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from support.fake_cluster import FakeCluster
from support.operator_objects import pod as manifest
from support.operator_objects import two_sockets

from numapin_api.names import API_VERSION
from numapin_api.policy import NumaPolicySpec
from numapin_operator.informer import Informer
from numapin_operator.metrics import Metrics
from numapin_operator.reconcile import Reconciler
from numapin_operator.store import Kind, ObjectKey, Store, object_key

Json = dict[str, Any]
START = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


@dataclass
class Parts:
    """One life of the operator; several may follow each other around one cluster."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    seconds: float = 0.0
    store: Store = field(default_factory=Store)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.reconciler = Reconciler(
            self.store,
            self.cluster,
            default=NumaPolicySpec(),
            metrics=self.metrics,
            now=lambda: START + timedelta(seconds=self.seconds),
            clock=lambda: self.seconds,
        )
        self.informer = Informer(
            self.store, self.cluster, self.reconciler, metrics=self.metrics, sleep=self._sleep
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    # -- what the operator does -------------------------------------------------------

    def start(self) -> "Parts":
        """List everything and work it off."""
        asyncio.run(self.informer.sync())
        self.settle()
        return self

    def settle(self, seconds: float = 1000.0) -> None:
        """Work off all that becomes due within so many seconds, in no time."""

        async def work() -> None:
            until = self.seconds + seconds
            while self.seconds < until:
                while await self.reconciler.work_once():
                    pass
                self.seconds += 1.0

        asyncio.run(work())

    def again(self) -> "Parts":
        """A new operator on the same cluster."""
        return Parts(self.cluster, self.seconds).start()

    def time(self) -> str:
        """Now, as the API writes it."""
        return (START + timedelta(seconds=self.seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    # -- what it is told --------------------------------------------------------------

    def tell(self, kind: Kind, obj: Json) -> Json:
        """Somebody makes or changes an object, and the watch says so."""
        made = self.cluster.put(kind, obj)
        self.informer.heard(kind, {"type": "MODIFIED", "object": made})
        return made

    def tell_gone(self, kind: Kind, key: ObjectKey) -> None:
        """Somebody deletes an object (or a pod's label), and the watch says so."""
        gone = self.cluster.remove(kind, key)
        self.informer.heard(kind, {"type": "DELETED", "object": gone})

    def pod(self, name: str, *, namespace: str = "default", **more: Any) -> Json:
        """A labelled pod appears."""
        made = manifest(name, **more)
        made["metadata"]["namespace"] = namespace
        return self.tell("pods", made)

    def node(self, name: str = "numa-0", status: Json | None = None) -> Json:
        """An agent reports."""
        return self.tell(
            "numanodes",
            {
                "apiVersion": API_VERSION,
                "kind": "NumaNode",
                "metadata": {"name": name},
                "status": status or two_sockets(),
            },
        )

    def policy(self, name: str, **spec: Any) -> Json:
        """A user makes a policy."""
        return self.tell(
            "numapolicies",
            {
                "apiVersion": API_VERSION,
                "kind": "NumaPolicy",
                "metadata": {"name": name},
                "spec": spec,
            },
        )

    def observe(self, name: str, report: Json, *, namespace: str = "default") -> None:
        """An agent reports of a pin."""
        found = self.cluster.pin(namespace, name)
        report = {"generation": found["metadata"]["generation"]} | report
        self.tell("numapins", found | {"status": found.get("status", {}) | {"observed": report}})

    # -- what came of it --------------------------------------------------------------

    def pin(self, name: str, namespace: str = "default") -> Json | None:
        """A pin, or None."""
        return self.cluster.objects_of["numapins"].get((namespace, name))

    def sockets(self) -> dict[str, int | None]:
        """The socket of every pin."""
        return {
            object_key(p)[1]: p["spec"].get("socket")
            for p in self.cluster.objects_of["numapins"].values()
        }

    def reason(self, name: str) -> str:
        """Of the condition Pinned of a pod's pin."""
        conditions = self.cluster.pin("default", name)["status"]["conditions"]
        return str(next(c["reason"] for c in conditions if c["type"] == "Pinned"))

    def verdicts(self) -> dict[str, str]:
        """The verdict of every pin."""
        return {
            object_key(p)[1]: p["status"]["verdict"]
            for p in self.cluster.objects_of["numapins"].values()
        }
