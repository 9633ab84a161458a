"""Moves in the operator: when one is made, what is said of it, and when no more."""

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from support.operator_objects import good_report, two_sockets
from support.operator_parts import Parts

from numapin_operator.rebalancer import FRUITLESS_SECONDS, search
from numapin_operator.records import NodeKey

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
AUTO: dict[str, Any] = {
    "mode": "Auto",
    "threshold": "80%",
    "after": "60s",
    "cooldown": "10m",
    "minGain": "5%",
    "maxMoving": 1,
}


def usage(*millicores: int) -> dict[str, Any]:
    return two_sockets() | {
        "usage": {
            "nodes": [],
            "sockets": [{"id": i, "cpuMillicores": m} for i, m in enumerate(millicores)],
        }
    }


def pinned(parts: Parts, name: str) -> None:
    parts.observe(name, good_report(parts.cluster.pin("default", name), since=parts.time()))
    parts.settle(5)


def moved(parts: Parts, name: str) -> dict[str, Any] | None:
    pin = parts.cluster.pin("default", name)
    found: dict[str, Any] | None = pin["spec"].get("move")
    return found


def judgement(parts: Parts, name: str) -> tuple[str, str]:
    conditions = parts.cluster.pin("default", name)["status"]["conditions"]
    one = next(c for c in conditions if c["type"] == "Moved")
    return one["status"], one["reason"]


@pytest.fixture
def parts() -> Parts:
    """Pods a and c on socket 0, b on socket 1, all of them in force."""
    made = Parts()
    made.node()
    made.policy("p", placement={"rebalance": AUTO})
    made.start()
    for name, socket in (("a", "0"), ("b", "1"), ("c", "0")):
        made.pod(name, cpu="500m", annotations={"numapin.io/socket": socket})
        made.settle(5)
        pinned(made, name)
        made.pod(name, cpu="500m")
        made.settle(5)
        pinned(made, name)
    assert made.sockets() == {"a": 0, "b": 1, "c": 0}
    return made


def test_a_socket_that_stays_busy_is_relieved_once(parts: Parts):
    parts.node(status=usage(1900, 200))
    parts.settle(50)
    assert parts.sockets() == {"a": 0, "b": 1, "c": 0}
    parts.settle(60)
    assert parts.sockets() == {"a": 1, "b": 1, "c": 0}
    found = moved(parts, "a")
    assert found is not None
    assert (found["from"], found["to"], found["reason"], found["load"]) == (0, 1, "SocketBusy", 95)
    assert found["gain"] >= 5
    # Until one knows whether that has helped, nothing else on this node is moved.
    parts.settle(120)
    assert parts.sockets() == {"a": 1, "b": 1, "c": 0}
    assert judgement(parts, "a") == ("Unknown", "UnderWay")
    pinned(parts, "a")
    parts.node(status=usage(1400, 700))
    parts.settle(60)
    assert judgement(parts, "a") == ("True", "Helped")
    parts.settle(200)  # Events come a minute apart
    assert ("a", "Moved") in parts.cluster.events
    # All is well: nothing is written any more.
    parts.cluster.writes.clear()
    parts.settle(300)
    assert parts.cluster.writes == []


def test_a_move_in_vain_is_not_repeated(parts: Parts):
    parts.node(status=usage(1900, 200))
    parts.settle(110)
    assert parts.sockets()["a"] == 1
    pinned(parts, "a")
    parts.settle(700)
    assert judgement(parts, "a") == ("False", "InVain")
    # The other pod may still be tried; the first one stays where it is for good.
    parts.node(status=usage(200, 1900))
    parts.settle(2000)
    assert parts.sockets()["a"] == 1


