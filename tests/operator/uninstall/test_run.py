"""The order of an uninstall, and that it ends whatever is broken."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from numapin_api.errors import ApiError
from numapin_operator.uninstall.held import Held
from numapin_operator.uninstall.run import ALL_SECONDS, Limits, Uninstall

MOST_SECONDS = 270
"""What the chart's Job may take."""


def pinned(name: str, node: str) -> Held:
    return Held("default", name, node, ordered=True, holds=True, answered=False)


@dataclass
class Cluster:
    """Two agents that answer a second after they were asked, unless something is broken.

    Attributes:
        deaf: nodes whose agent never answers.
        zombies: parts whose pods never end.
        dead: nodes that nothing is heard of, whose pods never end.
        fails: so many of the next calls fail.
        remakes: so often pins come back after they were deleted.
    """

    held: dict[str, Held] = field(default_factory=dict)
    running: dict[str, dict[str, bool]] = field(default_factory=dict)
    numa_nodes: int = 2
    traces: int = 1
    deaf: set[str] = field(default_factory=set)
    zombies: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    fails: int = 0
    remakes: int = 0
    seconds: float = 0.0
    did: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, *pins: Held) -> "Cluster":
        return cls(
            held={p.name: p for p in pins},
            running={"operator": {"a": True}, "agent": {"a": True, "b": True}},
        )

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for name, pin in self.held.items():
            heard = self.running["agent"].get(pin.node, False) and pin.node not in self.deaf
            if heard and not pin.ordered:
                self.held[name] = replace(pin, answered=True, holds=False)

    def _call(self, what: str = "") -> None:
        if self.fails > 0:
            self.fails -= 1
            raise ApiError("the API server is away")
        if what:
            self.did.append(what)

    def end(self, part) -> None:
        self._call(f"end {part}")
        if part not in self.zombies:
            self.running[part] = {n: False for n in self.running[part] if n in self.dead}

    def pods(self, part):
        self._call()
        return dict(self.running[part])

    def pins(self) -> list[Held]:
        self._call()
        return list(self.held.values())

    def release(self, pins: Iterable[Held]) -> None:
        names = [p.name for p in pins]
        self._call(f"release {' '.join(names)}")
        for name in names:
            self.held[name] = replace(self.held[name], ordered=False)

    def delete_traces(self) -> None:
        self.traces = 0

    def delete_pins(self) -> None:
        self._call("delete pins")
        if self.remakes > 0:
            self.remakes -= 1
        else:
            self.held.clear()

    def delete_numa_nodes(self) -> None:
        self._call("delete nodes")
        # A living agent would make its own anew.
        assert "agent" in self.zombies or self.running["agent"].keys() <= self.dead
        self.numa_nodes = 0

    def run(self) -> tuple[Held, ...]:
        return Uninstall(
            self,
            say=self.said.append,
            clock=lambda: self.seconds,
            sleep=self.sleep,
            limits=Limits(end=40, release=120, patience=30),
        ).run()


def test_everything_is_given_back_before_anything_goes():
    cluster = Cluster.make(pinned("db", "a"), pinned("web", "b"))
    assert cluster.run() == ()
    assert cluster.did == [
        "end operator",
        "release db web",
        "delete pins",
        "end agent",
        "delete nodes",
    ]
    assert "2 of 2 pinned pods have their cpuset back" in cluster.said
    assert cluster.seconds <= 3


def test_nothing_pinned_takes_no_time():
    cluster = Cluster.make()
    assert cluster.run() == ()
    assert cluster.seconds == 0
    assert "0 of 0 pinned pods have their cpuset back" in cluster.said


def test_operator_and_agents_that_are_gone_already_are_not_waited_for():
    cluster = Cluster.make(pinned("db", "a"))
    cluster.running = {"operator": {}, "agent": {}}
    (left,) = cluster.run()
    assert left.key == ("default", "db")
    assert cluster.seconds == 0
    assert "node a: no agent runs there; still pinned: default/db" in cluster.said
    assert any("numapin restore" in line for line in cluster.said)
    assert (cluster.held, cluster.numa_nodes, cluster.traces) == ({}, 0, 0)


def test_an_agent_that_is_not_ready_gets_half_a_minute():
    cluster = Cluster.make(pinned("db", "a"), pinned("web", "b"))
    cluster.running["agent"]["b"] = False
    (left,) = cluster.run()
    assert left.node == "b"
    assert 30 <= cluster.seconds < 35
    assert "1 of 2 pinned pods have their cpuset back" in cluster.said


def test_a_node_that_is_gone_is_named_and_waited_for_with_a_limit():
    """As when it was switched off: its kubelet can neither be ready nor end a pod."""
    cluster = Cluster.make(pinned("db", "a"), pinned("web", "b"))
    cluster.dead.add("b")
    cluster.running["agent"]["b"] = False
    (left,) = cluster.run()
    assert left.node == "b"
    assert cluster.held == {}
    assert cluster.numa_nodes == 0
    assert 70 <= cluster.seconds < 75
    assert "node b: its agent is not ready; still pinned: default/web" in cluster.said
    assert "agent: its pod on b has not ended; going on without it" in cluster.said


def test_an_agent_that_does_not_answer_is_given_up_in_time():
    cluster = Cluster.make(pinned("db", "a"), pinned("web", "b"))
    cluster.deaf.add("b")
    (left,) = cluster.run()
    assert left.node == "b"
    assert "node b: its agent did not answer; still pinned: default/web" in cluster.said
    assert 120 <= cluster.seconds < 125


def test_the_worst_of_all_still_ends():
    cluster = Cluster.make(pinned("db", "a"), pinned("web", "b"))
    cluster.deaf |= {"a", "b"}
    cluster.zombies |= {"operator", "agent"}
    assert len(cluster.run()) == 2
    assert cluster.seconds < ALL_SECONDS < MOST_SECONDS
    assert "operator: its pod on a has not ended; going on without it" in cluster.said


def test_an_api_server_that_comes_back_costs_nothing():
    cluster = Cluster.make(pinned("db", "a"))
    cluster.fails = 7
    assert cluster.run() == ()
    assert cluster.said.count("trying again: the API server is away") == 1


def test_an_api_server_that_stays_away_is_an_error_in_time():
    cluster = Cluster.make(pinned("db", "a"))
    cluster.fails = 10**6
    with pytest.raises(ApiError, match="away"):
        cluster.run()
    assert cluster.seconds <= ALL_SECONDS


def test_pins_that_come_back_are_deleted_again():
    cluster = Cluster.make(pinned("db", "a"))
    cluster.remakes = 2
    cluster.run()
    assert cluster.did.count("delete pins") == 3
    assert cluster.held == {}


def test_a_second_run_finds_what_the_first_one_left():
    """The hook was killed after it had asked: the pin has no place any more, but holds on."""
    cluster = Cluster.make(replace(pinned("db", "a"), ordered=False))
    assert cluster.run() == ()
    assert "1 of 1 pinned pods have their cpuset back" in cluster.said
    again = Cluster.make()
    again.running = {"operator": {}, "agent": {}}
    assert again.run() == ()
