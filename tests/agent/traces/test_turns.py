"""The runner gives turns as ``fair`` says, and remembers how long each trace ran."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.wait import until

from numapin_agent.hostpaths import HostPaths
from numapin_agent.pods import PodView
from numapin_agent.traces import runner
from numapin_agent.traces.launch import Answer
from numapin_agent.traces.runner import Limits, Traces


class Objects:
    """A collection that does not change while it is watched."""

    def __init__(self, *asked: tuple[str, int]) -> None:
        self.items = [
            {
                "apiVersion": "numapin.io/v1alpha1",
                "kind": "NumaTrace",
                "metadata": {
                    "name": f"t{number}",
                    "namespace": namespace,
                    "uid": f"uid-{number}",
                    "creationTimestamp": f"2026-11-25T12:00:{number:02}Z",
                },
                "spec": {
                    "nodeName": "numa-0",
                    "podName": "redis",
                    "probe": "softirqs",
                    "durationSeconds": seconds,
                },
            }
            for number, (namespace, seconds) in enumerate(asked)
        ]
        self.over = threading.Event()

    def list(self) -> tuple[str, list[Any]]:
        return "1", self.items

    def watch(self, version: str) -> Any:
        self.over.wait()
        return iter(())


class World:
    """Traces whose processes take as long as they are asked to, by a clock of ours."""

    def __init__(self, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.killed: list[str] = []
        self.hang = False
        monkeypatch.setattr(runner, "Job", self.job)
        nothing = SimpleNamespace(write=lambda *_: None, forget=lambda _: None)
        self.traces = Traces(
            source=objects,
            pods=lambda: {("shop", "redis"): PodView(), ("bank", "redis"): PodView()},
            find=lambda _: Path("/"),
            paths=HostPaths(),
            store=Path("/"),
            node="numa-0",
            limits=Limits(1, "numapin-system"),
            statuses=nothing,  # type: ignore[arg-type]
            ended=self.ended.append,
            failed=pytest.fail,
            clock=lambda: self.now,
        )
        self.traces._mirror.start()
        until(self.traces._mirror.objects, what="the traces to be listed")

    def job(self, asked: Any) -> Any:
        self.begun.append(asked.scope)
        end = self.now + asked.seconds

        def poll() -> Answer | None:
            return Answer("Done") if self.now >= end and not self.hang else None

        return SimpleNamespace(poll=poll, kill=lambda: self.killed.append(asked.scope))


def test_one_namespace_with_many_and_one_with_few_long_ones(monkeypatch):
    objects = Objects(*[("shop", 11)] * 6, *[("bank", 30)] * 2)
    world = World(objects, monkeypatch)
    for _ in range(200):
        world.traces.step()
        world.now += 1.0
    shop, bank = "pod shop/redis", "pod bank/redis"
    # After 11 s and 30 shop has two turns, then 33 s and the second turn of the other.
    assert world.begun == [shop, bank, shop, shop, bank, shop, shop, shop]
    world.traces._mirror.stop()
    objects.over.set()


def test_a_trace_that_never_answers_does_not_keep_others_waiting_for_ever(monkeypatch):
    objects = Objects(("shop", 10), ("bank", 10))
    world = World(objects, monkeypatch)
    world.hang = True
    for _ in range(round(runner.LATE_SECONDS) + 9):
        world.traces.step()
        world.now += 1.0
    assert (world.begun, world.killed, world.ended) == (["pod shop/redis"], [], [])
    for _ in range(5):
        world.traces.step()
        world.now += 1.0
    assert (world.killed, world.ended) == (["pod shop/redis"], ["Failed"])
    assert world.begun == ["pod shop/redis", "pod bank/redis"]
    world.traces._mirror.stop()
    objects.over.set()