def test_a_move_in_vain_is_remembered_by_a_pin_that_has_lost_its_socket(parts: Parts):
    parts.node(status=usage(1900, 200))
    parts.settle(110)
    pinned(parts, "a")
    parts.settle(700)
    assert judgement(parts, "a") == ("False", "InVain")
    # Too big for any socket for a while, and elsewhere than before when it fits again.
    parts.pod("a", cpu="5")
    parts.settle(60)
    assert parts.sockets()["a"] is None
    assert moved(parts, "a") is None
    parts.pod("a", cpu="500m", annotations={"numapin.io/socket": "0"})
    parts.settle(5)
    pinned(parts, "a")
    parts.pod("a", cpu="500m")
    parts.settle(5)
    pinned(parts, "a")
    assert parts.sockets()["a"] == 0
    assert judgement(parts, "a") == ("False", "InVain")
    again = parts.again()
    again.tell_gone("pods", ("default", "c"))
    again.settle(2000)
    assert moved(again, "a") is None
    assert again.sockets()["a"] == 0


def test_a_restarted_operator_knows_what_was_moved(parts: Parts):
    parts.node(status=usage(1900, 200))
    parts.settle(110)
    assert parts.sockets()["a"] == 1
    again = parts.again()
    again.cluster.writes.clear()
    again.settle(120)
    assert again.sockets() == {"a": 1, "b": 1, "c": 0}
    assert moved(again, "a") == moved(parts, "a")


def test_room_is_made_for_a_pod_that_waits(parts: Parts):
    parts.pod("d", cpu="1590m")
    parts.settle(200)
    assert moved(parts, "b") is not None or moved(parts, "a") is not None
    mover = "b" if moved(parts, "b") else "a"
    pinned(parts, mover)
    parts.settle(60)
    # It has a socket, and is not there yet.
    assert parts.sockets()["d"] is not None
    assert judgement(parts, mover) == ("Unknown", "UnderWay")
    pinned(parts, "d")
    parts.settle(60)
    assert judgement(parts, mover) == ("True", "Helped")
    assert "default/d" in str(moved(parts, mover))


@pytest.mark.parametrize("ends", [True, False])
def test_room_that_the_pod_that_waited_never_took(parts: Parts, ends: bool):
    parts.pod("d", cpu="1590m")
    parts.settle(200)
    mover = "b" if moved(parts, "b") else "a"
    pinned(parts, mover)
    if ends:
        parts.tell_gone("pods", ("default", "d"))
    else:
        refusal = {"reason": "NoRoom", "message": "it really uses more"}
        parts.observe("d", {"phase": "Refused", "problem": refusal})
    parts.settle(1900)
    expected = ("True", "Helped") if ends else ("False", "InVain")
    assert judgement(parts, mover) == expected


def test_the_next_move_of_a_series_does_not_wait_for_what_the_first_is_judged_by():
    """Four pods of 500m, two on each socket of 2 CPUs, and one of 2 CPUs: two have to go."""
    parts = Parts()
    parts.node(status=two_sockets(cpus_per_socket=3))
    parts.policy("p", placement={"rebalance": AUTO | {"maxMoving": 2}})
    parts.start()
    for name, socket in (("a", "0"), ("b", "0"), ("c", "1"), ("e", "1")):
        parts.pod(name, cpu="600m", annotations={"numapin.io/socket": socket})
        parts.settle(5)
        pinned(parts, name)
        parts.pod(name, cpu="600m")
        parts.settle(5)
        pinned(parts, name)
    parts.pod("wide", cpu="2900m")
    parts.settle(120)
    movers = [name for name in "abce" if moved(parts, name)]
    assert len(movers) == 1
    first = moved(parts, movers[0])
    assert first is not None
    assert (first["roomFor"], first["further"]) == ("default/wide", 1)
    pinned(parts, movers[0])
    parts.settle(60)
    assert judgement(parts, movers[0]) == ("Unknown", "MadeWay")
    (second,) = (name for name in "abce" if moved(parts, name) and name not in movers)
    pinned(parts, second)
    parts.settle(30)
    assert parts.sockets()["wide"] is not None
    pinned(parts, "wide")
    parts.settle(60)
    for name in (movers[0], second):
        assert judgement(parts, name) == ("True", "Helped")


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": {"numapin.io/mode": "Observe"}},
        {"annotations": {"numapin.io/socket": "0"}},
    ],
)
def test_pods_that_say_so_are_not_moved(parts: Parts, change: dict[str, Any]):
    for name in ("a", "c"):
        parts.pod(name, cpu="500m", **change)
    parts.settle(5)
    parts.node(status=usage(1900, 200))
    parts.settle(300)
    assert moved(parts, "a") is None
    assert moved(parts, "c") is None


