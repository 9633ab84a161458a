"""What is measured, one stage after the other; each gives figures with their units in the names.

The operator is the real one, a process of its own with its default flags. All processes of a
run share this machine, so times are upper bounds: API server, etcd and simulator take CPU
that a cluster would give them elsewhere. CPU and memory are the operator's alone.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Final

from bench.harness import percentile
from bench.operator import OperatorProcess
from bench.scale import shape
from bench.scale.agents import Agents
from bench.scale.api import OWN, AnswerError, Api, spread
from bench.scale.bed import Bed, Json
from bench.scale.legs import legs

WIDTH: Final = 16
EVENTS_PER_SECOND: Final = 50
QUIET_SHARE: Final = 3.0
"""Per cent of a core below which the operator is at rest."""
QUIET_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 4 * 3600.0
SAVED_EVERY: Final = 1000
STAGES: Final = ("plan", "answer", "restart", "rate", "idle")


class Run:
    """One size of cluster.

    Args:
        bed: where it lives.
        api: of its API server.
        size: how big it is.
        seconds: how long a rate is kept up.
        flags: of the operator.
        say: told what goes on.
    """

    def __init__(  # noqa: PLR0913 -- all by keyword
        self,
        *,
        bed: Bed,
        api: Api,
        size: shape.Shape,
        seconds: float,
        flags: tuple[str, ...],
        say: Callable[[str], None],
    ) -> None:
        self._bed, self._api, self._size, self._say = bed, api, size, say
        self._seconds, self._flags = seconds, flags
        self._operator: OperatorProcess | None = None

    async def all(self, only: Collection[str] = STAGES) -> None:
        """Every stage that has no figures yet, in order.

        Args:
            only: stages that are wanted; what one needs of an earlier one must be there.
        """
        await self._populate()
        try:
            stages = (self._plan, self._answer, self._restart, self._rate, self._idle)
            for name, stage in zip(STAGES, stages, strict=True):
                if name in self._bed.results or name not in only:
                    continue
                self._say(f"{self._size.label}: {name}")
                self._bed.results[name] = await stage()
                self._bed.save()
                self._say(f"  {self._bed.results[name]}")
        finally:
            self._stop()

    # -- the operator -----------------------------------------------------------------

    async def _started(self) -> OperatorProcess:
        """The operator, at rest."""
        if self._operator is None:
            self._operator = OperatorProcess(self._bed.plane.kubeconfig, *self._flags)
            await asyncio.to_thread(self._operator.ready, LONGEST_SECONDS)
            await self._quiet()
        return self._operator

    async def _quiet(self) -> None:
        """Return when the operator has been at rest for a while."""
        assert self._operator is not None
        process = self._operator.process
        while await asyncio.to_thread(process.cpu_percent, QUIET_SECONDS) > QUIET_SHARE:
            continue

    def _stop(self) -> None:
        if self._operator is not None:
            self._operator.stop()
            self._operator = None

    # -- the objects ------------------------------------------------------------------

    async def _populate(self) -> None:
        """Nodes, policies and pods; goes on where it stopped."""
        size = self._size
        for kind, count, make in (
            ("namespaces", shape.NAMESPACES, self._make_namespace),
            ("nodes", size.nodes, self._make_node),
            ("policies", size.policies, self._make_policy),
            ("unlabelled", size.unlabelled, lambda n: self._make_pod("u", n, labelled=False)),
            ("labelled", size.labelled, lambda n: self._make_pod("p", n, labelled=True)),
        ):
            begun, first = time.monotonic(), self._bed.made.get(kind, 0)
            for start in range(first, count, SAVED_EVERY):
                await spread(range(start, min(start + SAVED_EVERY, count)), make, WIDTH)
                self._bed.made[kind] = min(start + SAVED_EVERY, count)
                self._bed.save()
            if count > first:
                self._say(f"{count - first} {kind} in {time.monotonic() - begun:.0f} s")

    async def _make_namespace(self, number: int) -> None:
        head = {"apiVersion": "v1", "kind": "Namespace"}
        body = head | {"metadata": {"name": shape.namespace(number)}}
        await self._api.make("/api/v1/namespaces", body)

    async def _make_node(self, number: int) -> None:
        head = shape.node(number)
        path = f"{OWN}/numanodes/{head['metadata']['name']}"
        await self._api.apply(path, head)
        await self._api.apply(f"{path}/status", head | {"status": shape.node_status()})

    async def _make_policy(self, number: int) -> None:
        await self._api.make(f"{OWN}/numapolicies", shape.policy(number))

    async def _make_pod(self, prefix: str, number: int, *, labelled: bool) -> float:
        body = shape.pod(f"{prefix}-{number}", number, self._size, labelled=labelled)
        await self._api.make(f"/api/v1/namespaces/{shape.namespace(number)}/pods", body)
        return time.monotonic()

    async def _remove_pod(self, prefix: str, number: int) -> None:
        path = f"/api/v1/namespaces/{shape.namespace(number)}"
        await self._api.call("DELETE", f"{path}/pods/{prefix}-{number}?gracePeriodSeconds=0")

    # -- stages -----------------------------------------------------------------------

    async def _plan(self) -> Json:
        """All pods are there, no pin is: until the last pod has its pin, and until quiet."""
        # A run that was broken off here may have left pins; they would be no first plan.
        for number in range(shape.NAMESPACES):
            path = f"{OWN}/namespaces/{shape.namespace(number)}/numapins"
            await self._api.call("DELETE", path)
        mark = self._bed.audit_mark()
        operator = OperatorProcess(self._bed.plane.kubeconfig, *self._flags)
        self._operator = operator
        while (there := await self._api.count(f"{OWN}/numapins")) < self._size.labelled:
            if operator.process.poll() is not None:
                raise RuntimeError(f"the operator ended with status {operator.process.returncode}")
            passed = time.monotonic() - operator.begun
            await asyncio.sleep(_pause(there, self._size.labelled, passed))
        planned, used = time.monotonic() - operator.begun, operator.cpu_seconds()
        memory = operator.megabytes()
        await self._quiet()
        return {
            "plannedSeconds": planned,
            "plannedCpuSeconds": used,
            "plannedMegabytes": memory,
            "quietSeconds": time.monotonic() - operator.begun,
            "quietCpuSeconds": operator.cpu_seconds(),
            "quietMegabytes": operator.megabytes(),
            "peakMegabytes": operator.peak_megabytes(),
            "writes": _tally(self._bed.writes(mark)),
        }

    async def _answer(self) -> Json:
        """Agents answer every pin until every one is Verified."""
        operator = await self._started()
        mark, begun, before = self._bed.audit_mark(), time.monotonic(), operator.cpu_seconds()
        names = {f"p-{number}" for number in range(self._size.labelled)}
        async with Agents(self._api, of="p-") as agents:
            await agents.until(names, "Verified", LONGEST_SECONDS)
            await self._quiet()
        return {
            "seconds": time.monotonic() - begun,
            "cpuSeconds": operator.cpu_seconds() - before,
            "megabytes": operator.megabytes(),
            "peakMegabytes": operator.peak_megabytes(),
            "writes": _tally(self._bed.writes(mark)),
        }

    async def _restart(self) -> Json:
        """A new operator with everything in place: it must write nothing."""
        await self._started()
        self._stop()
        mark = self._bed.audit_mark()
        operator = OperatorProcess(self._bed.plane.kubeconfig, *self._flags)
        self._operator = operator
        healthy = await asyncio.to_thread(operator.ready, LONGEST_SECONDS)
        await self._quiet()
        return {
            "healthySeconds": healthy,
            "quietSeconds": time.monotonic() - operator.begun,
            "cpuSeconds": operator.cpu_seconds(),
            "megabytes": operator.megabytes(),
            "peakMegabytes": operator.peak_megabytes(),
            "writes": _tally(self._bed.writes(mark)),
        }

    async def _rate(self) -> Json:
        """Pods come at a rate, are answered and verified, and go again: whole lives of pins."""
        operator = await self._started()
        mark, before = self._bed.audit_mark(), operator.cpu_seconds()
        count = int(self._seconds * EVENTS_PER_SECOND)
        made: dict[str, float] = {}
        prefix = f"r{int(time.time())}"  # a run that was broken off may have left some

        async def make(number: int) -> None:
            made[f"{prefix}-{number}"] = await self._make_pod(prefix, number, labelled=True)

        async with Agents(self._api, of=prefix) as agents:
            begun = time.monotonic()
            await _at_rate(make, count)
            took = time.monotonic() - begun
            await agents.until(set(made), "Verified", LONGEST_SECONDS)
            seen = dict(agents.first_seen)
            await self._quiet()
            used = operator.cpu_seconds() - before
            await _at_rate(lambda number: self._remove(prefix, number), count)
            while await self._api.count(f"{OWN}/numapins") > self._size.labelled:
                await asyncio.sleep(0.5)
            await self._quiet()
        # The watch may tell of a pin before the creation of its pod was answered to us.
        latencies = [max(0.0, seen[name] - at) * 1000 for name, at in made.items()]
        return {
            "podsPerSecond": count / took,
            "p50Milliseconds": percentile(latencies, 50),
            "p99Milliseconds": percentile(latencies, 99),
            "legs": legs(self._bed.entries(mark), prefix),
            "cpuMillisecondsPerPod": used / count * 1000,
            "cpuMillisecondsPerLife": (operator.cpu_seconds() - before) / count * 1000,
            "requestsPerPin": _per_pin(self._bed.writes(mark), prefix) / count,
            "writes": _tally(self._bed.writes(mark)),
        }

    async def _remove(self, prefix: str, number: int) -> None:
        """A pod goes, and the garbage collector takes its pin."""
        await self._remove_pod(prefix, number)
        path = f"{OWN}/namespaces/{shape.namespace(number)}/numapins/{prefix}-{number}"
        try:
            await self._api.call("DELETE", path)
        except AnswerError as refused:
            if refused.status != 404:
                raise

    async def _idle(self) -> Json:
        """CPU at rest, and while pods without the label come and go at the same rate."""
        operator = await self._started()
        before, begun = operator.cpu_seconds(), time.monotonic()
        await asyncio.sleep(self._seconds)
        rest = (operator.cpu_seconds() - before) / (time.monotonic() - begun)
        prefix = f"x{int(time.time())}"

        async def pass_by(number: int) -> None:
            await self._make_pod(prefix, number, labelled=False)
            await self._remove_pod(prefix, number)

        count = int(self._seconds * EVENTS_PER_SECOND)
        before, begun = operator.cpu_seconds(), time.monotonic()
        await _at_rate(pass_by, count)
        took = time.monotonic() - begun
        return {
            "restCpuPercent": rest * 100,
            "unlabelledCpuPercent": (operator.cpu_seconds() - before) / took * 100,
            "unlabelledPodsPerSecond": count / took,
        }


def _pause(there: int, wanted: int, passed: float) -> float:
    """Seconds until it is worth counting again: to count, or to watch, takes CPU from the plan."""
    return min(10.0, max(0.5, passed * (wanted - there) / max(1, there) / 4))


async def _at_rate(work: Callable[[int], object], count: int) -> None:
    """Begin that many pieces of work, ``EVENTS_PER_SECOND``, whether or not earlier ones end."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number / EVENTS_PER_SECOND - time.monotonic()))
            group.create_task(work(number))  # type: ignore[arg-type]


def _tally(writes: Iterable[Json]) -> dict[str, int]:
    """How many writes there were, by what was written."""
    return dict(Counter(_what(entry) for entry in writes))


def _what(entry: Json) -> str:
    of = entry["objectRef"]
    return "/".join(filter(None, (entry["verb"], of["resource"], of.get("subresource"))))


def _per_pin(writes: Iterable[Json], prefix: str) -> int:
    """Writes for pods of that prefix, their Events included."""
    return sum(str(e["objectRef"].get("name", "")).startswith(f"{prefix}-") for e in writes)
