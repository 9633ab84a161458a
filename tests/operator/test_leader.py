"""An election against a Lease and a fence in memory, on a clock that tests turn."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from numapin_api.errors import ApiError
from numapin_operator.config import LeaseConfig, read_lease
from numapin_operator.kube import Json
from numapin_operator.leader.election import Election, LeaseLostError
from numapin_operator.leader.lease import Fence, Lease, Watched, given_up, held
from numapin_operator.leader.lease import read_lease as read
from numapin_operator.writer import while_allowed

SECONDS = 15
START = datetime(2026, 11, 27, tzinfo=UTC)


@dataclass
class Memory:
    """The API server; ``policy`` is whether it goes by the fence."""

    lease: Lease | None = None
    named: Fence | None = None
    policy: bool = True
    away: bool = False
    lose_answer: bool = False
    before: Callable[[str], None] = lambda _: None
    said: list[str] = field(default_factory=list)
    name: str = "numapin-operator"
    _version: int = 0

    def side(self, me: str) -> "Side":
        return Side(self, me)

    def version(self) -> str:
        self._version += 1
        return str(self._version)

    def heard(self, what: str) -> None:
        self.before(what)
        self.said.append(what)
        if self.away:
            raise ApiError("away")


@dataclass
class Side:
    """The API server as one pod sees it."""

    memory: Memory
    me: str

    @property
    def name(self) -> str:
        return self.memory.name

    def read(self) -> Lease | None:
        self.memory.heard("read")
        return self.memory.lease

    def write(self, body: Json) -> Lease | None:
        self.memory.heard("write")
        known = self.memory.lease
        if body["metadata"].get("resourceVersion", "") != ("" if known is None else known.version):
            return None
        body["metadata"]["resourceVersion"] = self.memory.version()
        self.memory.lease = read(body)
        if self.memory.lose_answer:
            self.memory.lose_answer = False
            raise ApiError("no answer")
        return self.memory.lease

    def fence(self) -> Fence | None:
        found = self.memory.named
        self.memory.heard("fence")
        return found

    def put_fence(self, body: Json) -> bool:
        self.memory.heard("put_fence")
        known = self.memory.named
        if body["metadata"].get("resourceVersion", "") != ("" if known is None else known.version):
            return False
        self.memory.named = Fence(self.memory.version(), body["spec"]["pod"])
        return True

    def admitted(self) -> bool:
        self.memory.heard("admitted")
        named = self.memory.named
        return not self.memory.policy or named is None or named.pod == self.me


@dataclass
class Clock:
    """Sleeping turns it; after so many sleeps of anybody the test is over."""

    seconds: float = 0.0
    left: int = 200

    async def sleep(self, seconds: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise TimeoutError
        self.seconds += seconds
        await asyncio.sleep(0)

    def election(self, memory: Memory, me: str) -> Election:
        return Election(
            memory.side(me),
            me=me,
            lasting=SECONDS,
            now=lambda: START + timedelta(seconds=self.seconds),
            clock=lambda: self.seconds,
            sleep=self.sleep,
        )


def lead(memory: Memory, me: str, *, clock: Clock | None = None, work: Any = None) -> list[str]:
    """Have a pod stand by, and lead if it comes to that; why it lost the Lease, if it did."""
    lost: list[str] = []

    async def nothing() -> None:
        return

    async def run() -> None:
        await (clock or Clock()).election(memory, me).during(work or nothing, lost=lost.append)

    asyncio.run(run())
    return lost


def lease(holder: str, *, version: str = "1", transitions: int = 0) -> Lease:
    return Lease(version, holder, float(SECONDS), "then", "then", transitions)


def test_first_one_leads_and_leaves_neither_lease_nor_fence_to_its_name():
    memory, seen = Memory(), []

    async def work() -> None:
        seen.append((memory.lease.holder, memory.named.pod))

    assert lead(memory, "a", work=work) == []
    assert seen == [("a", "a")]
    assert (memory.lease.holder, memory.named.pod) == ("", "")
    # So that it can lead again, and another can at once.
    for name in ("a", "b"):
        seen.clear()
        lead(memory, name, work=work)
        assert seen == [(name, name)]


def test_without_a_policy_nobody_leads():
    memory = Memory(policy=False)
    with pytest.raises(TimeoutError):
        lead(memory, "a")
    assert memory.lease is None


def test_who_holds_the_lease_and_is_refused_gives_it_up():
    memory = Memory(named=Fence("1", "b"), _version=1)
    side = Side.admitted
    try:
        Side.admitted = lambda _: False
        with pytest.raises(LeaseLostError, match="refuses all the same"):
            lead(memory, "a")
    finally:
        Side.admitted = side
    assert memory.lease.holder == ""


def test_lease_of_another_is_waited_for_from_when_it_was_seen_last():
    memory = Memory(lease=lease("b", transitions=4), named=Fence("1", "b"), _version=1)
    clock, taken, begun = Clock(seconds=1000.0), [], []

    def note(what: str) -> None:
        if what == "write":
            taken.append(clock.seconds)

    async def work() -> None:
        begun.append((memory.lease.transitions, memory.named.pod))

    memory.before = note
    lead(memory, "a", clock=clock, work=work)
    assert SECONDS < taken[0] - 1000 <= SECONDS + 2
    assert begun == [(5, "a")]


def test_process_that_was_started_again_in_its_pod_need_not_wait():
    memory = Memory(lease=lease("a", transitions=4), named=Fence("1", "a"), _version=1)
    begun = []

    async def work() -> None:
        begun.append(memory.lease.transitions)

    lead(memory, "a", work=work)
    assert begun == [4]
    assert memory.said[:2] == ["read", "write"]


def test_fence_of_the_next_leader_is_not_replaced_by_one_that_stood_still():
    """It stands still after it took the Lease, until long after another has begun to lead."""
    memory, clock = Memory(named=Fence("1", ""), _version=1), Clock()

    def pause(what: str) -> None:
        if what == "fence" and memory.lease is not None and memory.lease.holder == "a":
            clock.seconds += 10 * SECONDS
            memory.lease, memory.named = lease("b", version="70"), Fence("71", "b")

    memory.before = pause
    with pytest.raises(LeaseLostError):
        lead(memory, "a", clock=clock)
    assert memory.named == Fence("71", "b")
    assert memory.lease.holder == "b"


def test_leader_that_can_not_renew_stops_before_others_may_begin():
    memory, clock = Memory(named=Fence("1", ""), _version=1), Clock()
    when = []

    async def work() -> None:
        memory.away = True
        begun = clock.seconds
        while not lost:
            if election.leads():
                when.append(clock.seconds - begun)
            await asyncio.sleep(0)

    lost: list[str] = []
    election = clock.election(memory, "a")
    asyncio.run(election.during(work, lost=lost.append))
    assert lost == ["it could not be renewed"]
    assert 0 < when[-1] <= SECONDS * 2 / 3


def test_lost_answer_to_a_renewal_costs_nothing():
    memory, clock = Memory(named=Fence("1", ""), _version=1), Clock()

    async def work() -> None:
        memory.lose_answer = True
        begun = clock.seconds
        while clock.seconds < begun + 3 * SECONDS:
            assert election.leads()
            await asyncio.sleep(0)

    lost: list[str] = []
    election = clock.election(memory, "a")
    asyncio.run(election.during(work, lost=lost.append))
    assert lost == []


def test_leader_whose_lease_was_taken_ends():
    memory, clock = Memory(named=Fence("1", ""), _version=1), Clock()
    lost: list[str] = []

    async def work() -> None:
        memory.lease = lease("b", version="50")
        while not lost:
            await asyncio.sleep(0)

    asyncio.run(clock.election(memory, "a").during(work, lost=lost.append))
    assert lost == ["the Lease is b"]
    assert memory.lease.holder == "b"


def test_lease_of_unknown_shape_is_nobodys():
    found = read({"metadata": {"resourceVersion": "1"}})
    assert (found.holder, found.seconds) == ("", 0.0)
    assert Watched().free(found, me="a", now=0.0)
    assert Watched().free(None, me="a", now=0.0)


def test_renewing_keeps_what_taking_changes():
    taken = held(lease("b", transitions=2), "x", holder="a", lasting=15, now=START)
    assert taken["spec"]["leaseTransitions"] == 3
    assert taken["spec"]["acquireTime"] == taken["spec"]["renewTime"]
    first = read(taken)
    again = held(first, "x", holder="a", lasting=15, now=START + timedelta(seconds=2))
    assert again["spec"]["leaseTransitions"] == 3
    assert again["spec"]["acquireTime"] != again["spec"]["renewTime"]
    assert "holderIdentity" not in given_up(first, "x")["spec"]


def test_nothing_is_sent_that_may_not_be():
    sent = []

    async def send(method: str, path: str, body: Json, content: str) -> Json:
        sent.append(method)
        return {}

    asyncio.run(while_allowed(send, lambda: True)("PATCH", "/x?y", {}, ""))
    with pytest.raises(ApiError, match="PATCH /x: another operator may lead"):
        asyncio.run(while_allowed(send, lambda: False)("PATCH", "/x?y", {}, ""))
    assert sent == ["PATCH"]


def test_flags_of_the_lease():
    assert read_lease("", "", 15) is None
    assert read_lease("ns/x", "pod", 15) == LeaseConfig("ns", "x", "pod", 15)
    for asked, pod in (("x", "pod"), ("ns/", "pod"), ("a/b/c", "pod"), ("ns/x", "")):
        with pytest.raises(click.BadParameter):
            read_lease(asked, pod, 15)