def test_never_is_never(parts: Parts):
    parts.policy("p", placement={"rebalance": AUTO | {"mode": "Never"}})
    parts.settle(5)
    parts.node(status=usage(1900, 200))
    parts.settle(400)
    assert parts.sockets() == {"a": 0, "b": 1, "c": 0}


def two_nodes() -> Parts:
    """Pods a and b on socket 0 of numa-0, c and d on that of numa-1; one may be on the move."""
    made = Parts()
    made.policy("p", placement={"rebalance": AUTO})
    for name in ("numa-0", "numa-1"):
        made.node(name)
    made.start()
    for pod, name in (("a", "numa-0"), ("b", "numa-0"), ("c", "numa-1"), ("d", "numa-1")):
        made.pod(pod, cpu="500m", node=name, annotations={"numapin.io/socket": "0"})
        made.settle(5)
        pinned(made, pod)
        made.pod(pod, cpu="500m", node=name)
        made.settle(5)
        pinned(made, pod)
    for name in ("numa-0", "numa-1"):
        made.node(name, status=usage(1900, 200))
    return made


def on_the_move(parts: Parts) -> list[str]:
    return [name for name in "abcd" if moved(parts, name) is not None]


def test_no_more_are_on_the_move_than_the_policy_lets(monkeypatch):
    """A search that began before another node's move was written must not end in a second one."""
    parts = two_nodes()
    entered, go_on = threading.Event(), threading.Event()

    def slow(asked: Any, now: datetime) -> Any:
        if asked.node.name == "numa-1":
            entered.set()
            assert go_on.wait(10)
        return search(asked, now)

    async def both() -> None:
        late = asyncio.create_task(parts.reconciler._rounds.look(NodeKey("numa-1")))
        assert await asyncio.to_thread(entered.wait, 10)
        await parts.reconciler._rounds.look(NodeKey("numa-0"))
        while await parts.reconciler.work_once():
            pass
        assert len(on_the_move(parts)) == 1
        go_on.set()
        await late

    parts.settle(40)  # looks, but it has not been busy for long enough
    assert on_the_move(parts) == []
    monkeypatch.setattr("numapin_operator.rounds.search", slow)
    parts.seconds += 60
    asyncio.run(both())
    parts.settle(20)
    assert len(on_the_move(parts)) == 1


def test_a_move_that_could_not_be_written_is_found_again(parts: Parts):
    parts.node(status=usage(1900, 200))
    parts.settle(40)
    parts.cluster.fail = 1
    parts.settle(60)
    assert parts.cluster.fail == 0
    parts.settle(60)
    assert moved(parts, "a") is not None


def test_the_same_search_is_not_made_again_and_again(parts: Parts, monkeypatch):
    """Nothing can be moved, though a socket is busy: seconds of search would be spent for ever."""
    made: list[float] = []

    def counted(asked: Any, now: Any) -> None:
        made.append(parts.seconds)

    monkeypatch.setattr("numapin_operator.rounds.search", counted)
    parts.node(status=usage(1900, 200))
    parts.settle(200)
    assert len(made) == 1
    parts.settle(FRUITLESS_SECONDS + 60)
    assert len(made) == 2
    parts.tell_gone("pods", ("default", "c"))
    parts.settle(30)
    assert len(made) == 3
    parts.node(status=usage(1900, 100))
    parts.settle(30)
    assert len(made) == 4


def test_quiet_nodes_are_not_searched(parts: Parts, monkeypatch):
    monkeypatch.setattr("numapin_operator.rebalancer.Rebalancer._tenants", None)
    parts.node(status=usage(1500, 200))
    parts.settle(200)
    assert parts.registry.get_sample_value(
        "numapin_operator_errors_total", {"where": "reconcile"}
    ) in {None, 0.0}
