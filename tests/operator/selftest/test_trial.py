"""A try from beginning to end, with an API server that a list of moments stands in for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.objects import example

from numapin_api.errors import ApiError, SelfTestError
from numapin_api.node import NumaNode
from numapin_api.pin import NumaPin
from numapin_operator.selftest import trial

OWN = {
    "metadata": {"name": "tester", "namespace": "here", "uid": "t-1"},
    "spec": {
        "securityContext": {},
        "containers": [{"image": "i", "imagePullPolicy": "Never", "securityContext": {}}],
    },
}


@dataclass
class World:
    """An API server whose NumaPin has a verdict after so many looks.

    Attributes:
        verdicts: of the NumaPin, look by look; the last one stays.
        fails_at: seconds at which the API server is away.
        deletes: whether the pod may be deleted.
        lost_at: second at which somebody else deletes the pod.
    """

    verdicts: list[str | None]
    nodes_there: list[NumaNode] = field(
        default_factory=lambda: [NumaNode.read(example("NumaNode"))]
    )
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    now: float = 0.0
    fails_at: frozenset[float] = frozenset()
    deletes: bool = True
    lost_at: float | None = None

    def own_pod(self) -> dict[str, Any]:
        return OWN

    def nodes(self) -> Iterable[NumaNode]:
        return self.nodes_there

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        body["metadata"]["uid"] = "p-1"
        body["status"] = {"phase": "Running"}
        self.pods[body["metadata"]["name"]] = body
        return body

    def pod(self, name: str) -> dict[str, Any] | None:
        if self.now in self.fails_at:
            raise ApiError("GET: connection refused")
        return self.pods.get(name)

    def pin(self, name: str) -> NumaPin | None:
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        obj = example("NumaPin")
        obj["spec"]["podUID"] = "p-1"
        obj["status"] = {"verdict": verdict, "conditions": []}
        return NumaPin.read(obj)

    def delete(self, name: str, uid: str) -> None:
        if not self.deletes:
            raise ApiError("DELETE: forbidden")
        if name in self.pods:
            assert self.pods.pop(name)["metadata"]["uid"] == uid

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now == self.lost_at:
            self.pods.clear()

    def run(self, seconds: int = 60) -> None:
        trial.run(
            self, seconds=seconds, say=self.said.append, clock=lambda: self.now, sleep=self.sleep
        )


def test_waits_for_the_verdict_says_each_thing_once_and_tidies_up():
    world = World([None, "Pending", "Pending", "NoSignal", "Verified"])
    world.run()
    assert world.pods == {}
    assert len(set(world.said)) == len(world.said)
    assert world.said[-1] == "deleted the pod"
    assert [line for line in world.said if line.startswith("verdict")] == [
        "verdict: none yet",
        "verdict: Pending",
        "verdict: NoSignal",
        "verdict: Verified",
    ]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("Ineffective", "verdict: Ineffective"),
        ("Pending", "no verdict in time; last seen: verdict: Pending"),
    ],
)
def test_failure_says_what_was_seen_and_tidies_up(verdict, said):
    world = World([verdict])
    with pytest.raises(SelfTestError, match=said):
        world.run()
    assert world.pods == {}


def test_takes_no_longer_than_it_was_told():
    world = World(["Pending"])
    with pytest.raises(SelfTestError):
        world.run(seconds=30)
    assert 30 <= world.now <= 31


def test_api_server_that_is_away_for_a_moment_is_waited_for():
    world = World(["Verified"], fails_at=frozenset({0.0, 1.0}))
    world.run()
    assert world.now == 2.0
    assert "GET: connection refused" in world.said


def test_nodes_that_can_pin_nothing_are_named_at_once():
    world = World(["Verified"], nodes_there=[])
    with pytest.raises(SelfTestError, match="none of 0 NumaNodes is Ready and has two sockets"):
        world.run()
    assert world.pods == {}


def test_pod_that_somebody_deleted_ends_the_try():
    world = World(["Pending"], lost_at=3.0)
    with pytest.raises(SelfTestError, match="somebody deleted the pod tester-pinned"):
        world.run()
    assert world.now == 3.0


def test_a_pod_that_cannot_be_deleted_hides_no_verdict():
    world = World(["Ineffective"], deletes=False)
    with pytest.raises(SelfTestError, match="Ineffective"):
        world.run()
    assert world.said[-1] == "the pod could not be deleted: DELETE: forbidden"


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt])
def test_being_told_to_end_leaves_no_pod(raised):
    world = World(["Pending"])
    end: Callable[[float], None] = _raise(raised)
    with pytest.raises(raised):
        trial.run(world, seconds=60, say=world.said.append, clock=lambda: world.now, sleep=end)
    assert world.pods == {}


def _raise(what: type[BaseException]) -> Callable[[float], None]:
    def end(_: float) -> None:
        raise what

    return end
