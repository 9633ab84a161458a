"""Two operators, one Lease, and a way to the API server that is cut: never two that write.

The one that leads has a way of its own, which holds what is sent while it is cut and lets it go
afterwards. Who wrote what, and when, the API server's audit log says.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from support.chart import Helm
from support.cut import Way
from support.operator_objects import pod
from support.operator_world import World
from support.standby import LEASE_SECONDS, Pair
from support.wait import until

from numapin_operator.__main__ import LOST

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

Json = dict[str, Any]
SECONDS = 5 * LEASE_SECONDS


@pytest.fixture(scope="module")
def pair(world: World, helm: Helm) -> Iterator[Pair]:
    with Pair(world, helm) as made:
        yield made


@pytest.fixture
def way(world: World) -> Iterator[Way]:
    with Way(world.plane.ports["kube-apiserver"]) as made:
        yield made


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{n}" for n in range(count)]


def make(world: World, namespace: str, node: str, wanted: list[str]) -> None:
    for name in wanted:
        world.pods(namespace).create(pod(name, node=node, cpu="100m"))


def pinned(world: World, namespace: str, wanted: list[str]) -> dict[str, Json]:
    """The spec of each pod's pin, once all have a socket."""

    def found() -> dict[str, Json] | None:
        specs = {p["metadata"]["name"]: p["spec"] for p in world.pins(namespace).list()}
        specs = {name: specs[name] for name in wanted if "socket" in specs.get(name, {})}
        return specs if len(specs) == len(wanted) else None

    specs = until(found, what=f"a socket for each of {wanted}", seconds=SECONDS)
    assert specs is not None
    return specs


def first_list(pair: Pair, name: str) -> datetime:
    """When a pod has begun to read what there is: it decides from that."""
    return min(s.received for s in pair.requests(name) if s.verb == "list")


def never_two(pair: Pair, first: str, second: str) -> None:
    """Whatever the first has written was there when the second looked, and nothing came later."""
    before, after = pair.written(first), pair.written(second)
    assert before
    assert after
    assert max(s.answered for s in before) < first_list(pair, second)


@pytest.mark.parametrize("answers", [True, False], ids=["both-ways", "requests-only"])
def test_a_leader_that_is_cut_off_writes_nothing_more_even_when_held_requests_arrive(
    world: World, pair: Pair, way: Way, namespace: str, node: str, *, answers: bool
):
    one, other = f"one-{namespace}", f"other-{namespace}"
    with (
        pair.fence(),
        pair.pod(one, way=way) as roundabout,
        pair.pod(other) as straight,
        pair.operator(one, roundabout) as leader,
    ):
        pair.leads(one)
        # Together, so that it has many connections open, on which requests will be held.
        early = names("early", 12)
        make(world, namespace, node, early)
        begun = pinned(world, namespace, early)
        with pair.operator(other, straight):
            late = names("late", 8)
            # What it does before it hears of anything amiss is held, too.
            if answers:
                make(world, namespace, node, late[:4])
            with way.cut(answers=answers):
                make(world, namespace, node, late[4:] if answers else late)
                until(lambda: leader.ended is not None, what="it to end", seconds=SECONDS)
                assert leader.ended == LOST
                pair.leads(other)
                decided = pinned(world, namespace, early + late)
            # Nothing holds back any more what it sent before it ended.
            if not answers:
                until(lambda: pair.refused(one), what="held requests to arrive", seconds=SECONDS)
            with pair.operator(one, roundabout) as back:
                more = names("more", 4)
                make(world, namespace, node, more)
                latest = pinned(world, namespace, early + late + more)
                assert back.healthy()
                assert pair.holder() == other
                assert f"{other} leads" in back.log.read_text()
            assert {n: latest[n] for n in decided} == decided
            assert {n: decided[n] for n in begun} == begun
            never_two(pair, one, other)
            created = Counter(
                s.name
                for s in pair.written(one) + pair.written(other)
                if s.resource == "numapins" and s.code == 201
            )
            assert created == dict.fromkeys(early + late + more, 1)


def test_a_leader_that_stood_still_for_longer_than_its_lease_writes_nothing(
    world: World, pair: Pair, namespace: str, node: str
):
    one, other = f"one-{namespace}", f"other-{namespace}"
    with (
        pair.fence(),
        pair.pod(one) as first,
        pair.pod(other) as second,
        # So slowly that most is still to be written when it stops.
        pair.operator(one, first, "--api-rate=2") as leader,
    ):
        pair.leads(one)
        with pair.operator(other, second):
            wanted = names("p", 10)
            make(world, namespace, node, wanted)
            until(lambda: pair.written(one), what="it to have begun", seconds=SECONDS)
            leader.send(signal.SIGSTOP)
            try:
                pair.leads(other)
                decided = pinned(world, namespace, wanted)
            finally:
                leader.send(signal.SIGCONT)
            until(lambda: leader.ended is not None, what="it to end", seconds=SECONDS)
            assert leader.ended == LOST
            assert pinned(world, namespace, wanted) == decided
            never_two(pair, one, other)


def test_a_leader_that_is_told_to_end_hands_over_at_once(
    world: World, pair: Pair, namespace: str, node: str
):
    one, other = f"one-{namespace}", f"other-{namespace}"
    with (
        pair.fence(),
        pair.pod(one) as first,
        pair.pod(other) as second,
        pair.operator(one, first) as leader,
    ):
        pair.leads(one)
        make(world, namespace, node, ["a"])
        before = pinned(world, namespace, ["a"])
        with pair.operator(other, second):
            assert leader.stop() == 0
            # It gave the Lease up: nobody waits until that is over.
            until(lambda: pair.holder() == other, what="the other", seconds=LEASE_SECONDS / 2)
            make(world, namespace, node, ["b"])
            assert pinned(world, namespace, ["a", "b"])["a"] == before["a"]
            never_two(pair, one, other)


def test_nobody_leads_where_nothing_would_refuse_a_second(
    world: World, pair: Pair, namespace: str, node: str
):
    name = f"lone-{namespace}"
    with pair.pod(name) as kubeconfig, pair.operator(name, kubeconfig) as lone:
        until(
            lambda: "no ValidatingAdmissionPolicy refuses" in lone.log.read_text(),
            what="it to say why it does not lead",
        )
        make(world, namespace, node, ["a"])
        assert lone.healthy()
        assert not pair.holder()
        assert pair.written(name) == []
        assert lone.stop() == 0
        with pair.fence(), pair.operator(name, kubeconfig):
            pinned(world, namespace, ["a"])
