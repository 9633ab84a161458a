"""The ranking as data and for people."""

from datetime import UTC, datetime

import pytest

from numapin_cli.advise import judge
from numapin_cli.advise.facts import machine
from numapin_cli.advise.judge import ranking
from numapin_cli.live.values import AgentReading, Counts, Gathered, PodReading
from numapin_cli.views.ranking import command_lines, render

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOT = Counts(24_000, 15_000, 1.8, 6_000, 4_000, 60, cpu_seconds=15)


def pod(name: str, node: str = "numa-0", **meta: object) -> dict:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": name,
            "creationTimestamp": "2026-11-25T11:00:00Z",
            **meta,
        },
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    }


def readings(since: float | None = None) -> tuple[Gathered, Gathered]:
    """Thirty seconds in which redis-0 migrates, redis-1 half as much, and idle nothing."""
    half = Counts(12_000, 7_500, 0.9, 5_000, 2_000, 30, cpu_seconds=5)
    before = dict.fromkeys(("redis-0", "redis-1", "idle"), Counts(cpu_seconds=0))
    after = {"redis-0": HOT, "redis-1": half, "idle": Counts(cpu_seconds=0), "new": HOT}

    def at(time: float, counts: dict[str, Counts]) -> AgentReading:
        pods = {
            ("shop", n): PodReading(c, {0: 1 << 30, 1: 1 << 30}, threads=4)
            for n, c in counts.items()
        }
        return AgentReading(time, pods, alive=True, since=since)

    return (
        Gathered({"numa-0": at(100, before)}, {}),
        Gathered({"numa-0": at(130, after)}, {"numa-1": "no agent runs there"}),
    )


@pytest.fixture
def found(numa_node):
    first, last = readings()
    pods = [
        pod("idle"),
        pod("redis-1"),
        pod(
            "redis-0",
            ownerReferences=[{"kind": "StatefulSet", "name": "redis", "controller": True}],
        ),
        pod("new"),
        pod("pinned", labels={"numapin.io/pin": "true"}),
    ]
    machines = {"numa-0": machine(numa_node())}
    return ranking(pods, machines, first=first, last=last, now=NOW)


def test_data(found):
    assert [(r.rank, r.name, r.advice) for r in found.pods] == [
        (1, "redis-0", "Pin"),
        (2, "redis-1", "Pin"),
        (3, "new", "Unknown"),
        (4, "idle", "Quiet"),
    ]
    assert (found.seconds, found.labelled) == (30, 1)
    data = found.model_dump(mode="json", by_alias=True)
    best = data["pods"][0]
    assert best["migrationMsPerSecond"] == pytest.approx(60)
    assert best["crossSocketPagesPerSecond"] == 500
    assert (best["cpus"], best["localPercent"], best["owner"]) == (0.5, 60, "StatefulSet/redis")
    assert best["labelCommand"].endswith("redis-0 -n shop --overwrite numapin.io/pin=true")
    assert data["pods"][2]["migrationMsPerSecond"] is None
    assert data["pods"][2]["notes"] == ["it was not counted for the whole window"]
    assert data["problems"] == [{"node": "numa-1", "message": "no agent runs there"}]


@pytest.mark.parametrize("width", [80, 120])
def test_people_see_who_why_and_what_is_not_known(found, text, width):
    said = text(render(found, everything=False, width=width), width)
    flat = " ".join(said.split())
    assert said.startswith("numa-1: no agent runs there\n")
    assert "1. shop/redis-0: 60.0 ms a second spent migrating pages; 500 pages" in flat
    assert "Not shown: 1 pod with nothing to gain in this window, 1 pod of which nothing" in flat
    assert "1 pod with the label already" in flat
    assert "Counted for 30 s. What the pods do at other times is not known" in flat
    assert "idle" not in said
    assert "idle" in text(render(found, everything=True, width=width), width)


def test_commands_are_whole_lines_for_copying(found):
    assert list(command_lines(found)) == [
        "",
        "# pin the running pod; restarts nothing",
        "kubectl label pod redis-0 -n shop --overwrite numapin.io/pin=true",
        "kubectl label pod redis-1 -n shop --overwrite numapin.io/pin=true",
        "",
        "# have all new pods start pinned; rolls them out anew",
        "kubectl patch statefulset redis -n shop -p "
        '\'{"spec":{"template":{"metadata":{"labels":{"numapin.io/pin":"true"}}}}}\'',
        "",
        "# undo: kubectl label pod POD -n NAMESPACE numapin.io/pin-",
    ]


def test_nothing_to_advise(numa_node, text):
    first, last = readings()
    none = ranking([pod("idle")], {}, first=first, last=last, now=NOW)
    assert list(command_lines(none)) == []
    assert "1 pod with nothing to gain" in text(render(none, everything=False, width=80))


@pytest.mark.parametrize(
    ("since", "created", "seconds"),
    [
        (NOW.timestamp() - 7230, "2026-11-25T01:00:00Z", 7200),
        (NOW.timestamp() - 7230, "2026-11-25T11:30:00Z", 1770),
        (None, "2026-11-25T01:00:00Z", None),
        (NOW.timestamp() - 10, "2026-11-25T01:00:00Z", None),
    ],
)
def test_how_long_it_was_counted_before(numa_node, monkeypatch, since, created, seconds):
    seen = []
    real = judge.weigh
    monkeypatch.setattr(judge, "weigh", lambda s, m: seen.append(s) or real(s, m))
    first, last = readings(since)
    ranking([pod("idle", creationTimestamp=created)], {}, first=first, last=last, now=NOW)
    assert seen[0].history.seconds == (None if seconds is None else pytest.approx(seconds))
