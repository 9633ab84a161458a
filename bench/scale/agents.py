"""Plays every node's agent: answers pins.

An agent answers a new pin at once (pinned) and, as if its window had passed in no time, once
more with a whole window's figures when the operator has said Pending. Real agents write
through the same server-side apply; what real ones need is measured by bench/agent.py.
"""

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import Any, Self

from bench.scale import shape
from bench.scale.api import OWN, Api, Json

WIDTH = 8


def wanted(pin: Json, *, now: datetime) -> bool | None:
    """Whether the agent has something to say: False pinned, True figures, None nothing.

    Figures of a run that was broken off long ago are told anew.

    Args:
        pin: the NumaPin.
        now: wall clock.
    """
    if pin["spec"].get("mems") is None:
        return None
    status = pin.get("status") or {}
    said = status.get("observed") or {}
    if said.get("generation") != pin["metadata"]["generation"]:
        return False
    if "counters" in said and shape.current(said["counters"], now=now):
        return None
    pinned = any(
        c["type"] == "Pinned" and c["status"] == "True" for c in status.get("conditions") or ()
    )
    return True if pinned else None


def _slim(pin: Json) -> Json:
    """What an answer needs of a pin: at the start, 100,000 of them may wait for theirs."""
    return {
        "metadata": {k: pin["metadata"][k] for k in ("name", "namespace", "generation")},
        "spec": {k: pin["spec"][k] for k in ("cpus", "mems")},
    }


class Agents:
    """A watch of all pins and the answers to them; to be used as a context.

    Args:
        api: of the API server.
        of: pins whose names begin so are answered.

    Attributes:
        first_seen: when each pin was first heard of, seconds of ``time.monotonic``.
        verdicts: the last verdict heard of each pin.
    """

    def __init__(self, api: Api, *, of: str) -> None:
        self._api, self._of = api, of
        self.first_seen: dict[str, float] = {}
        self.verdicts: dict[str, str] = {}
        self._queue: asyncio.Queue[tuple[Json, bool]] = asyncio.Queue()
        self._reached = asyncio.Event()
        self._left: set[str] = set()
        self._verdict: str | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        version = ""
        async for page in self._api.pages(f"{OWN}/numapins"):
            version = page["metadata"]["resourceVersion"]
            for pin in page["items"]:
                self._hear(pin)
        self._tasks = [asyncio.create_task(self._listen(version))]
        self._tasks += [asyncio.create_task(self._work()) for _ in range(WIDTH)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, names: set[str], verdict: str | None, seconds: float) -> None:
        """Return when all those pins exist, or all have a verdict.

        Raises:
            TimeoutError: they did not in that time.
        """
        self._verdict = verdict
        have = self.first_seen if verdict is None else self.verdicts
        self._left = {n for n in names if n not in have or verdict not in {None, have[n]}}
        try:
            async with asyncio.timeout(seconds):
                while self._left:
                    self._reached.clear()
                    await self._await_change()
        except TimeoutError as late:
            raise TimeoutError(f"{len(self._left)} of {len(names)} pins not {verdict}") from late

    async def _await_change(self) -> None:
        watcher = asyncio.create_task(self._reached.wait())
        try:
            done, _ = await asyncio.wait(
                [watcher, *self._tasks], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {watcher}:
                task.result()  # raises what ended it
        finally:
            watcher.cancel()

    async def _listen(self, version: str) -> None:
        async for event in self._api.watch(f"{OWN}/numapins", version):
            if event["type"] == "DELETED":
                name = event["object"]["metadata"]["name"]
                self.first_seen.pop(name, None)
                self.verdicts.pop(name, None)
            else:
                self._hear(event["object"])

    def _hear(self, pin: Json) -> None:
        name = pin["metadata"]["name"]
        self.first_seen.setdefault(name, time.monotonic())
        self.verdicts[name] = verdict = (pin.get("status") or {}).get("verdict") or ""
        if name in self._left and self._verdict in {None, verdict}:
            self._left.discard(name)
            if not self._left:
                self._reached.set()
        if name.startswith(self._of) and (window := wanted(pin, now=datetime.now(UTC))) is not None:
            self._queue.put_nowait((_slim(pin), window))

    async def _work(self) -> None:
        while True:
            pin, window = await self._queue.get()
            meta: dict[str, Any] = pin["metadata"]
            path = f"{OWN}/namespaces/{meta['namespace']}/numapins/{meta['name']}/status"
            await self._api.apply(path, shape.observed(pin, now=datetime.now(UTC), window=window))
