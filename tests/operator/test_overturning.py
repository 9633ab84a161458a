"""What overturns a verdict or a pin, and how often a pod's author hears of it."""

from itertools import pairwise
from typing import Any

import pytest
from support.operator_objects import good_report, two_sockets
from support.operator_parts import Parts


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    made.node()
    return made.start()


class Flapping:
    """A pod whose windows are good and bad as told, with an agent that reports each of them."""

    def __init__(self, parts: Parts, **policy: Any) -> None:
        self.parts = parts
        parts.policy("p", **policy)
        parts.pod("redis")
        parts.settle()
        self.pin = parts.cluster.pin("default", "redis")
        self.last = ""
        self.streak = 0

    def window(self, kind: str) -> str:
        """The next window; the verdict after it."""
        self.streak = self.streak + 1 if kind == self.last else 1
        self.last = kind
        report = good_report(self.pin, since=self.parts.time(), local=10 if kind == "bad" else 100)
        if kind == "idle":
            idle = {"hintFaultPagesLocal": 0, "hintFaultPagesRemote": 0, "cpuNanoseconds": 0}
            report["counters"] |= idle
        self.parts.observe("redis", report | {"windows": self.streak})
        self.parts.settle(60)
        return self.parts.verdicts()["redis"]


def test_one_window_overturns_no_verdict_two_do(parts: Parts):
    pod = Flapping(parts)
    kinds = ["good", "bad", "good", "bad", "bad", "good", "bad", "good", "good", "idle", "idle"]
    v, i, n = "Verified", "Ineffective", "NoSignal"
    assert [pod.window(kind) for kind in kinds] == [v, v, v, v, i, i, i, i, v, v, n]


def test_a_verdict_in_doubt_says_so(parts: Parts):
    pod = Flapping(parts)
    pod.window("good")
    pod.window("bad")
    verified = parts.cluster.pin("default", "redis")["status"]["conditions"][1]
    assert (verified["status"], verified["reason"]) == ("True", "Measured")
    assert verified["message"].startswith("still Verified; the last figures would make it Inef")


def test_a_restart_in_doubt_decides_nothing(parts: Parts):
    pod = Flapping(parts)
    pod.window("good")
    pod.window("bad")
    parts.cluster.writes.clear()
    again = parts.again()
    assert again.cluster.writes == []
    assert again.verdicts() == {"redis": "Verified"}


@pytest.mark.parametrize(
    ("kind", "verdict"), [("good", "Verified"), ("bad", "Ineffective"), ("idle", "NoSignal")]
)
def test_an_agent_that_starts_anew_says_nothing_against_a_verdict(
    parts: Parts, kind: str, verdict: str
):
    """It does not know its signals until its tracer is loaded, which takes up to a minute."""
    pod = Flapping(parts)
    assert pod.window(kind) == verdict
    parts.settle(300)  # Events are told by then
    known, events = two_sockets(), list(parts.cluster.events)
    parts.cluster.writes.clear()
    parts.node(status=known | {"capabilities": known["capabilities"] | {"signals": []}})
    parts.settle(60)
    parts.node(status=known)
    parts.settle(60)
    assert parts.cluster.writes == []
    assert parts.cluster.events == events
    assert parts.verdicts() == {"redis": verdict}


def test_without_counters_a_pod_waits_for_what_the_agent_can_count(parts: Parts):
    known = two_sockets()
    blind = [{"name": n, "level": "none"} for n in ("numaMigrations", "hintFaults")]
    parts.node(status=known | {"capabilities": known["capabilities"] | {"signals": []}})
    pod = Flapping(parts)
    report = good_report(pod.pin, since=parts.time()) | {"counters": None}
    parts.observe("redis", report)
    parts.settle(60)
    assert parts.verdicts() == {"redis": "Pending"}
    parts.node(status=known | {"capabilities": known["capabilities"] | {"signals": blind}})
    parts.settle(60)
    assert parts.verdicts() == {"redis": "Verified"}


def test_onfailure_unpin_waits_for_a_second_bad_window_of_a_pod_that_was_fine(parts: Parts):
    pod = Flapping(parts, verification={"onFailure": "Unpin"})
    assert pod.window("good") == "Verified"
    assert pod.window("bad") == "Verified"
    assert parts.sockets() == {"redis": 0}
    assert pod.window("bad") == "Ineffective"
    assert parts.sockets() == {"redis": None}
    assert parts.reason("redis") == "Released"


def test_onfailure_unpin_takes_the_first_whole_window_for_an_answer(parts: Parts):
    pod = Flapping(parts, verification={"onFailure": "Unpin"})
    half = good_report(pod.pin, since=parts.time(), local=10, seconds=30.0)
    parts.observe("redis", half | {"windows": None})
    parts.settle(60)
    assert parts.sockets() == {"redis": 0}
    pod.window("bad")
    assert parts.sockets() == {"redis": None}


def test_onfailure_warn_keeps_the_pin(parts: Parts):
    pod = Flapping(parts, verification={"onFailure": "Warn"})
    assert [pod.window("bad") for _ in range(3)] == ["Ineffective"] * 3
    assert parts.sockets() == {"redis": 0}
    assert ("redis", "Ineffective") in parts.cluster.events


def test_a_pod_gets_one_event_a_minute_and_of_transitions_only(parts: Parts):
    pod = Flapping(parts)
    heard: list[tuple[float, str]] = []
    create = parts.cluster.create_event

    async def listen(namespace: str, body: dict[str, Any]) -> None:
        heard.append((parts.seconds, body["reason"]))
        await create(namespace, body)

    parts.cluster.create_event = listen  # type: ignore[method-assign]
    assert pod.window("good") == "Verified"
    parts.settle(300)
    assert [r for _, r in heard] == ["Pinned"]  # and nothing went wrong
    # It wavers every ten seconds for half an hour: by cpusets, which count at once.
    for n in range(180):
        report = good_report(pod.pin, since=parts.time())
        if n % 2:
            report["effective"] = {"cpus": "0-3", "mems": "0-1"}
        parts.observe("redis", report)
        parts.settle(10)
    parts.settle(600)
    assert all(b[0] - a[0] >= 60 for a, b in pairwise(heard))
    # Five minutes apart for each reason; the last word is what holds.
    assert 6 <= len(heard) <= 2 + 2 * 2 * 8
    assert {r for _, r in heard} == {"Pinned", "Verified", "Ineffective"}
    before = len(heard)
    for _ in range(20):
        parts.observe("redis", report)
        parts.settle(60)
    assert len(heard) == before
